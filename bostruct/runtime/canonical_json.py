"""Canonical JSON of descriptions, and differences between two of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from bostruct.errors import LogError

T = TypeVar("T", dict[str, Any], list[Any])


def to_canonical_json(value: object) -> str:
    """Return the JSON text of a description, equal for equal descriptions.

    >>> to_canonical_json({"b": (1, 2), "a": 0.1})
    '{"a":0.1,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def json_finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON values: dataclasses by field, sets sorted, None for infinite numbers and NaN."""
    if is_dataclass(value):
        return {item.name: json_finite(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_finite(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [json_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_json(text: str, name: str, kind: type[T], items: type | tuple[type, ...]) -> T:
    """Return a JSON object or array that may come from anybody.

    Args:
        text: JSON text.
        name: Name of the text in messages.
        kind: dict or list.
        items: Types of its values or items.

    Raises:
        LogError: the text is no JSON, of another kind, too deep, or has items of other types.
    """
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LogError(f"{name} is not JSON that can be read: {error}.") from error
    if isinstance(parsed, kind):
        values = parsed.values() if isinstance(parsed, dict) else parsed
        if all(isinstance(value, items) for value in values):
            return parsed
    word = "object" if kind is dict else "array"
    raise LogError(f"{name} is not a JSON {word} as bostruct writes it.")


def describe_differences(stored: object, current: object, name: str = "") -> list[str]:
    """Return the differences between two descriptions, one phrase each.

    >>> describe_differences({"seed": 0, "space": {"n": 7}}, {"seed": 1, "space": {"n": 7}})
    ['seed is 0 there and 1 here']
    """
    if isinstance(stored, Mapping) and isinstance(current, Mapping):
        phrases = []
        for key in sorted({*stored, *current}):
            path = f"{name}.{key}" if name else str(key)
            if key not in stored:
                phrases.append(f"{path} is absent there and {_truncated_json(current[key])} here")
            elif key not in current:
                phrases.append(f"{path} is {_truncated_json(stored[key])} there and absent here")
            else:
                phrases.extend(describe_differences(stored[key], current[key], path))
        return phrases
    if to_canonical_json(stored) == to_canonical_json(current):
        return []
    return [f"{name} is {_truncated_json(stored)} there and {_truncated_json(current)} here"]


def _truncated_json(value: object, length: int = 80) -> str:
    text = to_canonical_json(value)
    return text if len(text) <= length else text[: length - 1] + "…"

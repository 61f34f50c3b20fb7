"""Canonical JSON of descriptions, and differences between two of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bostruct.errors import LogError


def to_canonical_json(value: object) -> str:
    """Return the JSON text of a description, equal for equal descriptions.

    >>> to_canonical_json({"b": (1, 2), "a": 0.1})
    '{"a":0.1,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parse_json_object(text: str, name: str, values: type | tuple[type, ...]) -> dict[str, Any]:
    """Return a JSON object that may come from anybody.

    Args:
        text: JSON text.
        name: Name of the text in messages.
        values: Types of its values.

    Raises:
        LogError: the text is no JSON, no object, too deep, or has values of other types.
    """
    parsed = _parse_json(text, name)
    if not isinstance(parsed, dict) or not all(isinstance(v, values) for v in parsed.values()):
        raise LogError(f"{name} is not a JSON object as bostruct writes it.")
    return parsed


def parse_json_array(text: str, name: str, items: type | tuple[type, ...]) -> list[Any]:
    """Return a JSON array that may come from anybody.

    Args:
        text: JSON text.
        name: Name of the text in messages.
        items: Type of its items.

    Raises:
        LogError: the text is no JSON, no array, too deep, or has items of another type.
    """
    parsed = _parse_json(text, name)
    if not isinstance(parsed, list) or not all(isinstance(item, items) for item in parsed):
        raise LogError(f"{name} is not a JSON array as bostruct writes it.")
    return parsed


def _parse_json(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LogError(f"{name} is not JSON that can be read: {error}.") from error


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

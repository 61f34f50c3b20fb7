"""What makes two campaigns the same one, and what differs where they are not."""

from __future__ import annotations

import json
from collections.abc import Mapping


def canonical(value: object) -> str:
    """Return the one JSON text of a description.

    >>> canonical({"b": (1, 2), "a": 0.1})
    '{"a":0.1,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def differences(there: object, here: object, name: str = "") -> list[str]:
    """Return what differs between two descriptions, one phrase each.

    >>> differences({"seed": 0, "space": {"n": 7}}, {"seed": 1, "space": {"n": 7}})
    ['seed is 0 there and 1 here']
    """
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        phrases = []
        for key in sorted({*there, *here}):
            path = f"{name}.{key}" if name else str(key)
            if key not in there:
                phrases.append(f"{path} is absent there and {_show(here[key])} here")
            elif key not in here:
                phrases.append(f"{path} is {_show(there[key])} there and absent here")
            else:
                phrases.extend(differences(there[key], here[key], path))
        return phrases
    if canonical(there) == canonical(here):
        return []
    return [f"{name} is {_show(there)} there and {_show(here)} here"]


def _show(value: object, length: int = 80) -> str:
    text = canonical(value)
    return text if len(text) <= length else text[: length - 1] + "…"

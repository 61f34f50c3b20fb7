"""Parts of a campaign from their descriptions, for reading a log without its file.

A description names its class in "kind" and holds the arguments that make it. What is
made must describe itself the same way, else it is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bostruct import spaces, surrogates
from bostruct.campaign.description import differences

FOLDERS = {"space": spaces, "surrogate": surrogates}


def rebuild(part: str, description: Mapping[str, Any]) -> Any | None:  # noqa: ANN401
    """Return the part that a description was made of, or None if it cannot be made.

    Args:
        part: "space" or "surrogate".
        description: What its `description()` returned.
    """
    arguments = dict(description)
    kind = getattr(FOLDERS[part], str(arguments.pop("kind", "")), None)
    if not isinstance(kind, type):
        return None
    try:
        made: Any = kind(**arguments)
    except (TypeError, ValueError):
        return None
    return None if differences(description, made.description()) else made

"""Parts of a campaign from their descriptions, for reading a log without its file.

A description names its class and holds the arguments that make it. A space that is made
must describe itself the same way, else it is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bostruct import spaces, surrogates
from bostruct.campaign.log.reader import Log
from bostruct.runtime.canonical_json import describe_differences

COMPONENT_PACKAGES = {"space": spaces, "surrogate": surrogates}


def open_log(folder: str | Path) -> Log:
    """Return the log in a folder with those parts that its description makes.

    Raises:
        LogError: there is none, or a newer bostruct wrote it.
    """
    described = Log(folder).description
    parts = {part: build_from_description(part, described[part]) for part in COMPONENT_PACKAGES}
    return Log(folder, **parts)


def build_from_description(component: str, description: Mapping[str, Any]) -> Any | None:  # noqa: ANN401
    """Return the part that a description was made of, or None if it cannot be made.

    Args:
        component: "space" or "surrogate".
        description: What its `description()` returned.
    """
    arguments = dict(description)
    name = str(arguments.pop("type", ""))
    kind = vars(COMPONENT_PACKAGES[component]).get(name)
    if not isinstance(kind, type):
        return None
    if component == "surrogate":
        made: Any = kind()  # `restore` takes all it needs from the state
        known = str(made.description().get("type", ""))
        return made if known == name else None
    try:
        made = kind(**arguments)
    except (TypeError, ValueError):
        return None
    return None if describe_differences(description, made.description()) else made

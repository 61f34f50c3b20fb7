"""Space and surrogate from their descriptions, for reading a log without its campaign file.

A description names its class and holds the constructor arguments. A space is used only if it
describes itself in the same way again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bostruct import spaces, surrogates
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS
from bostruct.campaign.log.reader import Log
from bostruct.errors import LogError
from bostruct.runtime.canonical_json import describe_differences

COMPONENT_PACKAGES = {"space": spaces, "surrogate": surrogates}


MAX_NUMBER = 1e6
"""Largest number of a description that is built, and the inverse of the smallest."""

PATH_ARGUMENTS = ("slab", "source", "parent")
"""Arguments that a constructor takes for the path of a file if they are text."""


def open_log(folder: str | Path) -> Log:
    """Return the log in a folder with the space and the surrogate of its description.

    Raises:
        LogError: there is no log, or one of a newer bostruct.
    """
    log = Log(folder)
    components = {}
    for name in COMPONENT_PACKAGES:
        part = log.description.get(name)
        if not isinstance(part, Mapping):
            raise LogError(f"{log.folder} does not describe its {name}: restore it from a backup.")
        components[name] = build_from_description(name, part)
    return Log(folder, **components)


def build_from_description(component: str, description: Mapping[str, Any]) -> Any | None:  # noqa: ANN401
    """Return the component with a given description, or None if it cannot be built.

    Args:
        component: "space" or "surrogate".
        description: Return value of its `description()`.
    """
    arguments = dict(description)
    name = str(arguments.pop("type", ""))
    component_type = vars(COMPONENT_PACKAGES[component]).get(name)
    if not isinstance(component_type, type):
        return None
    try:
        if component == "surrogate":
            surrogate = component_type()  # `restore` takes everything it needs from the state
            return surrogate if surrogate.description().get("type") == name else None
        if not _is_bounded(arguments):
            return None
        space = component_type(**arguments)
        return None if describe_differences(description, space.description()) else space
    except CONTENT_ERRORS:  # also those of arguments that are none
        return None


def _is_bounded(value: object, name: str = "") -> bool:
    """Return whether a part of a description asks for no file, and for no excess of memory."""
    if isinstance(value, Mapping):
        return all(_is_bounded(item, key) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_bounded(item) for item in value)
    if isinstance(value, str):
        return name not in PATH_ARGUMENTS and not re.search(r"\d{7}", value)
    if isinstance(value, int | float) and name != "seed":
        return value == 0 or 1 / MAX_NUMBER <= abs(value) <= MAX_NUMBER
    return True

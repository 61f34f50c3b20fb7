"""Space and surrogate from their descriptions, for reading a log without its campaign file.

A description names its class and holds the constructor arguments; of structures it holds a digest,
and the log the structures. A space is used only if it describes itself in the same way again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bostruct import spaces, surrogates
from bostruct.campaign.log.reader import Log
from bostruct.errors import BostructError, InputError
from bostruct.runtime.canonical_json import describe_differences
from bostruct.spaces.stored_structures import StoredStructures

COMPONENT_PACKAGES = {"space": spaces, "surrogate": surrogates}


def open_log(folder: str | Path) -> Log:
    """Return the log in a folder with the space and the surrogate of its description.

    Raises:
        LogError: there is no log, or one of a newer bostruct.
    """
    log, stored = Log(folder), None
    description = log.description
    with suppress(InputError):  # bytes that were changed, as `verify` tells
        stored = log.stored_structures()
    components = {
        name: build_from_description(name, description[name], stored) for name in COMPONENT_PACKAGES
    }
    return Log(folder, **components)


def build_from_description(
    component: str, description: Mapping[str, Any], stored: StoredStructures | None = None
) -> Any | None:  # noqa: ANN401
    """Return the component with a given description, or None if it cannot be built.

    Args:
        component: "space" or "surrogate".
        description: Return value of its `description()`.
        stored: Structures of the space, where the description holds a digest of them.
    """
    name = str(description.get("type", ""))
    component_type = vars(COMPONENT_PACKAGES[component]).get(name)
    if not isinstance(component_type, type):
        return None
    if component == "surrogate":
        surrogate = component_type()  # `restore` takes everything it needs from the state
        return surrogate if surrogate.description().get("type") == name else None
    if not hasattr(component_type, "from_description"):
        return None
    try:
        space = component_type.from_description(description, stored)
        differs = describe_differences(description, space.description())
    except (BostructError, KeyError, IndexError, TypeError, ValueError):
        return None
    return None if differs else space

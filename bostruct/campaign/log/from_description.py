"""Space and surrogate from their descriptions, for reading a log without its campaign file.

A description names its class and holds the constructor arguments; of structures it holds a digest,
and the log the structures. A space is used only if it describes itself in the same way again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bostruct import spaces, surrogates
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import database_path
from bostruct.errors import InputError, LogError
from bostruct.runtime.canonical_json import describe_differences
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import from_ase

COMPONENT_PACKAGES = {"space": spaces, "surrogate": surrogates}


MAX_NUMBER = 1e6
"""Largest number of a description that is built, and the inverse of the smallest."""

COORDINATES = ("positions", "cell")
"""Coordinates in Å, in which numbers close to zero are rounding errors."""

PATH_ARGUMENTS = ("slab", "source", "parent")
"""Arguments that a constructor takes for the path of a file if they are text."""


def open_log(folder: str | Path) -> Log:
    """Return the log in a folder with the space and the surrogate of its description.

    Raises:
        LogError: there is no log, or one of a newer bostruct.
    """
    log, stored = Log(folder), None
    with suppress(InputError):  # bytes that were changed, as `verify` tells
        stored = log.stored_structures()
    for name in COMPONENT_PACKAGES:
        if not isinstance(log.description.get(name), Mapping):
            raise LogError(f"{log.folder} does not describe its {name}: restore it from a backup.")
    build = partial(build_from_description, stored=stored)
    space = build("space", log.description["space"])
    if isinstance(space, spaces.Coordinates):
        space = _with_evaluated_structures(log, space)
    surrogate = partial(build, "surrogate", log.description["surrogate"])
    return Log(folder, space, build_surrogate=surrogate)


def _with_evaluated_structures(log: Log, space: spaces.Coordinates) -> spaces.Coordinates:
    """Return a space without its function, which decodes what was evaluated, as ase.db has it."""
    query = "SELECT number, ase_id FROM bostruct_trial WHERE ase_id IS NOT NULL"
    ids = {row["number"]: row["ase_id"] for row in log.query(query)}
    trials = [trial for trial in log.trial_records() if trial.number in ids]
    if not trials:
        return space
    with suppress(*CONTENT_ERRORS), log.connection() as connection:
        rows = AseRows(database_path(log.folder), connection)
        images = [rows.read(ids[trial.number]) for trial in trials]
        X = torch.stack([trial.X for trial in trials])
        return space.with_known_structures(X, from_ase(images).without_results())
    return space


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
    package = COMPONENT_PACKAGES[component]
    component_type = getattr(package, name) if name in dir(package) else None
    if not isinstance(component_type, type):
        return None
    try:
        if component == "surrogate":
            surrogate = component_type()  # `restore` takes everything it needs from the state
            return surrogate if surrogate.description().get("type") == name else None
        if not hasattr(component_type, "from_description") or not _is_bounded(description):
            return None
        space = component_type.from_description(description, stored)
        return None if describe_differences(description, space.description()) else space
    except CONTENT_ERRORS:  # also those of arguments that are none
        return None


def _is_bounded(value: object, name: str = "") -> bool:
    """Return whether a part of a description asks for no file, and for no excess of memory."""
    if isinstance(value, Mapping):
        return all(_is_bounded(item, key) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_bounded(item, name if name in COORDINATES else "") for item in value)
    if isinstance(value, str):
        is_digest = re.fullmatch(r"[0-9a-f]{16,}", value) is not None
        return name not in PATH_ARGUMENTS and (is_digest or not re.search(r"\d{7}", value))
    if isinstance(value, int | float) and name != "seed":
        is_small = value != 0 and abs(value) < 1 / MAX_NUMBER and name not in COORDINATES
        return abs(value) <= MAX_NUMBER and not is_small
    return True

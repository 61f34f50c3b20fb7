"""Posterior files to which no step of the log refers.

A run that is killed while it plans leaves one. It was planned at a head of the hash chain that the
log still has; the file of a step that was removed from the log was not.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from bostruct.campaign.log import posterior_file
from bostruct.campaign.log.run_folder import POSTERIOR_FOLDER_NAME
from bostruct.errors import LogError


def find_unreferenced(folder: Path, referenced: Collection[str]) -> list[Path]:
    """Return the posterior files of a run folder without those with the names `referenced`."""
    files = sorted((folder / POSTERIOR_FOLDER_NAME).glob("step-*"))
    return [file for file in files if file.name not in referenced]


def lost_step_problem(file: Path, n_steps: int, hashes: Collection[str]) -> str:
    """Return a sentence on the step that a file is left of; "" where none was removed."""
    match = re.fullmatch(r"step-(\d+)\.safetensors", file.name)
    if match is None:
        return ""
    try:
        header = posterior_file.from_safetensors(file.read_bytes(), str(file))[1]
    except (LogError, OSError):
        return ""  # nothing was ever planned with it
    head = header.get(posterior_file.CHAIN_KEY)
    if int(match[1]) <= n_steps and (head is None or head in hashes):
        return ""
    return f"{file.name} belongs to a step that the log has lost"

"""Structures of a report as JSON values for its viewer, 3Dmol.js.

N. Rego, D. Koes, Bioinformatics 31, 1322 (2015). Positions are rounded to 0.001 Å. Atoms of
crystals are shown inside their cell. A limit on the number of atoms keeps the page small.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import torch

from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import Trial
from bostruct.errors import InputError
from bostruct.structures import SYMBOLS, Structures

MAX_ATOMS = 40_000
"""Number of atoms of all structures in a page, about one megabyte."""

DIGITS = 3


def viewer_structures(log: Log, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the structures of trials by number, in their order until there are too many atoms.

    Keys of each are `symbols`, `positions` (x, y, z of one atom after the other, Å), `cell` (nine
    numbers, Å) where it has one, and `periodic`.

    Args:
        log: Log, opened with the space that decodes structures; without it there are none.
        numbers: Numbers of the trials, the most important first.
    """
    found: dict[int, dict[str, Any]] = {}
    n_atoms = 0
    for trial in decoded_trials(log, numbers):
        if trial.structures is None:
            continue
        n_atoms += len(trial.structures.numbers)
        if n_atoms > MAX_ATOMS and found:
            break
        found[trial.number] = structure_values(trial.structures)
    return found


def decoded_trials(log: Log, numbers: Iterable[int]) -> list[Trial]:
    """Return trials by number with their structures, those left out that the space cannot decode.

    A space that was opened without its campaign file may know the structures of results alone.
    """
    by_number = {trial.number: trial for trial in log.trial_records()}
    trials = [by_number[number] for number in numbers if number in by_number]
    try:
        return [t for t in log.with_structures(trials) if t.structures is not None]
    except InputError:
        found = []
        for trial in trials:
            with suppress(InputError):
                found += log.with_structures([trial])
        return found


def structure_values(structures: Structures) -> dict[str, Any]:
    """Return one structure as JSON values, see `viewer_structures`."""
    P, cell = structures.positions.detach().cpu().double(), structures.cell[0].cpu().double()
    periodic = structures.pbc[0].tolist()
    if all(periodic):
        fractional = torch.linalg.solve(cell.T, P.T).T
        # An atom on the border, but for rounding, stays where it is.
        P = (fractional - torch.floor(fractional + 1e-6)) @ cell
    values: dict[str, Any] = {
        "symbols": [SYMBOLS[z] for z in structures.numbers.tolist()],
        "positions": [round(x, DIGITS) for x in P.flatten().tolist()],
        "periodic": periodic,
    }
    if any(periodic):
        values["cell"] = [round(x, DIGITS) for x in cell.detach().flatten().tolist()]
    return values

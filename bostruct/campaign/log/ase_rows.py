"""ASE's side of the log: rows of ase.db, and files in ASE's formats.

`db.connection` is internal to ASE; a test pins what is used of it. Through it the row
of ase.db and our own are one transaction. ASE is imported when it is first used.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bostruct.campaign.records import Trial

if TYPE_CHECKING:
    from ase import Atoms


class AseRows:
    """The ase.db of a campaign, written through the log's own connection."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        import ase.db

        self._db = ase.db.connect(str(file), type="db", use_lock_file=False)
        self._db.connection = connection
        self._db.change_count = 0
        with self._db.managed_connection():
            pass  # makes ASE's tables where they are missing

    def write(self, trial: Trial) -> int:
        """Write a finished trial inside the open transaction; return its id."""
        self._db.change_count = 0  # else ASE commits at the 5000th row
        found: int = self._db.write(
            trial_to_atoms(trial),
            trial=trial.number,
            step=trial.step,
            generator=trial.generator,
            is_initial_data=trial.is_initial_data,
        )
        return found

    def read(self, row_id: int) -> Atoms:
        """Return the structure of one row."""
        found: Atoms = self._db.get_atoms(id=row_id)
        return found


def trial_to_atoms(trial: Trial) -> Atoms:
    """Return the structure of a trial with its energy and forces, if it has them.

    Raises:
        LogError: the log was opened without the space that decodes it.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    found = trial.atoms
    if trial.energy is not None:
        from_evaluator: dict[str, Any] = {"energy": trial.energy}
        if trial.forces is not None:
            from_evaluator["forces"] = trial.forces.numpy()
        found.calc = SinglePointCalculator(found, **from_evaluator)
    return found


def first_difference(row: Atoms, trial: Trial) -> str:
    """Return what of an ase.db row differs from its trial, "" if nothing does."""
    mine = trial_to_atoms(trial)
    if len(row) != len(mine) or (row.numbers != mine.numbers).any():
        return "species"
    # Decoding again may differ in the last bit on another machine.
    if not np.allclose(row.positions, mine.positions, rtol=0, atol=1e-9):
        return "positions"
    if not np.allclose(row.cell, mine.cell, rtol=0, atol=1e-9):
        return "cell"
    if row.calc is None or row.calc.results.get("energy") != trial.energy:
        return "energy"
    if trial.forces is not None:
        forces = torch.as_tensor(np.array(row.calc.results.get("forces", ())))
        if not torch.equal(forces, trial.forces):
            return "forces"
    return ""

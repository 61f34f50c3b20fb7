"""Structures of a campaign as rows of ase.db, in the same SQLite file as the log.

`db.connection` is internal to ASE; a test pins the use made of it. Through it a row of ase.db and
the rows of the log are one transaction. ASE is imported when it is first used.
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
    """Table of ase.db, read and written through the log's own connection."""

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        import ase.db

        self._db = ase.db.connect(str(file), type="db", use_lock_file=False)
        self._db.connection = connection
        self._db.change_count = 0
        with self._db.managed_connection():
            pass  # ASE creates its tables where they are missing

    def write(self, trial: Trial) -> int:
        """Write a finished trial inside the open transaction; return its id."""
        self._db.change_count = 0  # else ASE commits at the 5000th row
        atoms = trial_to_atoms(trial)
        row_id: int = self._db.write(
            atoms,
            data=dict(atoms.info),  # charge and spin, which ASE does not keep
            trial=trial.number,
            step=trial.step,
            generator=trial.generator,
            is_initial_data=trial.is_initial_data,
            **({"name": name_for_database(trial.member)} if trial.member else {}),
        )
        return row_id

    def read(self, row_id: int) -> Atoms:
        """Return the structure of one row."""
        row = self._db.get(id=row_id)
        atoms: Atoms = row.toatoms()
        atoms.info |= row.data
        return atoms


def name_for_database(name: str) -> str:
    """Return a name that ase.db takes as a text: in quotes, where it takes it for a number.

    >>> name_for_database("mp-30"), name_for_database("17"), name_for_database("1e5")
    ('mp-30', '"17"', '"1e5"')
    """
    from ase.db.core import str_represents

    is_number = any(str_represents(name, kind) for kind in (int, float, bool))
    return f'"{name}"' if is_number else name


def trial_to_atoms(trial: Trial) -> Atoms:
    """Return the structure of a trial with its energy, forces and stress, if it has them.

    Raises:
        LogError: the log was opened without the space that decodes it.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = trial.atoms
    if trial.energy is not None:
        results: dict[str, Any] = {"energy": trial.energy}
        if trial.forces is not None:
            results["forces"] = trial.forces.numpy()
        if trial.stress is not None:
            results["stress"] = trial.stress.numpy()
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def first_difference(row: Atoms, trial: Trial) -> str:
    """Return the first quantity in which an ase.db row differs from its trial, "" for none."""
    expected = trial_to_atoms(trial)
    if len(row) != len(expected) or (row.numbers != expected.numbers).any():
        return "species"
    # Decoding again may differ in the last bit on another machine.
    for name in ("positions", "cell"):
        if not np.allclose(getattr(row, name), getattr(expected, name), rtol=0, atol=1e-9):
            return name
    results = {} if row.calc is None else row.calc.results
    if results.get("energy") != trial.energy:
        return "energy"
    for name, known in (("forces", trial.forces), ("stress", trial.stress)):
        found = torch.as_tensor(np.array(results.get(name, ())))
        if results and known is not None and not torch.equal(found, known):
            return name
    return ""

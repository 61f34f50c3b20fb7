"""Baselines of the energy benchmark: relaxed random structures, and ASE's basin hopping.

Both relax with ASE's BFGS and the true energy. Energy and forces of a structure are one evaluation,
as in a campaign. Basin hopping: Wales and Doye, J. Phys. Chem. A 101, 5111 (1997).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from bostruct.bench.benchmark import read_json, write_json
from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.method import empty_run, run_folder
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.task import Task
from bostruct.errors import check_count
from bostruct.runtime.rng import derive_seed, generator_for

RELAXATION_FMAX = 0.05
"""Largest force at the end of a relaxation, eV/Å."""

MAX_RELAXATION_STEPS = 300
"""Steps after which a relaxation ends; a longer one has usually fallen apart."""

HOP_BOND_FRACTION = 0.4
"""Largest change of a coordinate in a hop, in bond lengths."""

HOP_TEMPERATURE = 0.1
"""Temperature of the Metropolis criterion, eV."""


@final
@dataclass(frozen=True)
class Baseline:
    """Search with ASE from random structures of the space.

    Args:
        name: Name of the method in the results.
        search: Function that searches from one structure, given `ase.Atoms` and a bond length in
            Å, until it ends by itself or by the calculator; it is called until the limit.
        max_evaluations: Limit of evaluations.
    """

    name: str
    search: Callable[[Any, float], None]
    max_evaluations: int = 1000

    def __post_init__(self) -> None:
        check_count("max_evaluations", self.max_evaluations)

    def folder(self, task: Task) -> Path:
        """Return the folder of the method in that of the task."""
        return Path(task.name, self.name.replace(" ", "-"))

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return the stored run; an empty one if that is of another task or too short.

        Raises:
            LogError: the file cannot be read.
        """
        run = empty_run(self, task, seed)
        values = read_json(self._run_path(task, seed, out))
        if not isinstance(values, dict) or values.get("identity") != _cache_identity(task):
            return run
        stored = replace(run, energies=tuple(values["energies"]))
        return stored if stored.is_finished else run

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Search, and write and return the run."""
        stored = self.read(task, seed, out)
        if stored.is_finished:
            return stored
        counted = CountingCalculator(task.evaluator, task.target_energy, self.max_evaluations)
        space = task.search_space
        bond = 2 * float(space.atomic_radii.mean())
        starts = itertools.count()
        with seeded_numpy(derive_seed(seed, self.name, bits=32)):
            while not counted.is_done:
                X = task.start(generator_for(seed, self.name, next(starts)))
                atoms = counted.attach(space.decode(X))
                with suppress(SearchFinished, EvaluationFailed, np.linalg.LinAlgError):
                    self.search(atoms, bond)
        data = {"identity": _cache_identity(task), "energies": counted.energies}
        write_json(data, self._run_path(task, seed, out), indent=None)
        return replace(stored, energies=tuple(counted.energies))

    def _run_path(self, task: Task, seed: int, out: Path) -> Path:
        return run_folder(self, task, seed, out).with_suffix(".json")


def random_search(max_evaluations: int = 1000) -> Baseline:
    """Return the method of random structures, relaxed one after the other."""
    return Baseline("random search", _relax_bfgs, max_evaluations)


def basin_hopping(max_evaluations: int = 1000) -> Baseline:
    """Return the method of ASE's basin hopping with BFGS."""
    return Baseline("basin hopping", _basin_hop, max_evaluations)


@contextmanager
def seeded_numpy(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which ASE uses, and restore its state at the end."""
    before = np.random.get_state()  # noqa: NPY002 - the one that ASE uses
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _relax_bfgs(atoms: Any, bond_length: float) -> None:  # noqa: ANN401 - ASE
    from ase.optimize import BFGS

    BFGS(atoms, logfile=None).run(fmax=RELAXATION_FMAX, steps=MAX_RELAXATION_STEPS)


def _basin_hop(atoms: Any, bond_length: float) -> None:  # noqa: ANN401 - ASE
    from ase.optimize import BFGS
    from ase.optimize.basin import BasinHopping

    hopping = BasinHopping(
        atoms,
        temperature=HOP_TEMPERATURE,
        optimizer=BFGS,
        fmax=RELAXATION_FMAX,
        dr=HOP_BOND_FRACTION * bond_length,
        logfile=None,
        trajectory=None,
        optimizer_logfile=None,
        local_minima_trajectory=None,
        adjust_cm=not atoms.constraints,
    )
    hopping.run(10**9)  # the calculator ends it


def _cache_identity(task: Task) -> dict[str, Any]:
    return {
        "space": task.search_space.description(),
        "evaluator": task.evaluator.description(),
        "constants": [RELAXATION_FMAX, MAX_RELAXATION_STEPS, HOP_BOND_FRACTION, HOP_TEMPERATURE],
    }

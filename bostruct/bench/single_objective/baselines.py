"""What everyone has: random search with relaxation, and ASE's basin hopping.

Both relax with ASE's BFGS and the true energy. Every energy with its forces is one
evaluation, the same as in a campaign.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.method import run_folder
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.task import Task
from bostruct.errors import LogError, check_count
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.rng import derive_seed, generator_for
from bostruct.structures import to_ase

RELAXATION_FMAX = 0.05
"""eV/Å. A relaxation ends when no force is larger."""

MAX_RELAXATION_STEPS = 300
"""A relaxation ends after so many steps; one that goes on has fallen apart."""

HOP_BOND_FRACTION = 0.4
"""In bonds: the largest change of a coordinate in a hop, as is usual for clusters."""

HOP_TEMPERATURE = 0.1
"""eV. Of accepting a hop."""

MAX_HOPS = 10**9
"""More than the evaluations last for."""


@final
@dataclass(frozen=True)
class Baseline:
    """A search of ASE's, from random structures of the space.

    Args:
        name: In the results.
        search: Searches from one structure, given ASE's atoms and the length of a bond
            in Å, until it ends or the evaluator ends it. Then the next one begins.
        max_evaluations: Evaluations.
    """

    name: str
    search: Callable[[Any, float], None]
    max_evaluations: int = 1000

    def __post_init__(self) -> None:
        check_count("baseline_evaluations", self.max_evaluations)

    def folder(self, task: Task) -> Path:
        """Return a folder in that of the task."""
        return Path(task.name, self.name.replace(" ", "-"))

    def read(self, task: Task, seed: int, out: Path) -> Run:
        """Return what was written; nothing, if that is of another task or too short.

        Raises:
            LogError: the file cannot be read.
        """
        path = self._run_path(task, seed, out)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return self._make_run(task, seed)
        except (OSError, ValueError) as error:
            raise LogError(f"could not read {path}: {error}. Delete it.") from error
        if not isinstance(found, dict) or found.get("identity") != _cache_identity(task):
            return self._make_run(task, seed)
        run = self._make_run(task, seed, found["energies"])
        return run if run.is_finished else self._make_run(task, seed)

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Search, and write what came of it."""
        found = self.read(task, seed, out)
        if found.is_finished:
            return found
        counted = CountingCalculator(task.evaluator, task.target_energy, self.max_evaluations)
        space = task.search_space
        bond = 2 * float(space.atomic_radii.mean())
        starts = itertools.count()
        with seeded_numpy(derive_seed(seed, self.name, bits=32)):
            while not counted.is_done:
                X = space.sample(1, generator_for(seed, self.name, next(starts)))
                structures = space.decode(X)
                atoms = counted.attach(structures, to_ase(structures)[0])
                with suppress(SearchFinished, EvaluationFailed, np.linalg.LinAlgError):
                    self.search(atoms, bond)
        path = self._run_path(task, seed, out)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {"identity": _cache_identity(task), "energies": counted.energies}
        write_atomically(path, json.dumps(data, allow_nan=False).encode())
        return self._make_run(task, seed, counted.energies)

    def _make_run(self, task: Task, seed: int, energies: Sequence[float | None] = ()) -> Run:
        return Run(
            task.name,
            self.name,
            seed,
            self.max_evaluations,
            task.target_energy,
            tuple(energies),
        )

    def _run_path(self, task: Task, seed: int, out: Path) -> Path:
        return run_folder(self, task, seed, out).with_suffix(".json")


def random_search(max_evaluations: int = 1000) -> Baseline:
    """Return random structures, relaxed one after the other."""
    return Baseline("random search", _relax_bfgs, max_evaluations)


def basin_hopping(max_evaluations: int = 1000) -> Baseline:
    """Return ASE's basin hopping with BFGS."""
    return Baseline("basin hopping", _basin_hop, max_evaluations)


@contextmanager
def seeded_numpy(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which ASE draws from, and put it back after."""
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
    hopping.run(MAX_HOPS)


def _cache_identity(task: Task) -> dict[str, Any]:
    return {
        "space": task.search_space.description(),
        "evaluator": task.evaluator.description(),
        "constants": [
            RELAXATION_FMAX,
            MAX_RELAXATION_STEPS,
            HOP_BOND_FRACTION,
            HOP_TEMPERATURE,
        ],
    }

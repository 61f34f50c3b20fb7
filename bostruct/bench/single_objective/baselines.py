"""Baselines of the energy benchmark: relaxed random structures, and ASE's basin hopping.

Both relax with ASE's BFGS and the true energy. Energy and forces of a structure are one evaluation,
as in a campaign. Basin hopping: Wales and Doye, J. Phys. Chem. A 101, 5111 (1997).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from ase.filters import FrechetCellFilter

from bostruct.bench.benchmark import read_json, write_json
from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.method import empty_run, run_folder
from bostruct.bench.single_objective.run import Run
from bostruct.bench.single_objective.task import Task
from bostruct.campaign.enthalpy import has_variable_cell, pressure_of
from bostruct.candidates.generators import random_generators
from bostruct.errors import check_count
from bostruct.runtime.rng import derive_seed, generator_for
from bostruct.spaces import Space
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.space import SupportsCompositions

RELAXATION_FMAX = 0.05
"""Largest force at the end of a relaxation, eV/Å."""

MAX_RELAXATION_STEPS = 300
"""Steps after which a relaxation ends; a longer one has usually fallen apart."""

IN_PLANE_MASK = [1, 1, 0, 0, 0, 1]
"""Components of the strain of layers that vary, in Voigt's order."""

HOP_BOND_FRACTION = 0.4
"""Largest change of a coordinate in a hop, in bond lengths."""

HOP_TEMPERATURE = 0.1
"""Temperature of the Metropolis criterion, eV."""


@dataclass(frozen=True)
class CountedSearch(ABC):
    """Search with ASE whose evaluations are counted; a run is a file of its energies.

    Args:
        name: Name of the method in the results.
        max_evaluations: Limit of evaluations.
        relaxes_cells: True if the search relaxes cells that vary.
        samples_coordinates: True if structures of named coordinates are evaluated as they are, not
            relaxed, which would leave their space.
    """

    name: str
    max_evaluations: int
    constants: ClassVar[list[float]]
    """Constants of the search, which are a part of the identity of a run."""
    relaxes_cells: bool = field(default=False, kw_only=True)
    samples_coordinates: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_count("max_evaluations", self.max_evaluations)

    @abstractmethod
    def _search(self, task: Task, seed: int, counted: CountingCalculator) -> dict[str, Any]:
        """Search until the calculator is done; return further fields of the run."""

    def _is_ended(self, values: dict[str, Any]) -> bool:
        """Return whether a stored run that is too short has ended all the same."""
        return False

    def suits(self, task: Task) -> bool:
        """Return whether the method searches for one energy, in cells that it can relax."""
        if isinstance(task.search_space, SupportsCompositions):
            return False
        if isinstance(task.search_space, SupportsDomain):
            return self.samples_coordinates
        return self.relaxes_cells or not has_variable_cell(task.search_space)

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
        if not isinstance(values, dict) or values.pop("identity", None) != self._identity(task):
            return run
        is_ended, reason = self._is_ended(values), values.pop("reason", "")
        stored = replace(run, **{**values, "energies": tuple(values["energies"])})
        if not stored.is_finished and is_ended:
            return replace(stored, reason=reason)
        return stored if stored.is_finished else run

    def run(self, task: Task, seed: int, out: Path) -> Run:
        """Search, and write and return the run."""
        stored = self.read(task, seed, out)
        if stored.is_finished:
            return stored
        counted = CountingCalculator(
            task.evaluator, task.target_energy, self.max_evaluations, pressure_of(task.search_space)
        )
        with seeded_numpy(derive_seed(seed, self.name, bits=32)):
            further = self._search(task, seed, counted)
        data = {"identity": self._identity(task), "energies": counted.energies, **further}
        write_json(data, self._run_path(task, seed, out), indent=None)
        return replace(stored, energies=tuple(counted.energies), **further)

    def _run_path(self, task: Task, seed: int, out: Path) -> Path:
        return run_folder(self, task, seed, out).with_suffix(".json")

    def _identity(self, task: Task) -> dict[str, Any]:
        return {
            "space": task.search_space.description(),
            "evaluator": task.evaluator.description(),
            "constants": self.constants,
        }


@final
@dataclass(frozen=True)
class Baseline(CountedSearch):
    """Search with ASE from random structures of the space.

    Args:
        name: Name of the method in the results.
        max_evaluations: Limit of evaluations.
        search: Function that searches from one structure, given `ase.Atoms`, or a filter of them
            where the cell varies, and a bond length in Å, until it ends by itself or by the
            calculator; it is called until the limit.
        sampler: Name of the random generator of crystals that structures are from; "" for those of
            the task.
    """

    search: Callable[[Any, float], None]
    sampler: str = ""
    constants: ClassVar[list[float]] = [
        RELAXATION_FMAX,
        MAX_RELAXATION_STEPS,
        HOP_BOND_FRACTION,
        HOP_TEMPERATURE,
    ]

    def suits(self, task: Task) -> bool:
        """Return whether it also is one of crystals, with the random generator."""
        space = task.search_space
        if self.sampler:
            is_sampled = has_variable_cell(space) and self.sampler in random_generators(space)
            return is_sampled and super().suits(task)
        return super().suits(task)

    def _search(self, task: Task, seed: int, counted: CountingCalculator) -> dict[str, Any]:
        space = task.search_space
        sample = random_generators(space)[self.sampler] if self.sampler else None
        bond = 2 * float(space.atomic_radii.mean())
        starts = itertools.count()
        while not counted.is_done:
            generator = generator_for(seed, self.name, next(starts))
            X = task.start(generator) if sample is None else sample(1, generator)
            atoms = counted.attach(space.decode(X))
            if has_variable_cell(space):
                atoms = FrechetCellFilter(atoms, **filter_arguments(space))
            with suppress(SearchFinished, EvaluationFailed, np.linalg.LinAlgError):
                if isinstance(space, SupportsDomain):
                    atoms.get_potential_energy()
                else:
                    self.search(atoms, bond)
        return {}


def filter_arguments(space: Space) -> dict[str, Any]:
    """Return the arguments of ASE's filter of a cell that varies as those of a space do.

    Args:
        space: Space with a variable cell.
    """
    freedom = getattr(space, "freedom", None)
    arguments: dict[str, Any] = {"scalar_pressure": pressure_of(space)}
    if freedom is not None and freedom.is_layer:
        arguments["mask"] = IN_PLANE_MASK
    elif freedom is not None and not freedom.varies_shape:
        arguments["hydrostatic_strain"] = True
    return arguments


def random_search(max_evaluations: int = 1000) -> Baseline:
    """Return the method of random structures, relaxed one after the other.

    Structures of named coordinates are evaluated as they are.
    """
    return Baseline(
        "random search",
        max_evaluations,
        _relax_bfgs,
        relaxes_cells=True,
        samples_coordinates=True,
    )


def symmetric_search(max_evaluations: int = 1000) -> Baseline:
    """Return the method of random symmetric crystals, relaxed one after the other.

    A space group is drawn, then Wyckoff positions, as PyXtal does (Fredericks et al., Comput. Phys.
    Commun. 261, 107810 (2021)).
    """
    name = "symmetric random search"
    return Baseline(name, max_evaluations, _relax_bfgs, "symmetric", relaxes_cells=True)


def basin_hopping(max_evaluations: int = 1000) -> Baseline:
    """Return the method of ASE's basin hopping with BFGS."""
    return Baseline("basin hopping", max_evaluations, _basin_hop)


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

"""Basin hopping in named coordinates, such as dihedral angles, with the true energy.

Wales and Doye, J. Phys. Chem. A 101, 5111 (1997): a coordinate is drawn anew, the energy minimized
by L-BFGS-B with the forces projected on the coordinates, and the minimum accepted by Metropolis'
criterion.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bostruct.bench.single_objective.baselines import HOP_TEMPERATURE, CountedSearch
from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.task import Task
from bostruct.runtime.rng import generator_for
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.surrogates.coordinate_gp.projected_forces import energy_gradients

MAX_GRADIENT = 0.05
"""Largest gradient at the end of a minimization, eV in units of the domain."""

MAX_ITERATIONS = 60
"""Iterations of a minimization."""

HOP = "redraw"
"""Move of the space before each minimization."""

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class CoordinateHopping(CountedSearch):
    """Basin hopping in the named coordinates of a space.

    Args:
        max_evaluations: Limit of evaluations, an energy with its forces each.
    """

    name: str = field(default="coordinate hopping", init=False)
    max_evaluations: int = 1000
    constants: ClassVar[list[float]] = [MAX_GRADIENT, MAX_ITERATIONS, HOP_TEMPERATURE]

    def suits(self, task: Task) -> bool:
        """Return whether the coordinates of the task are named."""
        return isinstance(task.search_space, SupportsDomain)

    def _search(self, task: Task, seed: int, counted: CountingCalculator) -> dict[str, Any]:
        generator = generator_for(seed, "coordinate hopping")
        hop = task.search_space.moves()[HOP]
        with suppress(SearchFinished):
            x, energy = self._minimize(task, task.start(generator), counted)
            while not counted.is_done:
                moved, reached = self._minimize(task, hop(x, generator), counted)
                chance = math.exp(min((energy - reached) / HOP_TEMPERATURE, 0.0))
                if float(torch.rand(1, generator=generator)) < chance:
                    x, energy = moved, reached
        return {}

    def _minimize(self, task: Task, X: Tensor, counted: CountingCalculator) -> tuple[Tensor, float]:
        """Return the minimum `[1, d]` below a start `[1, d]`, and its energy, eV."""
        from scipy.optimize import minimize

        space: Any = task.search_space
        units = space.domain.units
        lowest = [(math.inf, X)]

        def value_and_gradient(u: Array) -> tuple[float, Array]:
            at = space.domain.project(torch.from_numpy(u).unsqueeze(0) * units)
            structures = space.decode(at)
            atoms = counted.attach(structures)
            energy, forces = counted.get_potential_energy(atoms), counted.get_forces(atoms)
            known = replace(
                structures,
                energy=torch.tensor([energy], dtype=torch.float64),
                forces=torch.from_numpy(forces),
            )
            lowest.append((energy, at))
            gradient: Array = (energy_gradients(space, at, known)[0] * units).numpy()
            return energy, gradient

        options = {"maxiter": MAX_ITERATIONS, "gtol": MAX_GRADIENT}
        with suppress(EvaluationFailed):
            minimize(
                value_and_gradient,
                (X[0] / units).numpy(),
                jac=True,
                method="L-BFGS-B",
                options=options,
            )
        energy, x = min(lowest, key=lambda pair: pair[0])
        return x, energy

"""BOSS, of the package aalto-boss, as a method of the energy benchmark in named coordinates.

Bayesian optimization of energies over a few coordinates with a Gaussian process: Todorović,
Gutmann, Corander, and Rinke, npj Comput. Mater. 5, 35 (2019). Everything is at the defaults of the
package, but for the kernel, which is periodic in coordinates that are. Energies count from the
first one. Where the evaluator fails, the highest energy so far stands for it.

A run ends by success, by its limit of evaluations, or by its limit of CPU time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.task import Task
from bostruct.bench.single_objective.time_limited_search import RunEnded, TimeLimitedSearch
from bostruct.runtime.rng import derive_seed
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain

N_INITIAL = 5
"""Number of quasi-random structures before the first model, the default of BOSS."""

ENERGY_RANGE = (-10.0, 10.0)
"""Expected range of the energies from the first one on, eV, the default of BOSS."""

PERIODIC_KERNEL, OTHER_KERNEL = "stdp", "rbf"
"""Names of its kernels."""

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Boss(TimeLimitedSearch):
    """BOSS with a limit of CPU time.

    Args:
        max_evaluations: Limit of evaluations.
        max_cpu_seconds: Limit of the CPU time of a run, s, checked at each evaluation.

    Raises:
        InputError: a limit is out of range, or the package is not installed.
    """

    name: str = field(default="BOSS", init=False)
    constants: ClassVar[list[float]] = [N_INITIAL, *ENERGY_RANGE]
    package: ClassVar[str] = "aalto-boss"
    module: ClassVar[str] = "boss"

    def suits(self, task: Task) -> bool:
        """Return whether the coordinates of the task are named."""
        return isinstance(task.search_space, SupportsDomain)

    def _run_package(self, task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
        """Run BOSS until the evaluations end it."""
        from boss.bo.bo_main import BOMain

        space: Any = task.search_space
        domain = space.domain
        values: list[float] = []

        def energy(X: Array) -> float:
            if time.process_time() > end or counted.is_done:
                raise RunEnded
            x = torch.from_numpy(np.atleast_2d(X)[:1].astype(np.float64))
            atoms = counted.attach(space.decode(domain.project(x)))
            try:
                values.append(counted.get_potential_energy(atoms))
            except SearchFinished:
                raise RunEnded from None
            except EvaluationFailed:
                values.append(max(values, default=ENERGY_RANGE[1]))
            return values[-1] - values[0]

        kernels = [
            PERIODIC_KERNEL if is_periodic else OTHER_KERNEL
            for is_periodic in domain.is_unbounded.tolist()
        ]
        search = BOMain(
            energy,
            torch.stack((domain.lower, domain.upper), -1).numpy(),
            kernel=kernels,
            yrange=list(ENERGY_RANGE),
            initpts=N_INITIAL,
            iterpts=self.max_evaluations,
            seed=derive_seed(seed, self.name, bits=31),
        )
        search.run()

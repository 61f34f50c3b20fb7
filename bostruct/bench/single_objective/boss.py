"""BOSS, of the package aalto-boss, as a method of the energy benchmark in named coordinates.

Bayesian optimization of energies over a few coordinates with a Gaussian process: Todorović,
Gutmann, Corander, and Rinke, npj Comput. Mater. 5, 35 (2019). Everything is at the defaults of the
package, but for the kernel, which is periodic in coordinates that are. Energies count from the
first one. Where the evaluator fails, the highest energy so far stands for it.

A run ends by success, by its limit of evaluations, or by its limit of CPU time.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from bostruct.bench.single_objective.baselines import CountedSearch
from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.task import Task
from bostruct.errors import InputError, check_positive, error_message
from bostruct.runtime.rng import derive_seed
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain

N_INITIAL = 5
"""Number of quasi-random structures before the first model, the default of BOSS."""

ENERGY_RANGE = (-10.0, 10.0)
"""Expected range of the energies from the first one on, eV, the default of BOSS."""

PERIODIC_KERNEL, OTHER_KERNEL = "stdp", "rbf"
"""Names of its kernels."""

Array = NDArray[np.float64]


class _Ended(BaseException):
    """The run has ended."""


@final
@dataclass(frozen=True)
class Boss(CountedSearch):
    """BOSS with a limit of CPU time.

    Args:
        max_evaluations: Limit of evaluations.
        max_cpu_seconds: Limit of the CPU time of a run, s, checked at each evaluation.

    Raises:
        InputError: a limit is out of range, or the package is not installed.
    """

    name: str = field(default="BOSS", init=False)
    max_evaluations: int = 100
    max_cpu_seconds: float = 600.0
    constants: ClassVar[list[float]] = [N_INITIAL, *ENERGY_RANGE]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("max_cpu_seconds", self.max_cpu_seconds, "It is the CPU time of a run, s.")
        if find_spec("boss") is None:
            way_out = "Install it with pip install aalto-boss."
            raise InputError(error_message("aalto-boss", "be installed", "none", way_out))

    def suits(self, task: Task) -> bool:
        """Return whether the coordinates of the task are named."""
        return isinstance(task.search_space, SupportsDomain)

    def _is_ended(self, values: dict[str, Any]) -> bool:
        return bool(values["cpu_seconds"] >= self.max_cpu_seconds)

    def _search(self, task: Task, seed: int, counted: CountingCalculator) -> dict[str, Any]:
        begin = time.process_time()
        reason = ""
        try:
            with tempfile.TemporaryDirectory() as folder, chdir(folder):
                self._run_boss(task, seed, counted, begin + self.max_cpu_seconds)
        except _Ended:
            pass
        except Exception as error:  # noqa: BLE001 - the package raises any error
            reason = f"{type(error).__name__}: {error}"
        cpu_seconds = time.process_time() - begin
        if not counted.is_done and not reason:
            reason = f"{cpu_seconds:.0f} s of CPU time were used"
        return {"cpu_seconds": cpu_seconds, "reason": reason}

    def _run_boss(self, task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
        """Run BOSS until the evaluations end it."""
        from boss.bo.bo_main import BOMain

        space: Any = task.search_space
        domain = space.domain
        values: list[float] = []

        def energy(X: Array) -> float:
            if time.process_time() > end or counted.is_done:
                raise _Ended
            x = torch.from_numpy(np.atleast_2d(X)[:1].astype(np.float64))
            atoms = counted.attach(space.decode(domain.project(x)))
            try:
                values.append(counted.get_potential_energy(atoms))
            except SearchFinished:
                raise _Ended from None
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

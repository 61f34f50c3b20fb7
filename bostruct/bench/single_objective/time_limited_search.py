"""Searches of other packages, whose runs end by success, by evaluations, or by CPU time."""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from contextlib import chdir
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from bostruct.bench.single_objective.baselines import CountedSearch
from bostruct.bench.single_objective.counting_calculator import CountingCalculator
from bostruct.bench.single_objective.task import Task
from bostruct.errors import InputError, check_positive, error_message


class RunEnded(BaseException):
    """End of a run; packages go on after every `Exception`."""


@dataclass(frozen=True)
class TimeLimitedSearch(CountedSearch):
    """Search of another package with a limit of CPU time.

    Args:
        name: Name of the method in the results.
        max_evaluations: Limit of evaluations.
        max_cpu_seconds: Limit of the CPU time of a run, s, checked at each evaluation.

    Raises:
        InputError: a limit is out of range, or the package is not installed.
    """

    max_evaluations: int = 100
    max_cpu_seconds: float = 600.0
    package: ClassVar[str]
    """Name of the package to install."""
    module: ClassVar[str]
    """Name of the module that it brings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("max_cpu_seconds", self.max_cpu_seconds, "It is the CPU time of a run, s.")
        if find_spec(self.module) is None:
            way_out = f"Install it with pip install {self.package}."
            raise InputError(error_message(self.package, "be installed", "none", way_out))

    @abstractmethod
    def _run_package(self, task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
        """Run the package until the evaluations end it.

        Args:
            task: Task of the run.
            seed: Seed of its random numbers.
            counted: Calculator that counts the evaluations.
            end: CPU time of the process, s, from which on an evaluation raises `RunEnded`.
        """

    def _is_ended(self, values: dict[str, Any]) -> bool:
        return bool(values["cpu_seconds"] >= self.max_cpu_seconds)

    def _search(self, task: Task, seed: int, counted: CountingCalculator) -> dict[str, Any]:
        begin = time.process_time()
        reason = ""
        try:
            with tempfile.TemporaryDirectory() as folder, chdir(folder):
                self._run_package(task, seed, counted, begin + self.max_cpu_seconds)
        except RunEnded:
            pass
        except Exception as error:  # noqa: BLE001 - the package raises any error
            reason = f"{type(error).__name__}: {error}"
        cpu_seconds = time.process_time() - begin
        if not counted.is_done and not reason:
            reason = f"{cpu_seconds:.0f} s of CPU time were used"
        return {"cpu_seconds": cpu_seconds, "reason": reason}

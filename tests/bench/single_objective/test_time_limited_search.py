"""Ends of runs of searches of other packages."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from bostruct.bench.single_objective.counting_calculator import CountingCalculator
from bostruct.bench.single_objective.task import Task
from bostruct.bench.single_objective.time_limited_search import RunEnded, TimeLimitedSearch
from bostruct.errors import InputError
from tests.bench.problems import task


@dataclass(frozen=True)
class Ending(TimeLimitedSearch):
    """A package that ends at once, as it is told to."""

    name: str = field(default="ending", init=False)
    error: type[BaseException] = RunEnded
    constants: ClassVar[list[float]] = []
    package: ClassVar[str] = "numpy"
    module: ClassVar[str] = "numpy"

    def _run_package(self, task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
        assert not list(Path.cwd().iterdir()), "its own files go to a folder of their own"
        raise self.error("no luck")


@dataclass(frozen=True)
class Missing(Ending):
    """A package that is not installed."""

    package: ClassVar[str] = "no-such-package"
    module: ClassVar[str] = "no_such_package"


def test_runs_end_by_time_or_by_an_error_of_the_package(tmp_path: Path) -> None:
    """The reason says so; a run without time is not begun again, with more time it is."""
    run = Ending(5, 1e-9).run(task(), 0, tmp_path / "time")
    assert run.reason == "0 s of CPU time were used"
    assert Ending(5, 1e-9).read(task(), 0, tmp_path / "time") == run
    assert not Ending(5, 1e9).read(task(), 0, tmp_path / "time").is_finished
    assert Ending(5, 60.0, error=ValueError).run(task(), 0, tmp_path).reason == (
        "ValueError: no luck"
    )


def test_limits_and_the_package_are_checked() -> None:
    """The way out is the name of the package."""
    for seconds in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="`max_cpu_seconds` must be positive"):
            Ending(5, seconds)
    with pytest.raises(InputError, match="pip install no-such-package"):
        Missing()

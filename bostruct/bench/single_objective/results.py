"""What a benchmark found: all runs, and a row for each task and method."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

import numpy as np
from scipy.stats import binomtest

from bostruct.bench.single_objective.run import TIMED_PARTS, Run
from bostruct.bench.single_objective.run_diagnosis import RunDiagnosis
from bostruct.bench.single_objective.statistics import (
    SuccessCurve,
    percentile,
    success_curve,
)
from bostruct.bench.single_objective.task import Task
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.versions import package_versions

FORMAT_VERSION = 1
RESULTS_JSON, SUMMARY_CSV, FAILURES_CSV = "results.json", "summary.csv", "failures.csv"


@final
@dataclass(frozen=True)
class MethodSummary:
    """One method on one task.

    Args:
        task: Its name.
        method: Its name.
        n_runs: That have ended; only these count.
        n_unfinished: That have not.
        n_solved: Of those that have ended.
        solved_low: Lower end of the 95 % Wilson interval of the share solved.
        solved_high: Upper end.
        median_evaluations: Evaluations to success, a failed run counted as the cap.
        p90_evaluations: The 90th percentile likewise.
        max_evaluations: Evaluations after which a run has failed.
        fit_seconds: Own time in a step, s, mean over all steps that had a surrogate.
        search_seconds: The same.
        log_seconds: The same.
        median_step_seconds: Median of their sum over those steps, s.
        max_step_seconds: Largest of their sums, s.
        z2: Mean z² of the energies that were predicted before they were known; median
            over the runs that had any.
        coverage_1sigma: The share of them within 1 σ, likewise.
    """

    task: str
    method: str
    n_runs: int
    n_unfinished: int
    n_solved: int
    solved_low: float
    solved_high: float
    median_evaluations: float | None
    p90_evaluations: float | None
    max_evaluations: int
    fit_seconds: float | None
    search_seconds: float | None
    log_seconds: float | None
    median_step_seconds: float | None
    max_step_seconds: float | None
    z2: float | None
    coverage_1sigma: float | None


@final
@dataclass(frozen=True)
class Results:
    """All runs of one benchmark.

    Args:
        tasks: In order.
        runs: Of every task, method and seed.
        diagnoses: Why some failed or were slow; known at the end.
    """

    tasks: Sequence[Task]
    runs: Sequence[Run]
    diagnoses: Sequence[RunDiagnosis] = ()

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def select(self, task: str, method: str) -> list[Run]:
        """Return the runs of one method on one task."""
        return [run for run in self.runs if (run.task, run.method) == (task, method)]

    def summaries(self) -> list[MethodSummary]:
        """Return a row for each task and method."""
        return [
            _summarize(found)
            for task in self.tasks
            for method in self.methods
            if (found := self.select(task.name, method))
        ]

    def success_curve(self, task: str, method: str) -> SuccessCurve | None:
        """Return the success curve, None before a run has ended."""
        ended = [run for run in self.select(task, method) if run.is_finished]
        if not ended:
            return None
        return success_curve(
            [run.evaluations_to_success for run in ended], ended[0].max_evaluations
        )

    def json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "format": FORMAT_VERSION,
            "versions": package_versions(),
            "tasks": {
                task.name: {
                    "reference": task.reference_energy,
                    "tolerance": task.tolerance,
                    "source": task.source,
                }
                for task in self.tasks
            },
            "summary": [asdict(row) for row in self.summaries()],
            "failures": [asdict(finding) for finding in self.diagnoses],
            "runs": [run.json() for run in self.runs],
        }

    def write(self, out: Path) -> None:
        """Write `results.json`, `summary.csv` and `failures.csv`.

        Raises:
            LogError: they cannot be written.
        """
        text = json.dumps(self.json(), ensure_ascii=False, allow_nan=False, indent=1)
        write_atomically(out / RESULTS_JSON, text.encode())
        write_atomically(out / SUMMARY_CSV, _to_csv(MethodSummary, self.summaries()))
        write_atomically(out / FAILURES_CSV, _to_csv(RunDiagnosis, self.diagnoses))


def _to_csv(row_type: type, rows: Sequence[MethodSummary | RunDiagnosis]) -> bytes:
    """Return CSV with a column for each field."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(row_type)])
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    return text.getvalue().encode()


def _summarize(runs: Sequence[Run]) -> MethodSummary:
    ended = [run for run in runs if run.is_finished]
    counts = [run.evaluations_to_success for run in ended]
    solved = sum(count is not None for count in counts)
    low, high = 0.0, 1.0
    if ended:
        low, high = binomtest(solved, len(ended)).proportion_ci(method="wilson")
    steps = [parts for run in runs for parts in run.step_seconds]
    means = (
        {part: math.fsum(column) / len(steps) for part, column in _seconds_by_part(steps)}
        if steps
        else dict.fromkeys(TIMED_PARTS)
    )
    own = [seconds for run in runs for seconds in run.total_step_seconds]
    cap = runs[0].max_evaluations
    return MethodSummary(
        task=runs[0].task,
        method=runs[0].method,
        n_runs=len(ended),
        n_unfinished=len(runs) - len(ended),
        n_solved=solved,
        solved_low=low,
        solved_high=high,
        median_evaluations=percentile(counts, 0.5, cap),
        p90_evaluations=percentile(counts, 0.9, cap),
        max_evaluations=cap,
        fit_seconds=means["fit"],
        search_seconds=means["search"],
        log_seconds=means["log"],
        median_step_seconds=_median(own),
        max_step_seconds=max(own, default=None),
        z2=_median([run.z2 for run in ended]),
        coverage_1sigma=_median([run.coverage_1sigma for run in ended]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median of those that are known; None if it is none or infinite."""
    found = [value for value in values if value is not None]
    middle = float(np.median(found)) if found else math.inf
    return middle if math.isfinite(middle) else None


def _seconds_by_part(
    steps: Sequence[Sequence[float]],
) -> list[tuple[str, tuple[float, ...]]]:
    return list(zip(TIMED_PARTS, zip(*steps, strict=True), strict=True))

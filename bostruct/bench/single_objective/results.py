"""Results of the energy benchmark: all runs, and a summary for each task and method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from bostruct.bench.benchmark import write_json
from bostruct.bench.single_objective.one_step_ahead import OneStepAheadScores, score_methods
from bostruct.bench.single_objective.run import TIMED_PARTS, Run
from bostruct.bench.single_objective.statistics import SuccessCurve, percentile, success_curve
from bostruct.bench.single_objective.task import Task
from bostruct.bench.tables import dataclass_frame, write_csv
from bostruct.campaign.analysis.calibration import wilson_interval
from bostruct.runtime.versions import package_versions

FORMAT_VERSION = 3
RESULTS_JSON, SUMMARY_CSV, FAILURES_CSV = "results.json", "summary.csv", "failures.csv"
CALIBRATION_CSV = "calibration.csv"


@final
@dataclass(frozen=True)
class MethodSummary:
    """Summary of one method on one task.

    Args:
        task: Name of the task.
        method: Name of the method.
        n_runs: Number of runs that have ended; only these count below.
        n_unfinished: Number of runs that have not ended.
        n_solved: Number of runs that solved the task.
        solved_low: Lower end of the 95 % Wilson interval of the solved fraction.
        solved_high: Upper end of the 95 % Wilson interval of the solved fraction.
        median_evaluations: Median evaluations to success; a failed run counts as the limit.
        p90_evaluations: 90th percentile of the evaluations to success.
        max_evaluations: Number of evaluations after which a run has failed.
        fit_seconds: Mean time of the fit in a model step, s.
        search_seconds: Mean time of the search in a model step, s.
        log_seconds: Mean time of the log in a model step, s.
        median_step_seconds: Median time of a model step without its evaluations, s.
        max_step_seconds: Longest time of a model step without its evaluations, s.
        cpu_seconds: CPU time per evaluation, the evaluator's own included; median over the runs, s.
        z2: Mean z² of the energies predicted before they were evaluated; median over the runs.
        coverage_1sigma: Fraction of these energies within 1 σ; median over the runs.
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
    cpu_seconds: float | None
    z2: float | None
    coverage_1sigma: float | None


@final
@dataclass(frozen=True)
class RunDiagnosis:
    """Cause of one failed or slow run.

    Args:
        task: Name of the task.
        method: Name of the method.
        seed: Random seed of the run.
        evaluations_to_success: Number of evaluations to success; None for a failed run.
        cause: One of the causes listed in `diagnosis.failures`.
        energy_gap: Lowest energy before success, above the reference energy, eV.
        n_diagnosed_steps: Number of diagnosed steps.
        n_agreeing_steps: Number of diagnosed steps with this cause.
        z_score: (E - mean) / σ of the reference minimum in the last agreeing step.
        detail: Explanation in words.
    """

    task: str
    method: str
    seed: int
    evaluations_to_success: int | None
    cause: str
    energy_gap: float | None
    n_diagnosed_steps: int = 0
    n_agreeing_steps: int = 0
    z_score: float | None = None
    detail: str = ""


@final
@dataclass(frozen=True)
class Results:
    """All runs of one benchmark.

    Args:
        tasks: Tasks in order.
        runs: Run of every task, method and seed.
        diagnoses: Causes of failed and slow runs, known at the end.
    """

    tasks: Sequence[Task]
    runs: Sequence[Run]
    diagnoses: Sequence[RunDiagnosis] = ()

    @property
    def methods(self) -> list[str]:
        """Names of the methods in order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def select(self, task: str, method: str) -> list[Run]:
        """Return the runs of one method on one task."""
        return [run for run in self.runs if (run.task, run.method) == (task, method)]

    def summaries(self) -> list[MethodSummary]:
        """Return a summary for each task and method."""
        return [
            _summarize(runs)
            for task in self.tasks
            for method in self.methods
            if (runs := self.select(task.name, method))
        ]

    def calibration(self) -> list[OneStepAheadScores]:
        """Return the scores of the energies predicted one step ahead, by task and method."""
        return score_methods([run for run in self.runs if run.is_finished])

    def success_curve(self, task: str, method: str) -> SuccessCurve | None:
        """Return the success curve, None before a run has ended."""
        ended = [run for run in self.select(task, method) if run.is_finished]
        if not ended:
            return None
        counts = [run.evaluations_to_success for run in ended]
        return success_curve(counts, ended[0].max_evaluations)

    def json(self) -> dict[str, Any]:
        """Return tasks, summaries, diagnoses and runs as JSON values."""
        return {
            "format": FORMAT_VERSION,
            "versions": package_versions(),
            "seeds": sorted({run.seed for run in self.runs}),
            "tasks": {
                task.name: {
                    "reference_energy": task.reference_energy,
                    "tolerance": task.tolerance,
                    "source": task.source,
                }
                for task in self.tasks
            },
            "summary": [asdict(row) for row in self.summaries()],
            "calibration": [asdict(row) for row in self.calibration()],
            "failures": [asdict(diagnosis) for diagnosis in self.diagnoses],
            "runs": [run.json() for run in self.runs],
        }

    def write(self, out: Path) -> None:
        """Write `results.json`, `summary.csv`, `calibration.csv` and `failures.csv`.

        Raises:
            LogError: a file cannot be written.
        """
        write_json(self.json(), out / RESULTS_JSON)
        write_csv(dataclass_frame(MethodSummary, self.summaries()), out / SUMMARY_CSV)
        write_csv(dataclass_frame(OneStepAheadScores, self.calibration()), out / CALIBRATION_CSV)
        write_csv(dataclass_frame(RunDiagnosis, self.diagnoses), out / FAILURES_CSV)


def _summarize(runs: Sequence[Run]) -> MethodSummary:
    ended = [run for run in runs if run.is_finished]
    counts = [run.evaluations_to_success for run in ended]
    n_solved = sum(count is not None for count in counts)
    low, high = wilson_interval(n_solved, len(ended))
    steps = [parts for run in runs for parts in run.step_seconds]
    by_part = dict(zip(TIMED_PARTS, zip(*steps, strict=True), strict=bool(steps)))
    means = {part: math.fsum(seconds) / len(steps) for part, seconds in by_part.items()}
    totals = [seconds for run in runs for seconds in run.total_step_seconds]
    limit = runs[0].max_evaluations
    return MethodSummary(
        task=runs[0].task,
        method=runs[0].method,
        n_runs=len(ended),
        n_unfinished=len(runs) - len(ended),
        n_solved=n_solved,
        solved_low=low,
        solved_high=high,
        median_evaluations=percentile(counts, 0.5, limit),
        p90_evaluations=percentile(counts, 0.9, limit),
        max_evaluations=limit,
        fit_seconds=means.get("fit"),
        search_seconds=means.get("search"),
        log_seconds=means.get("log"),
        median_step_seconds=_median(totals),
        max_step_seconds=max(totals, default=None),
        cpu_seconds=_median([run.cpu_seconds_per_evaluation for run in ended]),
        z2=_median([run.z2 for run in ended]),
        coverage_1sigma=_median([run.coverage_1sigma for run in ended]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median of the known values; None if there are none or it is infinite."""
    known = [value for value in values if value is not None]
    median = float(np.median(known)) if known else math.inf
    return median if math.isfinite(median) else None

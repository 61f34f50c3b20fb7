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

from bostruct.bench.single_objective.run import PARTS, Run
from bostruct.bench.single_objective.run_diagnosis import Finding
from bostruct.bench.single_objective.statistics import Curve, curve, percentile
from bostruct.bench.single_objective.task import Task
from bostruct.runtime.atomic_write import write
from bostruct.runtime.versions import versions
from bostruct.uncertainty.calibration.wilson import wilson

FORMAT = 1
JSON, CSV, FAILURES = "results.json", "summary.csv", "failures.csv"


@final
@dataclass(frozen=True)
class Row:
    """One method on one task.

    Args:
        task: Its name.
        method: Its name.
        runs: That have ended; only these count.
        unfinished: That have not.
        solved: Of those that have ended.
        low: Lower end of the 95 % Wilson interval of the share solved.
        high: Upper end.
        median: Evaluations to success, a failed run counted as the cap.
        p90: The 90th percentile likewise.
        cap: Evaluations after which a run has failed.
        fit: Own time in a step, s, mean over all steps that had a surrogate.
        search: The same.
        log: The same.
        step: Median of their sum over those steps, s.
        slowest: Largest of their sums, s.
        z2: Mean z² of the energies that were predicted before they were known; median
            over the runs that had any.
        within: The share of them within 1 σ, likewise.
    """

    task: str
    method: str
    runs: int
    unfinished: int
    solved: int
    low: float
    high: float
    median: float | None
    p90: float | None
    cap: int
    fit: float | None
    search: float | None
    log: float | None
    step: float | None
    slowest: float | None
    z2: float | None
    within: float | None


@final
@dataclass(frozen=True)
class Results:
    """All runs of one benchmark.

    Args:
        tasks: In order.
        runs: Of every task, method and seed.
        findings: Why some failed or were slow; known at the end.
    """

    tasks: Sequence[Task]
    runs: Sequence[Run]
    findings: Sequence[Finding] = ()

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    def of(self, task: str, method: str) -> list[Run]:
        """Return the runs of one method on one task."""
        return [run for run in self.runs if (run.task, run.method) == (task, method)]

    def rows(self) -> list[Row]:
        """Return a row for each task and method."""
        return [
            _row(found)
            for task in self.tasks
            for method in self.methods
            if (found := self.of(task.name, method))
        ]

    def curve(self, task: str, method: str) -> Curve | None:
        """Return the success curve, None before a run has ended."""
        ended = [run for run in self.of(task, method) if run.finished]
        if not ended:
            return None
        return curve([run.evaluations for run in ended], ended[0].cap)

    def json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "format": FORMAT,
            "versions": versions(),
            "tasks": {
                task.name: {
                    "reference": task.reference,
                    "tolerance": task.tolerance,
                    "source": task.source,
                }
                for task in self.tasks
            },
            "summary": [asdict(row) for row in self.rows()],
            "failures": [asdict(finding) for finding in self.findings],
            "runs": [run.json() for run in self.runs],
        }

    def write(self, out: Path) -> None:
        """Write `results.json`, `summary.csv` and `failures.csv`.

        Raises:
            LogError: they cannot be written.
        """
        text = json.dumps(self.json(), ensure_ascii=False, allow_nan=False, indent=1)
        write(out / JSON, text.encode())
        write(out / CSV, _table(Row, self.rows()))
        write(out / FAILURES, _table(Finding, self.findings))


def _table(kind: type, rows: Sequence[Row | Finding]) -> bytes:
    """Return CSV with a column for each field."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(kind)])
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    return text.getvalue().encode()


def _row(runs: Sequence[Run]) -> Row:
    ended = [run for run in runs if run.finished]
    counts = [run.evaluations for run in ended]
    solved = sum(count is not None for count in counts)
    low, high = wilson(solved, len(ended))
    steps = [parts for run in runs for parts in run.seconds]
    means = (
        {part: math.fsum(column) / len(steps) for part, column in _columns(steps)}
        if steps
        else dict.fromkeys(PARTS)
    )
    own = [seconds for run in runs for seconds in run.own]
    cap = runs[0].cap
    return Row(
        task=runs[0].task,
        method=runs[0].method,
        runs=len(ended),
        unfinished=len(runs) - len(ended),
        solved=solved,
        low=low,
        high=high,
        median=percentile(counts, 0.5, cap),
        p90=percentile(counts, 0.9, cap),
        cap=cap,
        fit=means["fit"],
        search=means["search"],
        log=means["log"],
        step=_median(own),
        slowest=max(own, default=None),
        z2=_median([run.z2 for run in ended]),
        within=_median([run.within for run in ended]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median of those that are known; None if it is none or infinite."""
    found = [value for value in values if value is not None]
    middle = float(np.median(found)) if found else math.inf
    return middle if math.isfinite(middle) else None


def _columns(
    steps: Sequence[Sequence[float]],
) -> list[tuple[str, tuple[float, ...]]]:
    return list(zip(PARTS, zip(*steps, strict=True), strict=True))

"""Comparison of the uncertainty estimates of several methods on the same data.

Section 2.6 of Grasselli et al., Digital Discovery 4, 2654 (2025): no method is the best everywhere,
and workflows to change the method and compare are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from rich.console import RenderableType

from bostruct.bench.benchmark import check_unique_names, make_folder, write_json
from bostruct.bench.tables import data_frame, write_csv
from bostruct.bench.uncertainty import plots, score_tables
from bostruct.bench.uncertainty.method_predictions import (
    FORMAT_VERSION,
    QUANTITIES,
    UNITS,
    MethodPredictions,
    SupportsFit,
)
from bostruct.bench.uncertainty.methods import variance_sources
from bostruct.bench.uncertainty.score_rows import ScoreRow
from bostruct.bench.uncertainty.split import ShiftKind, split_structures
from bostruct.bench.uncertainty.split_run import MethodCallback, SplitRun, run_split
from bostruct.bench.uncertainty.split_statistics import SplitStatistics, collect_split_statistics
from bostruct.errors import InputError, check_count, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.canonical_json import json_finite
from bostruct.runtime.versions import package_versions
from bostruct.structures import Structures

if TYPE_CHECKING:
    from pandas import DataFrame

COMPARISON_JSON, COMPARISON_CSV, COMPARISON_MARKDOWN = (
    "comparison.json",
    "comparison.csv",
    "comparison.md",
)


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions and scores of all methods on one set of data.

    Attributes:
        split_runs: Predictions of all methods for each split, in order.
    """

    split_runs: tuple[SplitRun, ...]

    @property
    def description(self) -> Mapping[str, Any]:
        """Description of the first split, as JSON values."""
        return self.split_runs[0].description

    @property
    def predictions(self) -> tuple[MethodPredictions, ...]:
        """Predictions of each method on the first split, in order."""
        return self.split_runs[0].predictions

    @cached_property
    def rows(self) -> list[ScoreRow]:
        """Scores of each split, set, quantity and method."""
        return [row for split_run in self.split_runs for row in split_run.rows]

    @cached_property
    def statistics(self) -> list[SplitStatistics]:
        """Statistics over all splits for each set, quantity and method."""
        return collect_split_statistics(self.rows)

    def table(self) -> RenderableType:
        """Return tables, notes and legend for a terminal."""
        return score_tables.render_terminal(*self._tables())

    def markdown(self) -> str:
        """Return tables, notes and legend as Markdown."""
        return score_tables.render_markdown(*self._tables())

    @property
    def notes(self) -> list[str]:
        """Notes on the sets, duplicates, failures, and the sources of the variances."""
        sizes = ", ".join(f"{name} {size}" for name, size in self.description["sizes"].items())
        first, last = self.split_runs[0].seed, self.split_runs[-1].seed
        seeds = f"seed {first}"
        if len(self.split_runs) > 1:
            seeds = f"{len(self.split_runs)} splits, seeds {first} to {last}"
        notes = [f"Structures: {sizes}; {self.description['shift_note']}; {seeds}."]
        for run in self.split_runs:
            duplicates = run.description["n_duplicates"]
            counts = ", ".join(f"{count} of {name}" for name, count in duplicates.items() if count)
            if counts:
                notes.append(
                    f"Duplicates of training structures{self._seed_suffix(run)}: {counts}."
                )
        for run in self.split_runs:
            for prediction in run.predictions:
                for name, reason in prediction.failures.items():
                    suffix = self._seed_suffix(run)
                    notes.append(f"{prediction.method} refused {name}{suffix}: {reason}")
        return notes + variance_sources(self.predictions)

    def json(self) -> dict[str, Any]:
        """Return all scores as JSON values, None for infinite and missing ones."""
        return {
            "format": FORMAT_VERSION,
            "versions": package_versions(),
            "split": dict(self.description),
            "methods": {run.method: run.description for run in self.predictions},
            "failures": _failures(self.split_runs[0]),
            "units": UNITS,
            "rows": [json_finite(row.to_dict()) for row in self.rows],
            "splits": [
                dict(run.description) | {"failures": _failures(run)} for run in self.split_runs
            ],
            "statistics": [json_finite(row.to_dict()) for row in self.statistics],
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write JSON, CSV, Markdown and a page of plots for each quantity; return their paths.

        Raises:
            LogError: a file cannot be written.
        """
        out = make_folder(Path(folder))
        write_json(self.json(), out / COMPARISON_JSON)
        rows = [row.to_dict() for row in self.rows]
        write_csv(data_frame(rows, list(rows[0])), out / COMPARISON_CSV)
        write_atomically(out / COMPARISON_MARKDOWN, self.markdown().encode())
        paths = [out / COMPARISON_JSON, out / COMPARISON_CSV, out / COMPARISON_MARKDOWN]
        for quantity in QUANTITIES:
            run = next((run for run in self.split_runs if run.has_variances(quantity)), None)
            if run is not None:
                paths.append(out / f"{quantity}.png")
                plots.draw_page(run.predictions, self.rows, quantity, paths[-1])
        return paths

    def _tables(self) -> tuple[dict[str, DataFrame], list[str], tuple[str, ...]]:
        """Return the tables by title, the notes and the legend."""
        return score_tables.score_tables(self.statistics), self.notes, score_tables.LEGEND

    def _seed_suffix(self, split_run: SplitRun) -> str:
        return "" if len(self.split_runs) == 1 else f", seed {split_run.seed}"


def compare(
    structures: Structures,
    methods: Mapping[str, SupportsFit],
    *,
    n_train: int = 100,
    n_calibrate: int = 100,
    n_test: int | None = None,
    shifted: Mapping[str, Structures] | None = None,
    shift: ShiftKind = "energy",
    seed: int = 0,
    n_splits: int = 1,
    out: str | Path | None = None,
    on_progress: MethodCallback | None = None,
) -> Comparison:
    """Fit every method to the same structures, and score its uncertainty estimates.

    Args:
        structures: Structures with energies, and with forces where they are known.
        methods: Methods by name; `fit` takes structures and returns a model with `predict`.
        n_train: Number of training structures.
        n_calibrate: Number of structures for calibration factors and conformal intervals.
        n_test: Largest number of test structures; None for all others.
        shifted: Sets from another distribution, by name; None to take one from `structures`.
        shift: Kind of the shifted set taken from `structures`: "energy", "size" or "none".
        seed: Random seed of the split.
        n_splits: Number of random splits, with `seed`, `seed` + 1 and so on; every method is
            fitted to each.
        out: Folder of the results. Predictions are on disk as soon as they are known, and are
            read from there next time.
        on_progress: Called with the name of each method before it is fitted.

    Raises:
        InputError: there is no method or no split, an energy is missing, there are too few
            structures, or every method has refused them.
        LogError: the folder cannot be written, or holds something else.
    """
    check_unique_names("methods", list(methods))
    check_count("n_splits", n_splits)
    split_runs: list[SplitRun] = []
    for i in range(n_splits):
        split = split_structures(
            structures,
            n_train=n_train,
            n_calibrate=n_calibrate,
            n_test=n_test,
            shifted=shifted,
            shift=shift,
            seed=seed + i,
        )
        root = None if out is None else Path(out)
        callback = _with_split_number(on_progress, i, n_splits)
        split_runs.append(run_split(split, methods, seed + i, root, callback, is_first=i == 0))
    comparison = Comparison(tuple(split_runs))
    if not comparison.rows:
        first = comparison.predictions[0]
        value = f"{first.method}: {next(iter(first.failures.values()))}"
        raise InputError(error_message("methods", "be able to learn from these structures", value))
    if out is not None:
        comparison.write(out)
    return comparison


def _with_split_number(
    on_progress: MethodCallback | None, i: int, n_splits: int
) -> MethodCallback | None:
    """Return a callback that adds the number of the split, if there are several."""
    if on_progress is None or n_splits == 1:
        return on_progress
    return lambda name: on_progress(f"{name}, split {i + 1} of {n_splits}")


def _failures(split_run: SplitRun) -> dict[str, dict[str, str]]:
    return {run.method: dict(run.failures) for run in split_run.predictions if run.failures}

"""Several methods on the same data, and what their error bars are worth.

Section 2.6 of Grasselli et al., Digital Discovery 4, 2654 (2025): no method wins
everywhere, and no workflow lets one change the method and see which one to believe.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from rich.console import RenderableType

from bostruct.bench.uncertainty import (
    multiple_split_tables,
    plots,
    single_split_tables,
    tables,
)
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
from bostruct.bench.uncertainty.split_run import (
    MethodCallback,
    SplitRun,
    make_folder,
    run_split,
)
from bostruct.bench.uncertainty.split_statistics import (
    SplitStatistics,
    collect_split_statistics,
)
from bostruct.errors import InputError, check_count, error_message
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.versions import package_versions
from bostruct.structures import Structures

COMPARISON_JSON, COMPARISON_CSV, COMPARISON_MARKDOWN = (
    "comparison.json",
    "comparison.csv",
    "comparison.md",
)


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """What came of all methods on one set of data.

    Attributes:
        split_runs: One for each split, in order.
    """

    split_runs: tuple[SplitRun, ...]

    @property
    def description(self) -> Mapping[str, Any]:
        """What tells the first split from others, as JSON values."""
        return self.split_runs[0].description

    @property
    def predictions(self) -> tuple[MethodPredictions, ...]:
        """What each method said of the first split, in order."""
        return self.split_runs[0].predictions

    @cached_property
    def rows(self) -> list[ScoreRow]:
        """A row for each split, set, quantity and method that has one."""
        return [row for one in self.split_runs for row in one.rows]

    @cached_property
    def statistics(self) -> list[SplitStatistics]:
        """All splits together: one for each set, quantity and method."""
        return collect_split_statistics(self.rows)

    def table(self) -> RenderableType:
        """Return the tables for a terminal, with what there is to say about them."""
        return tables.render_terminal(self._tables(), self.notes, self._legend())

    def markdown(self) -> str:
        """Return the tables as Markdown."""
        return tables.render_markdown(self._tables(), self.notes, self._legend())

    @property
    def notes(self) -> list[str]:
        """How the sets came about, what a method refused, and where σ is from."""
        about = self.description
        sizes = ", ".join(f"{name} {size}" for name, size in about["sizes"].items())
        if len(self.split_runs) == 1:
            seeds = f"seed {about['seed']}"
        else:
            first, last = about["seed"], self.split_runs[-1].seed
            seeds = f"{len(self.split_runs)} splits, seeds {first} to {last}"
        found = [f"Structures: {sizes}; {about['note']}; {seeds}."]
        for one in self.split_runs:
            same = {name: count for name, count in one.description["twins"].items() if count}
            if same:
                many = ", ".join(f"{count} of {name}" for name, count in same.items())
                where = self._seed_suffix(one)
                found.append(f"The same as a structure of the training{where}: {many}.")
        for one in self.split_runs:
            for said in one.predictions:
                for name, reason in said.failures.items():
                    where = self._seed_suffix(one)
                    found.append(f"{said.method} refused {name}{where}: {reason}")
        return found + variance_sources(self.predictions)

    def json(self) -> dict[str, Any]:
        """Return all scores as JSON values; what is infinite or missing is None."""
        return {
            "format": FORMAT_VERSION,
            "versions": package_versions(),
            "about": dict(self.description),
            "methods": {one.method: one.description for one in self.predictions},
            "failures": _failures(self.split_runs[0]),
            "units": UNITS,
            "rows": [_json_finite(one.to_dict()) for one in self.rows],
            "splits": [
                dict(one.description) | {"failures": _failures(one)} for one in self.split_runs
            ],
            "spreads": [_json_finite(one.to_dict()) for one in self.statistics],
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write JSON, CSV, Markdown and pages of plots; return their paths.

        Raises:
            LogError: they cannot be written.
        """
        out = make_folder(Path(folder))
        text = json.dumps(self.json(), ensure_ascii=False, allow_nan=False, indent=1)
        write_atomically(out / COMPARISON_JSON, text.encode())
        lines = io.StringIO()
        sink = csv.DictWriter(lines, list(self.rows[0].to_dict()))
        sink.writeheader()
        sink.writerows(one.to_dict() for one in self.rows)
        write_atomically(out / COMPARISON_CSV, lines.getvalue().encode())
        write_atomically(out / COMPARISON_MARKDOWN, self.markdown().encode())
        paths = [out / COMPARISON_JSON, out / COMPARISON_CSV, out / COMPARISON_MARKDOWN]
        for quantity in QUANTITIES:
            drawn = next((one for one in self.split_runs if one.has_variances(quantity)), None)
            if drawn is not None:
                path = out / f"{quantity}.png"
                plots.draw_page(drawn.predictions, self.rows, quantity, path)
                paths.append(path)
        return paths

    def _tables(self) -> list[tables.ScoreTable]:
        if len(self.split_runs) == 1:
            return single_split_tables.split_tables(self.rows)
        return multiple_split_tables.statistics_tables(self.statistics)

    def _legend(self) -> tuple[str, ...]:
        return (
            single_split_tables.SPLIT_LEGEND
            if len(self.split_runs) == 1
            else multiple_split_tables.STATISTICS_LEGEND
        )

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
    """Fit every method to the same structures, and judge their error bars.

    Args:
        structures: With energies, and forces where there are any.
        methods: By name; each is fitted to structures, and what `fit` returns predicts
            others.
        n_train: How many structures to learn from.
        n_calibrate: How many to find factors and intervals from.
        n_test: How many to judge by, at most; the rest by default.
        shifted: Sets of another kind, by name; see `split` for what is done without.
        shift: "energy", "size" or "none".
        seed: Of the shuffling.
        n_splits: How often the data are dealt out anew, with `seed`, `seed` + 1 and so
            on; every method is fitted anew to each.
        out: A folder. What a method says of a split is on disk as soon as it is known,
            and is taken from there next time.
        on_progress: Is told the name of each method before it is fitted.

    Raises:
        InputError: there is no method or no split, an energy is missing, there are too
            few structures, or every method has refused them.
        LogError: the folder cannot be written, or holds something else.
    """
    if not methods:
        raise InputError(error_message("methods", "be at least one", "none"))
    check_count("n_splits", n_splits)
    divisions: list[SplitRun] = []
    for i in range(n_splits):
        sets = split_structures(
            structures,
            n_train=n_train,
            n_calibrate=n_calibrate,
            n_test=n_test,
            shifted=shifted,
            shift=shift,
            seed=seed + i,
        )
        root = None if out is None else Path(out)
        told = _with_split_number(on_progress, i, n_splits)
        divisions.append(run_split(sets, methods, seed + i, root, told, is_first=i == 0))
    found = Comparison(tuple(divisions))
    if not found.rows:
        name, reason = next(
            (one.method, next(iter(one.failures.values()))) for one in found.predictions
        )
        condition = "be able to learn from these structures"
        raise InputError(error_message("methods", condition, f"{name}: {reason}"))
    if out is not None:
        found.write(out)
    return found


def _with_split_number(
    on_progress: MethodCallback | None, i: int, n_splits: int
) -> MethodCallback | None:
    """Return what is told which split it is, too, if there are several."""
    if on_progress is None or n_splits == 1:
        return on_progress
    return lambda name: on_progress(f"{name}, split {i + 1} of {n_splits}")


def _failures(split_run: SplitRun) -> dict[str, dict[str, str]]:
    return {said.method: dict(said.failures) for said in split_run.predictions if said.failures}


def _json_finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON values of which none is infinite."""
    if isinstance(value, Mapping):
        return {name: _json_finite(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_json_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

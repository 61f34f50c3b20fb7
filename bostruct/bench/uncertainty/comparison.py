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
    FORMAT,
    QUANTITIES,
    UNITS,
    Fits,
    Outcome,
)
from bostruct.bench.uncertainty.methods import sources
from bostruct.bench.uncertainty.score_rows import Row
from bostruct.bench.uncertainty.split import Shift, split
from bostruct.bench.uncertainty.split_run import Division, Tell, divide, made
from bostruct.bench.uncertainty.split_statistics import Spread, spreads
from bostruct.errors import InputError, check_count, must
from bostruct.runtime.atomic_write import write
from bostruct.runtime.versions import versions
from bostruct.structures import Structures

JSON, CSV, MARKDOWN = "comparison.json", "comparison.csv", "comparison.md"


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """What came of all methods on one set of data.

    Attributes:
        divisions: One for each split, in order.
    """

    divisions: tuple[Division, ...]

    @property
    def about(self) -> Mapping[str, Any]:
        """What tells the first split from others, as JSON values."""
        return self.divisions[0].about

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What each method said of the first split, in order."""
        return self.divisions[0].outcomes

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each split, set, quantity and method that has one."""
        return [row for one in self.divisions for row in one.rows]

    @cached_property
    def spreads(self) -> list[Spread]:
        """All splits together: one for each set, quantity and method."""
        return spreads(self.rows)

    def table(self) -> RenderableType:
        """Return the tables for a terminal, with what there is to say about them."""
        return tables.terminal(self._sheets(), self.notes, self._legend())

    def markdown(self) -> str:
        """Return the tables as Markdown."""
        return tables.markdown(self._sheets(), self.notes, self._legend())

    @property
    def notes(self) -> list[str]:
        """How the sets came about, what a method refused, and where σ is from."""
        about = self.about
        sizes = ", ".join(f"{name} {size}" for name, size in about["sizes"].items())
        if len(self.divisions) == 1:
            seeds = f"seed {about['seed']}"
        else:
            first, last = about["seed"], self.divisions[-1].seed
            seeds = f"{len(self.divisions)} splits, seeds {first} to {last}"
        found = [f"Structures: {sizes}; {about['note']}; {seeds}."]
        for one in self.divisions:
            same = {name: count for name, count in one.about["twins"].items() if count}
            if same:
                many = ", ".join(f"{count} of {name}" for name, count in same.items())
                where = self._where(one)
                found.append(f"The same as a structure of the training{where}: {many}.")
        for one in self.divisions:
            for said in one.outcomes:
                for name, reason in said.failures.items():
                    where = self._where(one)
                    found.append(f"{said.method} refused {name}{where}: {reason}")
        return found + sources(self.outcomes)

    def json(self) -> dict[str, Any]:
        """Return all scores as JSON values; what is infinite or missing is None."""
        return {
            "format": FORMAT,
            "versions": versions(),
            "about": dict(self.about),
            "methods": {one.method: one.about for one in self.outcomes},
            "failures": _failures(self.divisions[0]),
            "units": UNITS,
            "rows": [_finite(one.flat()) for one in self.rows],
            "splits": [
                dict(one.about) | {"failures": _failures(one)} for one in self.divisions
            ],
            "spreads": [_finite(one.flat()) for one in self.spreads],
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write JSON, CSV, Markdown and pages of plots; return their paths.

        Raises:
            LogError: they cannot be written.
        """
        out = made(Path(folder))
        text = json.dumps(self.json(), ensure_ascii=False, allow_nan=False, indent=1)
        write(out / JSON, text.encode())
        lines = io.StringIO()
        sink = csv.DictWriter(lines, list(self.rows[0].flat()))
        sink.writeheader()
        sink.writerows(one.flat() for one in self.rows)
        write(out / CSV, lines.getvalue().encode())
        write(out / MARKDOWN, self.markdown().encode())
        paths = [out / JSON, out / CSV, out / MARKDOWN]
        for quantity in QUANTITIES:
            drawn = next((one for one in self.divisions if one.says(quantity)), None)
            if drawn is not None:
                path = out / f"{quantity}.png"
                plots.draw(drawn.outcomes, self.rows, quantity, path)
                paths.append(path)
        return paths

    def _sheets(self) -> list[tables.Sheet]:
        if len(self.divisions) == 1:
            return single_split_tables.sheets(self.rows)
        return multiple_split_tables.sheets(self.spreads)

    def _legend(self) -> tuple[str, ...]:
        return (
            single_split_tables.LEGEND
            if len(self.divisions) == 1
            else multiple_split_tables.LEGEND
        )

    def _where(self, one: Division) -> str:
        return "" if len(self.divisions) == 1 else f", seed {one.seed}"


def compare(
    structures: Structures,
    methods: Mapping[str, Fits],
    *,
    train: int = 100,
    calibrate: int = 100,
    test: int | None = None,
    shifted: Mapping[str, Structures] | None = None,
    shift: Shift = "energy",
    seed: int = 0,
    splits: int = 1,
    out: str | Path | None = None,
    tell: Tell | None = None,
) -> Comparison:
    """Fit every method to the same structures, and judge their error bars.

    Args:
        structures: With energies, and forces where there are any.
        methods: By name; each is fitted to structures, and what `fit` returns predicts
            others.
        train: How many structures to learn from.
        calibrate: How many to find factors and intervals from.
        test: How many to judge by, at most; the rest by default.
        shifted: Sets of another kind, by name; see `split` for what is done without.
        shift: "energy", "size" or "none".
        seed: Of the shuffling.
        splits: How often the data are dealt out anew, with `seed`, `seed` + 1 and so
            on; every method is fitted anew to each.
        out: A folder. What a method says of a split is on disk as soon as it is known,
            and is taken from there next time.
        tell: Is told the name of each method before it is fitted.

    Raises:
        InputError: there is no method or no split, an energy is missing, there are too
            few structures, or every method has refused them.
        LogError: the folder cannot be written, or holds something else.
    """
    if not methods:
        raise InputError(must("methods", "be at least one", "none"))
    check_count("splits", splits)
    divisions: list[Division] = []
    for i in range(splits):
        sets = split(
            structures,
            train=train,
            calibrate=calibrate,
            test=test,
            shifted=shifted,
            shift=shift,
            seed=seed + i,
        )
        root = None if out is None else Path(out)
        told = _numbered(tell, i, splits)
        divisions.append(divide(sets, methods, seed + i, root, told, first=i == 0))
    found = Comparison(tuple(divisions))
    if not found.rows:
        name, reason = next(
            (one.method, next(iter(one.failures.values()))) for one in found.outcomes
        )
        condition = "be able to learn from these structures"
        raise InputError(must("methods", condition, f"{name}: {reason}"))
    if out is not None:
        found.write(out)
    return found


def _numbered(tell: Tell | None, i: int, splits: int) -> Tell | None:
    """Return what is told which split it is, too, if there are several."""
    if tell is None or splits == 1:
        return tell
    return lambda name: tell(f"{name}, split {i + 1} of {splits}")


def _failures(one: Division) -> dict[str, dict[str, str]]:
    return {said.method: dict(said.failures) for said in one.outcomes if said.failures}


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON values of which none is infinite."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

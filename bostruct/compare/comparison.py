"""Several methods on the same data, and what their error bars are worth.

Section 2.6 of Grasselli et al., Digital Discovery 4, 2654 (2025): no method wins
everywhere, and no workflow lets one change the method and see which one to believe.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from rich.console import RenderableType

from bostruct.campaign.durable import write
from bostruct.campaign.schema import versions
from bostruct.compare import page, table
from bostruct.compare.methods import sources
from bostruct.compare.outcome import (
    FORMAT,
    QUANTITIES,
    UNITS,
    Fits,
    Outcome,
    identity,
    measure,
)
from bostruct.compare.row import Row, row
from bostruct.compare.split import CALIBRATE, Shift, Split, split
from bostruct.errors import BostructError, InputError, LogError, must
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP

JSON, CSV, MARKDOWN = "comparison.json", "comparison.csv", "comparison.md"
OUTCOMES = "methods"
"""The folder of what each method said."""

Tell = Callable[[str], None]
"""Is told the name of the method that is to come."""


@final
@dataclass(frozen=True, eq=False)
class Comparison:
    """What came of all methods on one set of data.

    Attributes:
        about: What tells the comparison from others, as JSON values.
        outcomes: One for each method, in order.
    """

    about: Mapping[str, Any]
    outcomes: Sequence[Outcome]

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each set, quantity and method that has one."""
        cheapest = min((one.predict for one in self.outcomes if one.parts), default=0.0)
        return [
            found
            for quantity in QUANTITIES
            for place in self.about["sizes"]
            if place not in ("train", CALIBRATE)
            for outcome in self.outcomes
            if (found := row(outcome, place, quantity, cheapest)) is not None
        ]

    def table(self) -> RenderableType:
        """Return the tables for a terminal, with what there is to say about them."""
        return table.terminal(self.rows, self.notes)

    def markdown(self) -> str:
        """Return the tables as Markdown."""
        return table.markdown(self.rows, self.notes)

    @property
    def notes(self) -> list[str]:
        """How the sets came about, what a method refused, and where σ is from."""
        about = self.about
        sizes = ", ".join(f"{name} {size}" for name, size in about["sizes"].items())
        found = [f"Structures: {sizes}; {about['note']}; seed {about['seed']}."]
        same = {name: count for name, count in about["twins"].items() if count}
        if same:
            many = ", ".join(f"{count} of {name}" for name, count in same.items())
            found.append(f"The same as a structure of the training: {many}.")
        for outcome in self.outcomes:
            for name, reason in outcome.failures.items():
                found.append(f"{outcome.method} refused {name}: {reason}")
        return found + sources(self.outcomes)

    def json(self) -> dict[str, Any]:
        """Return all scores as JSON values; what is infinite or missing is None."""
        return {
            "format": FORMAT,
            "versions": versions(),
            "about": dict(self.about),
            "methods": {one.method: one.about for one in self.outcomes},
            "failures": {
                one.method: dict(one.failures) for one in self.outcomes if one.failures
            },
            "units": UNITS,
            "rows": [
                {name: _finite(value) for name, value in one.flat().items()}
                for one in self.rows
            ],
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write JSON, CSV, Markdown and pages of plots; return their paths.

        Raises:
            LogError: they cannot be written.
        """
        out = _made(Path(folder))
        text = json.dumps(self.json(), ensure_ascii=False, allow_nan=False, indent=1)
        write(out / JSON, text.encode())
        sheet = io.StringIO()
        lines = csv.DictWriter(sheet, list(self.rows[0].flat()))
        lines.writeheader()
        lines.writerows(one.flat() for one in self.rows)
        write(out / CSV, sheet.getvalue().encode())
        write(out / MARKDOWN, self.markdown().encode())
        paths = [out / JSON, out / CSV, out / MARKDOWN]
        for quantity in QUANTITIES:
            if any(one.quantity == quantity and one.scores for one in self.rows):
                path = out / f"{quantity}.png"
                page.draw(self.outcomes, self.rows, quantity, path)
                paths.append(path)
        return paths


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
        out: A folder. What a method says is on disk as soon as it is known, and is
            taken from there next time.
        tell: Is told the name of each method before it is fitted.

    Raises:
        InputError: there is no method, an energy is missing, there are too few
            structures, or every method has refused them.
        LogError: the folder cannot be written, or holds something else.
    """
    if not methods:
        raise InputError(must("methods", "be at least one", "none"))
    sets = split(
        structures,
        train=train,
        calibrate=calibrate,
        test=test,
        shifted=shifted,
        shift=shift,
        seed=seed,
    )
    about = _about(sets, seed)
    folder = None if out is None else _own(Path(out), about)
    outcomes: list[Outcome] = []
    warm = False
    for name, method in methods.items():
        known = None if folder is None else _known(folder, name, method)
        if known is None:
            warm = warm or _warmed(sets.train)
            if tell is not None:
                tell(name)
            known = measure(name, method, sets)
            if folder is not None:
                known.write(_path(folder, name))
        outcomes.append(known)
    found = Comparison(about, outcomes)
    if not found.rows:
        name, reason = next(
            (one.method, next(iter(one.failures.values()))) for one in outcomes
        )
        condition = "be able to learn from these structures"
        raise InputError(must("methods", condition, f"{name}: {reason}"))
    if folder is not None:
        found.write(folder)
    return found


def _about(sets: Split, seed: int) -> dict[str, Any]:
    return {
        "sizes": sets.sizes(),
        "note": sets.note,
        "seed": seed,
        "twins": dict(sets.twins),
        "digest": sets.digest(),
    }


def _own(folder: Path, about: Mapping[str, Any]) -> Path:
    """Return the folder if it is new, or that of this comparison.

    Raises:
        LogError: it is not, or cannot be made.
    """
    path = folder / OUTCOMES / JSON
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["digest"] != about["digest"]:
            sizes = ", ".join(f"{name} {n}" for name, n in before["sizes"].items())
            raise LogError(
                f"{folder} holds a comparison on other structures ({sizes}, seed "
                f"{before['seed']}). Take a new folder."
            )
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise LogError(
            f"{folder} is not the folder of a comparison and not empty. "
            "Take an empty or a new folder."
        )
    _made(folder / OUTCOMES)
    text = json.dumps(about, ensure_ascii=False, indent=1)
    write(path, text.encode())
    return folder


def _known(folder: Path, name: str, method: Fits) -> Outcome | None:
    """Return what a method has said before, None where it was another one."""
    path = _path(folder, name)
    if not path.is_file():
        return None
    found = Outcome.read(path)
    return found if found.about == identity(method) else None


def _warmed(train: Structures) -> bool:
    """Let everything be compiled that is, lest the first method be timed with it."""
    with suppress(BostructError):
        LocalGP(inducing=8).fit(train[:3]).predict(train[:1], force_variance=True)
    return True


def _path(folder: Path, name: str) -> Path:
    return folder / OUTCOMES / (re.sub(r"[^\w.+-]", "_", name) + ".npz")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise LogError(f"could not make {folder}: {reason}") from error
    return folder


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value

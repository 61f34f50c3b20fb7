"""One division of the data: what every method says of it, kept on disk.

`methods/` of a comparison's folder holds the first one, `methods/seed-1/` that of seed
1, and so on: `comparison.json`, what it is known by, and a file for each method.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from bostruct.bench.uncertainty.method_predictions import (
    QUANTITIES,
    Fits,
    Outcome,
    identity,
    measure,
)
from bostruct.bench.uncertainty.score_rows import Row, row
from bostruct.bench.uncertainty.split import CALIBRATE, TEST, Split
from bostruct.errors import BostructError, LogError
from bostruct.runtime.atomic_write import write
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP

ABOUT = "comparison.json"
OUTCOMES = "methods"
"""The folder of what each method said."""

Tell = Callable[[str], None]
"""Is told the name of the method that is to come."""


@final
@dataclass(frozen=True, eq=False)
class Division:
    """What came of all methods on one division of the data.

    Attributes:
        about: What tells it from others, as JSON values.
        outcomes: One for each method, in order.
    """

    about: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def seed(self) -> int:
        """Of the shuffling."""
        return int(self.about["seed"])

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
            if (found := row(outcome, place, quantity, cheapest, self.seed)) is not None
        ]

    def says(self, quantity: str) -> bool:
        """Return whether a method has variances of a quantity on the test set."""
        return any((TEST, quantity) in one.parts for one in self.outcomes)


def divide(
    sets: Split,
    methods: Mapping[str, Fits],
    seed: int,
    out: Path | None = None,
    tell: Tell | None = None,
    *,
    first: bool = True,
) -> Division:
    """Fit every method anew to one division, but for what a folder holds already.

    Args:
        sets: The division.
        methods: By name.
        seed: That it was made with.
        out: The folder of the comparison, where each method's outcome is kept; nothing
            is kept without.
        tell: Is told the name of each method before it is fitted.
        first: Whether it is the first division of the comparison.

    Raises:
        LogError: the folder cannot be written, or holds something else.
    """
    about = _about(sets, seed)
    folder = None if out is None else _own(out, about, first)
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
    return Division(about, tuple(outcomes))


def made(folder: Path) -> Path:
    """Return a folder that is there.

    Raises:
        LogError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise LogError(f"could not make {folder}: {reason}") from error
    return folder


def _about(sets: Split, seed: int) -> dict[str, Any]:
    return {
        "sizes": sets.sizes(),
        "note": sets.note,
        "seed": seed,
        "twins": dict(sets.twins),
        "digest": sets.digest(),
    }


def _own(out: Path, about: Mapping[str, Any], first: bool) -> Path:
    """Return the folder of a division if it is new, or that of the same one.

    Raises:
        LogError: it is not, or cannot be made.
    """
    folder = out / OUTCOMES if first else out / OUTCOMES / f"seed-{about['seed']}"
    path = folder / ABOUT
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["digest"] != about["digest"]:
            sizes = ", ".join(f"{name} {n}" for name, n in before["sizes"].items())
            raise LogError(
                f"{out} holds a comparison on other structures ({sizes}, seed "
                f"{before['seed']}). Take a new folder."
            )
        return folder
    if first and out.is_dir() and any(out.iterdir()):
        raise LogError(
            f"{out} is not the folder of a comparison and not empty. "
            "Take an empty or a new folder."
        )
    text = json.dumps(about, ensure_ascii=False, indent=1)
    write(made(folder) / ABOUT, text.encode())
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
    return folder / (re.sub(r"[^\w.+-]", "_", name) + ".npz")

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
    MethodPredictions,
    SupportsFit,
    describe_method,
    evaluate_method,
)
from bostruct.bench.uncertainty.score_rows import ScoreRow, score_row
from bostruct.bench.uncertainty.split import CALIBRATE, TEST, DataSplit
from bostruct.errors import BostructError, LogError
from bostruct.runtime.atomic_write import write_atomically
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP

DESCRIPTION_JSON = "comparison.json"
PREDICTIONS_FOLDER = "methods"
"""The folder of what each method said."""

MethodCallback = Callable[[str], None]
"""Is told the name of the method that is to come."""


@final
@dataclass(frozen=True, eq=False)
class SplitRun:
    """What came of all methods on one division of the data.

    Attributes:
        description: What tells it from others, as JSON values.
        predictions: One for each method, in order.
    """

    description: Mapping[str, Any]
    predictions: tuple[MethodPredictions, ...]

    @property
    def seed(self) -> int:
        """Of the shuffling."""
        return int(self.description["seed"])

    @cached_property
    def rows(self) -> list[ScoreRow]:
        """A row for each set, quantity and method that has one."""
        cheapest = min(
            (one.predict_seconds for one in self.predictions if one.set_residuals),
            default=0.0,
        )
        return [
            found
            for quantity in QUANTITIES
            for place in self.description["sizes"]
            if place not in ("train", CALIBRATE)
            for outcome in self.predictions
            if (found := score_row(outcome, place, quantity, cheapest, self.seed)) is not None
        ]

    def has_variances(self, quantity: str) -> bool:
        """Return whether a method has variances of a quantity on the test set."""
        return any((TEST, quantity) in one.set_residuals for one in self.predictions)


def run_split(
    split: DataSplit,
    methods: Mapping[str, SupportsFit],
    seed: int,
    out: Path | None = None,
    on_progress: MethodCallback | None = None,
    *,
    is_first: bool = True,
) -> SplitRun:
    """Fit every method anew to one division, but for what a folder holds already.

    Args:
        split: The division.
        methods: By name.
        seed: That it was made with.
        out: The folder of the comparison, where each method's outcome is kept; nothing
            is kept without.
        on_progress: Is told the name of each method before it is fitted.
        is_first: Whether it is the first division of the comparison.

    Raises:
        LogError: the folder cannot be written, or holds something else.
    """
    about = _describe_split(split, seed)
    folder = None if out is None else _split_folder(out, about, is_first)
    outcomes: list[MethodPredictions] = []
    warm = False
    for name, method in methods.items():
        known = None if folder is None else _read_predictions(folder, name, method)
        if known is None:
            warm = warm or _compile_kernels(split.train)
            if on_progress is not None:
                on_progress(name)
            known = evaluate_method(name, method, split)
            if folder is not None:
                known.write(_predictions_path(folder, name))
        outcomes.append(known)
    return SplitRun(about, tuple(outcomes))


def make_folder(folder: Path) -> Path:
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


def _describe_split(split: DataSplit, seed: int) -> dict[str, Any]:
    return {
        "sizes": split.sizes(),
        "note": split.shift_note,
        "seed": seed,
        "twins": dict(split.n_duplicates),
        "digest": split.digest(),
    }


def _split_folder(out: Path, description: Mapping[str, Any], is_first: bool) -> Path:
    """Return the folder of a division if it is new, or that of the same one.

    Raises:
        LogError: it is not, or cannot be made.
    """
    folder = (
        out / PREDICTIONS_FOLDER
        if is_first
        else out / PREDICTIONS_FOLDER / f"seed-{description['seed']}"
    )
    path = folder / DESCRIPTION_JSON
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["digest"] != description["digest"]:
            sizes = ", ".join(f"{name} {n}" for name, n in before["sizes"].items())
            raise LogError(
                f"{out} holds a comparison on other structures ({sizes}, seed "
                f"{before['seed']}). Take a new folder."
            )
        return folder
    if is_first and out.is_dir() and any(out.iterdir()):
        raise LogError(
            f"{out} is not the folder of a comparison and not empty. Take an empty or a new folder."
        )
    text = json.dumps(description, ensure_ascii=False, indent=1)
    write_atomically(make_folder(folder) / DESCRIPTION_JSON, text.encode())
    return folder


def _read_predictions(folder: Path, name: str, method: SupportsFit) -> MethodPredictions | None:
    """Return what a method has said before, None where it was another one."""
    path = _predictions_path(folder, name)
    if not path.is_file():
        return None
    found = MethodPredictions.read(path)
    return found if found.description == describe_method(method) else None


def _compile_kernels(train: Structures) -> bool:
    """Let everything be compiled that is, lest the first method be timed with it."""
    with suppress(BostructError):
        LocalGP(max_inducing=8).fit(train[:3]).predict(train[:1], force_variance=True)
    return True


def _predictions_path(folder: Path, name: str) -> Path:
    return folder / (re.sub(r"[^\w.+-]", "_", name) + ".npz")

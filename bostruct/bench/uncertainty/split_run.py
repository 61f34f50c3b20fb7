"""Predictions of all methods on one split, kept on disk.

The folder `methods/` of a comparison holds the first split, `methods/seed-1/` that of seed 1, and
so on: a description, `comparison.json`, and a file for each method.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from bostruct.bench.benchmark import read_json, write_json
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
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP

DESCRIPTION_JSON = "comparison.json"
PREDICTIONS_FOLDER = "methods"
"""Name of the folder of the predictions."""

MethodCallback = Callable[[str], None]
"""Callback with the name of the next method."""


@final
@dataclass(frozen=True, eq=False)
class SplitRun:
    """Predictions of all methods on one split.

    Attributes:
        description: Sizes, origin, seed and digest of the sets, as JSON values.
        predictions: Predictions of each method, in order.
    """

    description: Mapping[str, Any]
    predictions: tuple[MethodPredictions, ...]

    @property
    def seed(self) -> int:
        """Random seed of the split."""
        return int(self.description["seed"])

    @cached_property
    def rows(self) -> list[ScoreRow]:
        """Scores of each set, quantity and method that has predictions."""
        seconds = [run.predict_seconds for run in self.predictions if run.set_residuals]
        cheapest = min(seconds, default=0.0)
        return [
            row
            for quantity in QUANTITIES
            for dataset in self.description["sizes"]
            if dataset not in ("train", CALIBRATE)
            for run in self.predictions
            if (row := score_row(run, dataset, quantity, cheapest, self.seed)) is not None
        ]

    def has_variances(self, quantity: str) -> bool:
        """Return whether a method has variances of a quantity on the test set."""
        return any((TEST, quantity) in run.set_residuals for run in self.predictions)


def run_split(
    split: DataSplit,
    methods: Mapping[str, SupportsFit],
    seed: int,
    out: Path | None = None,
    on_progress: MethodCallback | None = None,
    *,
    is_first: bool = True,
) -> SplitRun:
    """Fit every method to one split, except those with predictions in the folder.

    Args:
        split: Sets of structures.
        methods: Methods by name.
        seed: Random seed of the split.
        out: Folder of the comparison, in which predictions are kept; None to keep none.
        on_progress: Called with the name of each method before it is fitted.
        is_first: True for the first split of the comparison.

    Raises:
        LogError: the folder cannot be written, or holds something else.
    """
    description = {
        "sizes": split.sizes(),
        "shift_note": split.shift_note,
        "seed": seed,
        "n_duplicates": dict(split.n_duplicates),
        "digest": split.digest(),
    }
    folder = None if out is None else _split_folder(out, description, is_first)
    all_predictions: list[MethodPredictions] = []
    compiled = False
    for name, method in methods.items():
        predictions = None if folder is None else _read_predictions(folder, name, method)
        if predictions is None:
            compiled = compiled or _compile_kernels(split.train)
            if on_progress is not None:
                on_progress(name)
            predictions = evaluate_method(name, method, split)
            if folder is not None:
                predictions.write(_predictions_path(folder, name))
        all_predictions.append(predictions)
    return SplitRun(description, tuple(all_predictions))


def _split_folder(out: Path, description: Mapping[str, Any], is_first: bool) -> Path:
    """Return the folder of a split, which is new or holds the same split.

    Raises:
        LogError: the folder holds something else, or cannot be made.
    """
    folder = out / PREDICTIONS_FOLDER
    if not is_first:
        folder /= f"seed-{description['seed']}"
    path = folder / DESCRIPTION_JSON
    stored = read_json(path)
    if stored is not None:
        if stored["digest"] != description["digest"]:
            sizes = ", ".join(f"{name} {n}" for name, n in stored["sizes"].items())
            raise LogError(
                f"{out} holds a comparison on other structures ({sizes}, seed "
                f"{stored['seed']}). Take a new folder."
            )
        return folder
    if is_first and out.is_dir() and any(out.iterdir()):
        raise LogError(
            f"{out} is not the folder of a comparison and not empty. Take an empty or a new folder."
        )
    write_json(description, path)
    return folder


def _read_predictions(folder: Path, name: str, method: SupportsFit) -> MethodPredictions | None:
    """Return the stored predictions of a method, None where it had another description."""
    path = _predictions_path(folder, name)
    if not path.is_file():
        return None
    predictions = MethodPredictions.read(path)
    return predictions if predictions.description == describe_method(method) else None


def _compile_kernels(train: Structures) -> bool:
    """Compile all kernels, so that the first method is not timed with it."""
    with suppress(BostructError):
        LocalGP(max_inducing=8).fit(train[:3]).predict(train[:1], force_variance=True)
    return True


def _predictions_path(folder: Path, name: str) -> Path:
    return folder / (re.sub(r"[^\w.+-]", "_", name) + ".npz")

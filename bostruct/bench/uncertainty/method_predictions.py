"""What one method said of every set, as errors beside variances, and what it cost."""

from __future__ import annotations

import inspect
import io
import json
import re
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

from bostruct.bench.uncertainty.split import CALIBRATE, TEST, DataSplit
from bostruct.errors import BostructError, LogError, check_shape
from bostruct.runtime.atomic_write import write_atomically
from bostruct.structures import Structures
from bostruct.uncertainty import Prediction, Residuals

FORMAT_VERSION = 1
ENERGY, FORCES = "energy", "forces"
QUANTITIES = (ENERGY, FORCES)
UNITS = {ENERGY: "meV/atom", FORCES: "eV/Å"}
MILLI = 1000.0

ZERO_VARIANCE_STD_FRACTION = 1e-7
"""Of the median positive standard deviation: what a variance of zero is taken for."""


N_TIMINGS, MAX_TIMING_SECONDS, N_TIMED_STRUCTURES = 5, 2.0, 100
"""Predictions of so many structures are timed so often, or until so many seconds are
gone."""


class SupportsPredict(Protocol):
    """A fitted model."""

    def predict(self, structures: Structures) -> Prediction:
        """Return energies and their variances; forces too, where there are any.

        Where it takes `force_variance`, it is asked for the variances of forces.
        """
        ...


class SupportsFit(Protocol):
    """A method: anything that can be fitted to structures with energies."""

    def fit(self, structures: Structures) -> SupportsPredict:
        """Return the model that these structures teach."""
        ...


@final
@dataclass(frozen=True, eq=False)
class SetResiduals:
    """Residuals of one quantity on one set.

    Attributes:
        residuals: `[n]` meV/atom or eV/Å.
        structure_index: `[n]` integers, the structure that each belongs to.
    """

    residuals: Residuals
    structure_index: Tensor


@final
@dataclass(frozen=True, eq=False)
class MethodPredictions:
    """What one method said.

    Attributes:
        method: Its name.
        description: What identifies it, as JSON values.
        set_residuals: By set and quantity; forces where the method has their variances.
        failures: By set, the sentence with which the method refused it.
        fit_seconds: CPU seconds of the fit, zero where it failed.
        predict_seconds: CPU seconds of a structure of the test set: energy, forces and the
            variance of the energy; the least of some tries, of 100 structures at once.
        force_predict_seconds: The same with the variances of the forces, None without.
        force_rmse: By set, eV/Å; also where forces have no variances.
    """

    method: str
    description: Any
    set_residuals: Mapping[tuple[str, str], SetResiduals]
    failures: Mapping[str, str] = field(default_factory=dict)
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    force_predict_seconds: float | None = None
    force_rmse: Mapping[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write all of it to one file.

        Raises:
            LogError: it cannot be written.
        """
        about = {name: getattr(self, name) for name in _JSON_FIELDS}
        keys = list(self.set_residuals)
        text = json.dumps({"format": FORMAT_VERSION, "parts": keys} | about, default=dict)
        arrays = {"about": np.array(text)}
        for i, part in enumerate(self.set_residuals.values()):
            arrays[f"{i}_error"] = part.residuals.error.numpy()
            arrays[f"{i}_variance"] = part.residuals.variance.numpy()
            arrays[f"{i}_floored"] = np.array(part.residuals.n_floored)
            arrays[f"{i}_structure"] = part.structure_index.numpy()
        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]  # names are free
        write_atomically(path, data.getvalue())

    @classmethod
    def read(cls, path: Path) -> MethodPredictions:
        """Return what `write` wrote.

        Raises:
            LogError: the file is not one of these, or cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                about = json.loads(str(found["about"]))
                if about["format"] > FORMAT_VERSION:
                    raise LogError(f"{path} was written by a newer bostruct.")
                parts = {
                    (name, quantity): SetResiduals(
                        Residuals(
                            torch.from_numpy(found[f"{i}_error"]),
                            torch.from_numpy(found[f"{i}_variance"]),
                            int(found[f"{i}_floored"]),
                        ),
                        torch.from_numpy(found[f"{i}_structure"]),
                    )
                    for i, (name, quantity) in enumerate(about["parts"])
                }
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, LogError):
                raise
            raise LogError(f"could not read {path}: {error}") from error
        return cls(set_residuals=parts, **{name: about[name] for name in _JSON_FIELDS})


_JSON_FIELDS = (
    "method",
    "about",
    "failures",
    "fit",
    "predict",
    "force_predict",
    "force_rmse",
)


def evaluate_method(name: str, method: SupportsFit, split: DataSplit) -> MethodPredictions:
    """Return what a method says of every set that it was not trained on.

    A method that refuses a set with an error of bostruct, a species it does not know
    for one, is judged on the others; other errors end the comparison.

    Args:
        name: Of the method.
        method: To be fitted to the training set.
        split: The sets.
    """
    about = describe_method(method)
    start = time.process_time()
    try:
        model = method.fit(split.train)
    except BostructError as error:
        return MethodPredictions(name, about, {}, dict.fromkeys(split.sets, str(error)))
    fit = time.process_time() - start
    deep = _predicts_force_variance(model, split.sets[CALIBRATE][:1])
    parts: dict[tuple[str, str], SetResiduals] = {}
    failures: dict[str, str] = {}
    force_rmse: dict[str, float] = {}
    for place, known in split.sets.items():
        try:
            found = _predict(model, known.without_results(), deep)
            parts[place, ENERGY] = energy_residuals(known, found)
        except BostructError as error:
            failures[place] = str(error)
            continue
        missed = _force_rmse(known, found)
        if missed is not None:
            force_rmse[place] = missed
        try:
            given = force_residuals(known, found)
            parts.update(((place, FORCES), part) for part in given)
        except BostructError as error:
            failures[f"forces of {place}"] = str(error)
    for what in QUANTITIES:  # nothing can be said without
        if (CALIBRATE, what) not in parts:
            parts = {key: part for key, part in parts.items() if key[1] != what}
    bare, said = (
        split.sets[TEST][:N_TIMED_STRUCTURES].without_results(),
        (TEST, ENERGY) in parts,
    )
    return MethodPredictions(
        method=name,
        description=about,
        set_residuals=parts,
        failures=failures,
        fit_seconds=fit,
        predict_seconds=_seconds_per_structure(model, bare, forces=False) if said else 0.0,
        force_predict_seconds=_seconds_per_structure(model, bare, forces=True)
        if said and deep
        else None,
        force_rmse=force_rmse,
    )


def energy_residuals(structures: Structures, prediction: Prediction) -> SetResiduals:
    """Return the residuals of energies, per atom.

    σ of the whole structure is divided by the number of atoms, as its error is; atoms
    are never summed up. The variance is the observed one, latent plus noise.

    Args:
        structures: b structures with energies.
        prediction: What was predicted of them.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    assert structures.energy is not None
    b = len(structures)
    check_shape("mean", prediction.mean, (b,))
    check_shape("variance", prediction.predictive_variance, (b,))
    unit = MILLI / structures.counts
    held = Residuals.from_arrays(
        structures.energy * unit,
        prediction.mean.detach() * unit,
        _replace_zero_variances(prediction.predictive_variance.detach() * unit.square()),
    )
    return SetResiduals(held, torch.arange(b))


def force_residuals(structures: Structures, prediction: Prediction) -> list[SetResiduals]:
    """Return the residuals of force components, one part or none.

    The variance is the latent one, as there is no other. Forces on fixed atoms, and
    unknown ones, are left out.

    Args:
        structures: b structures of n atoms.
        prediction: What was predicted of them.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    spread, forces = prediction.force_variance, prediction.forces
    wanted = _free_force_mask(structures)
    if spread is None or forces is None or not bool(wanted.any()):
        return []
    assert structures.forces is not None
    check_shape("forces", forces, tuple(structures.positions.shape))
    check_shape("force_variance", spread, tuple(structures.positions.shape))
    held = Residuals.from_arrays(
        structures.forces[wanted],
        forces.detach()[wanted],
        _replace_zero_variances(spread.detach()[wanted]),
    )
    owner = structures.index.unsqueeze(-1).expand_as(wanted)[wanted]
    return [SetResiduals(held, owner.clone())]


def describe_method(method: SupportsFit) -> Any:  # noqa: ANN401 - JSON
    """Return what tells a method from another, as JSON values."""
    describe = getattr(method, "description", None)
    if describe is not None:
        return json.loads(json.dumps(describe(), default=str))
    return re.sub(r" at 0x[0-9a-f]+", "", repr(method))


def _replace_zero_variances(variance: Tensor) -> Tensor:
    """Return variances of which none is zero, unless all are.

    `Residuals.of` lifts them further, to its floor, and counts them.
    """
    above = variance[variance > 0]
    if not len(above):
        return variance
    return torch.where(variance == 0, ZERO_VARIANCE_STD_FRACTION**2 * above.median(), variance)


def _free_force_mask(structures: Structures) -> Tensor:
    """Return which force components are known and of free atoms, `[n, 3]`."""
    if structures.forces is None:
        return torch.zeros_like(structures.positions, dtype=torch.bool)
    return structures.forces.isfinite() & ~structures.fixed.unsqueeze(-1)


def _force_rmse(structures: Structures, prediction: Prediction) -> float | None:
    """Return the error of the forces, eV/Å; None where they are not known."""
    wanted = _free_force_mask(structures)
    if prediction.forces is None or structures.forces is None or not bool(wanted.any()):
        return None
    missed = (prediction.forces.detach() - structures.forces)[wanted]
    return float(missed.square().mean().sqrt())


def _predicts_force_variance(model: SupportsPredict, structures: Structures) -> bool:
    """Return whether a model gives variances of forces, of one structure."""
    if "force_variance" not in inspect.signature(model.predict).parameters:
        return False
    try:
        _predict(model, structures.without_results(), forces=True)
    except BostructError:  # it says so when asked, or knows no such structure
        return False
    return True


def _seconds_per_structure(model: SupportsPredict, structures: Structures, forces: bool) -> float:
    """Return the CPU seconds of one structure: the least of some tries."""
    found: list[float] = []
    while len(found) < N_TIMINGS and sum(found) < MAX_TIMING_SECONDS:
        start = time.process_time()
        _predict(model, structures, forces)
        found.append(time.process_time() - start)
    return min(found) / len(structures)


def _predict(model: SupportsPredict, structures: Structures, forces: bool) -> Prediction:
    if forces:
        return model.predict(structures, force_variance=True)  # type: ignore[call-arg]
    return model.predict(structures)

"""Predictions of one method on every set: residuals, variances, and times."""

from __future__ import annotations

import inspect
import io
import json
import re
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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

FORMAT_VERSION = 2
ENERGY, FORCES = "energy", "forces"
QUANTITIES = (ENERGY, FORCES)
UNITS = {ENERGY: "meV/atom", FORCES: "eV/Å"}
MILLI = 1000.0

ZERO_VARIANCE_STD_FRACTION = 1e-7
"""Standard deviation in place of zero, as a fraction of the median positive one."""

N_TIMINGS, MAX_TIMING_SECONDS, N_TIMED_STRUCTURES = 5, 2.0, 100
"""Number of timed predictions, their total time at most, and number of structures in each."""


class SupportsPredict(Protocol):
    """Fitted model."""

    def predict(self, structures: Structures) -> Prediction:
        """Return energies with variances, and forces where the model has them.

        A model with variances of forces takes the keyword `force_variance`.
        """
        ...


class SupportsFit(Protocol):
    """Method that can be fitted to structures with energies."""

    def fit(self, structures: Structures) -> SupportsPredict:
        """Return the model fitted to these structures."""
        ...


@final
@dataclass(frozen=True, eq=False)
class SetResiduals:
    """Residuals of one quantity on one set.

    Attributes:
        residuals: `[n]` residuals, meV/atom or eV/Å.
        structure_index: `[n]` index of the structure of each residual.
    """

    residuals: Residuals
    structure_index: Tensor


@final
@dataclass(frozen=True, eq=False)
class MethodPredictions:
    """Residuals and times of one method on all sets of a split.

    Attributes:
        method: Name of the method.
        description: Description of the method, as JSON values.
        set_residuals: Residuals by set and quantity, of forces where the method has their
            variances.
        failures: Error message by set that the method could not predict.
        fit_seconds: CPU time of the fit, s; zero where it failed.
        predict_seconds: CPU time per structure of energy, its variance and forces, s; shortest of
            several predictions of 100 test structures.
        force_predict_seconds: CPU time per structure with the variances of the forces, s; None
            where the method has none.
        force_rmse: Root mean squared error of the forces by set, eV/Å, also without variances.
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
        """Write everything to one file.

        Raises:
            LogError: the file cannot be written.
        """
        header = {name: getattr(self, name) for name in _HEADER_FIELDS}
        header |= {"format": FORMAT_VERSION, "sets": list(self.set_residuals)}
        arrays = {"header": np.array(json.dumps(header, default=dict))}
        for i, entry in enumerate(self.set_residuals.values()):
            arrays[f"{i}_error"] = entry.residuals.error.numpy()
            arrays[f"{i}_variance"] = entry.residuals.variance.numpy()
            arrays[f"{i}_n_floored"] = np.array(entry.residuals.n_floored)
            arrays[f"{i}_structure_index"] = entry.structure_index.numpy()
        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]  # names are free
        write_atomically(path, data.getvalue())

    @classmethod
    def read(cls, path: Path) -> MethodPredictions:
        """Return the predictions in a file.

        Raises:
            LogError: the file cannot be read, or has the format of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                header = json.loads(str(arrays["header" if "header" in arrays else "about"]))
                if header["format"] != FORMAT_VERSION:
                    age = "a newer" if header["format"] > FORMAT_VERSION else "an older"
                    raise LogError(
                        f"{path} has format {header['format']}, not {FORMAT_VERSION}: it was "
                        f"written by {age} bostruct. Take a new folder."
                    )
                set_residuals = {
                    (name, quantity): SetResiduals(
                        Residuals(
                            torch.from_numpy(arrays[f"{i}_error"]),
                            torch.from_numpy(arrays[f"{i}_variance"]),
                            int(arrays[f"{i}_n_floored"]),
                        ),
                        torch.from_numpy(arrays[f"{i}_structure_index"]),
                    )
                    for i, (name, quantity) in enumerate(header["sets"])
                }
        except LogError:
            raise
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise LogError(f"could not read {path}: {error}") from error
        return cls(set_residuals=set_residuals, **{name: header[name] for name in _HEADER_FIELDS})


_HEADER_FIELDS = tuple(
    entry.name for entry in fields(MethodPredictions) if entry.name != "set_residuals"
)


def evaluate_method(name: str, method: SupportsFit, split: DataSplit) -> MethodPredictions:
    """Fit a method to the training set, and return its predictions on all other sets.

    A method that refuses a set with an error of bostruct, for instance for an unknown species, is
    scored on the others; other errors end the comparison.

    Args:
        name: Name of the method.
        method: Method to be fitted.
        split: Sets of structures.
    """
    description = describe_method(method)
    start = time.process_time()
    try:
        model = method.fit(split.train)
    except BostructError as error:
        return MethodPredictions(name, description, {}, dict.fromkeys(split.sets, str(error)))
    fit_seconds = time.process_time() - start
    force_variance = _predicts_force_variance(model, split.sets[CALIBRATE][:1])
    residuals: dict[tuple[str, str], SetResiduals] = {}
    failures: dict[str, str] = {}
    force_rmse: dict[str, float] = {}
    for dataset, structures in split.sets.items():
        try:
            prediction = _predict(model, structures.without_results(), force_variance)
            residuals[dataset, ENERGY] = energy_residuals(structures, prediction)
        except BostructError as error:
            failures[dataset] = str(error)
            continue
        rmse = _force_rmse(structures, prediction)
        if rmse is not None:
            force_rmse[dataset] = rmse
        try:
            of_forces = force_residuals(structures, prediction)
            residuals.update(((dataset, FORCES), entry) for entry in of_forces)
        except BostructError as error:
            failures[f"forces of {dataset}"] = str(error)
    for quantity in QUANTITIES:  # no scores without a calibration set
        if (CALIBRATE, quantity) not in residuals:
            residuals = {key: entry for key, entry in residuals.items() if key[1] != quantity}
    timed = split.sets[TEST][:N_TIMED_STRUCTURES].without_results()
    predict_seconds, force_predict_seconds = 0.0, None
    if (TEST, ENERGY) in residuals:
        predict_seconds = _seconds_per_structure(model, timed, forces=False)
        if force_variance:
            force_predict_seconds = _seconds_per_structure(model, timed, forces=True)
    return MethodPredictions(
        method=name,
        description=description,
        set_residuals=residuals,
        failures=failures,
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
        force_predict_seconds=force_predict_seconds,
        force_rmse=force_rmse,
    )


def energy_residuals(structures: Structures, prediction: Prediction) -> SetResiduals:
    """Return the residuals of energies, meV per atom.

    Error and σ of the structure are both divided by the number of atoms. The variance is the
    predictive one, latent plus noise.

    Args:
        structures: b structures with energies.
        prediction: Prediction of these structures.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    assert structures.energy is not None
    b = len(structures)
    check_shape("mean", prediction.mean, (b,))
    check_shape("variance", prediction.predictive_variance, (b,))
    unit = MILLI / structures.counts
    residuals = Residuals.from_arrays(
        structures.energy * unit,
        prediction.mean.detach() * unit,
        _replace_zero_variances(prediction.predictive_variance.detach() * unit.square()),
    )
    return SetResiduals(residuals, torch.arange(b))


def force_residuals(structures: Structures, prediction: Prediction) -> list[SetResiduals]:
    """Return the residuals of force components, one entry or none.

    The variance is the predictive one, latent plus noise where it is known. Forces on fixed atoms
    and unknown forces are left out.

    Args:
        structures: b structures of n atoms.
        prediction: Prediction of these structures.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    variance, forces = prediction.predictive_force_variance, prediction.forces
    mask = _free_force_mask(structures)
    if variance is None or forces is None or not bool(mask.any()):
        return []
    assert structures.forces is not None
    check_shape("forces", forces, tuple(structures.positions.shape))
    check_shape("predictive_force_variance", variance, tuple(structures.positions.shape))
    residuals = Residuals.from_arrays(
        structures.forces[mask],
        forces.detach()[mask],
        _replace_zero_variances(variance.detach()[mask]),
    )
    structure_index = structures.index.unsqueeze(-1).expand_as(mask)[mask]
    return [SetResiduals(residuals, structure_index.clone())]


def describe_method(method: SupportsFit) -> Any:  # noqa: ANN401 - JSON
    """Return the description of a method, or its repr, as JSON values."""
    describe = getattr(method, "description", None)
    if describe is not None:
        return json.loads(json.dumps(describe(), default=str))
    return re.sub(r" at 0x[0-9a-f]+", "", repr(method))


def _replace_zero_variances(variance: Tensor) -> Tensor:
    """Return variances with a small number for zeros, unless all are zero.

    `Residuals.from_arrays` raises them further to its floor, and counts them.
    """
    above = variance[variance > 0]
    if not len(above):
        return variance
    return torch.where(variance == 0, ZERO_VARIANCE_STD_FRACTION**2 * above.median(), variance)


def _free_force_mask(structures: Structures) -> Tensor:
    """Return a mask of the known force components on free atoms, `[n, 3]`."""
    if structures.forces is None:
        return torch.zeros_like(structures.positions, dtype=torch.bool)
    return structures.forces.isfinite() & ~structures.fixed.unsqueeze(-1)


def _force_rmse(structures: Structures, prediction: Prediction) -> float | None:
    """Return the root mean squared error of the forces, eV/Å; None where they are unknown."""
    mask = _free_force_mask(structures)
    if prediction.forces is None or structures.forces is None or not bool(mask.any()):
        return None
    error = (prediction.forces.detach() - structures.forces)[mask]
    return float(error.square().mean().sqrt())


def _predicts_force_variance(model: SupportsPredict, structures: Structures) -> bool:
    """Return whether a model has variances of forces, tried on one structure."""
    if "force_variance" not in inspect.signature(model.predict).parameters:
        return False
    try:
        _predict(model, structures.without_results(), forces=True)
    except BostructError:
        return False
    return True


def _seconds_per_structure(model: SupportsPredict, structures: Structures, forces: bool) -> float:
    """Return the shortest CPU time per structure of several predictions, s."""
    seconds: list[float] = []
    while len(seconds) < N_TIMINGS and sum(seconds) < MAX_TIMING_SECONDS:
        start = time.process_time()
        _predict(model, structures, forces)
        seconds.append(time.process_time() - start)
    return min(seconds) / len(structures)


def _predict(model: SupportsPredict, structures: Structures, forces: bool) -> Prediction:
    if forces:
        return model.predict(structures, force_variance=True)  # type: ignore[call-arg]
    return model.predict(structures)

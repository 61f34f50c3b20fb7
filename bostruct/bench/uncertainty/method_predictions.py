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

from bostruct.bench.uncertainty.split import CALIBRATE, TEST, Split
from bostruct.errors import BostructError, LogError, check_shape
from bostruct.runtime.atomic_write import write
from bostruct.structures import Structures
from bostruct.uncertainty import Prediction, Residuals

FORMAT = 1
ENERGY, FORCES = "energy", "forces"
QUANTITIES = (ENERGY, FORCES)
UNITS = {ENERGY: "meV/atom", FORCES: "eV/Å"}
MILLI = 1000.0

VANISHING = 1e-7
"""Of the median positive standard deviation: what a variance of zero is taken for."""


TRIES, ENOUGH, TIMED = 5, 2.0, 100
"""Predictions of so many structures are timed so often, or until so many seconds are
gone."""


class Predicts(Protocol):
    """A fitted model."""

    def predict(self, structures: Structures) -> Prediction:
        """Return energies and their variances; forces too, where there are any.

        Where it takes `force_variance`, it is asked for the variances of forces.
        """
        ...


class Fits(Protocol):
    """A method: anything that can be fitted to structures with energies."""

    def fit(self, structures: Structures) -> Predicts:
        """Return the model that these structures teach."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Part:
    """Residuals of one quantity on one set.

    Attributes:
        held: `[n]` meV/atom or eV/Å.
        structure: `[n]` integers, the structure that each belongs to.
    """

    held: Residuals
    structure: Tensor


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method said.

    Attributes:
        method: Its name.
        about: What identifies it, as JSON values.
        parts: By set and quantity; forces where the method has their variances.
        failures: By set, the sentence with which the method refused it.
        fit: CPU seconds of the fit, zero where it failed.
        predict: CPU seconds of a structure of the test set: energy, forces and the
            variance of the energy; the least of some tries, of 100 structures at once.
        force_predict: The same with the variances of the forces, None without.
        force_rmse: By set, eV/Å; also where forces have no variances.
    """

    method: str
    about: Any
    parts: Mapping[tuple[str, str], Part]
    failures: Mapping[str, str] = field(default_factory=dict)
    fit: float = 0.0
    predict: float = 0.0
    force_predict: float | None = None
    force_rmse: Mapping[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write all of it to one file.

        Raises:
            LogError: it cannot be written.
        """
        about = {name: getattr(self, name) for name in _PLAIN}
        keys = list(self.parts)
        text = json.dumps({"format": FORMAT, "parts": keys} | about, default=dict)
        arrays = {"about": np.array(text)}
        for i, part in enumerate(self.parts.values()):
            arrays[f"{i}_error"] = part.held.error.numpy()
            arrays[f"{i}_variance"] = part.held.variance.numpy()
            arrays[f"{i}_floored"] = np.array(part.held.floored)
            arrays[f"{i}_structure"] = part.structure.numpy()
        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]  # names are free
        write(path, data.getvalue())

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Return what `write` wrote.

        Raises:
            LogError: the file is not one of these, or cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                about = json.loads(str(found["about"]))
                if about["format"] > FORMAT:
                    raise LogError(f"{path} was written by a newer bostruct.")
                parts = {
                    (name, quantity): Part(
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
        return cls(parts=parts, **{name: about[name] for name in _PLAIN})


_PLAIN = (
    "method",
    "about",
    "failures",
    "fit",
    "predict",
    "force_predict",
    "force_rmse",
)


def measure(name: str, method: Fits, split: Split) -> Outcome:
    """Return what a method says of every set that it was not trained on.

    A method that refuses a set with an error of bostruct, a species it does not know
    for one, is judged on the others; other errors end the comparison.

    Args:
        name: Of the method.
        method: To be fitted to the training set.
        split: The sets.
    """
    about = identity(method)
    start = time.process_time()
    try:
        model = method.fit(split.train)
    except BostructError as error:
        return Outcome(name, about, {}, dict.fromkeys(split.sets, str(error)))
    fit = time.process_time() - start
    deep = _tells_forces(model, split.sets[CALIBRATE][:1])
    parts: dict[tuple[str, str], Part] = {}
    failures: dict[str, str] = {}
    force_rmse: dict[str, float] = {}
    for place, known in split.sets.items():
        try:
            found = _predicted(model, known.without_results(), deep)
            parts[place, ENERGY] = judge(known, found)
        except BostructError as error:
            failures[place] = str(error)
            continue
        missed = _force_rmse(known, found)
        if missed is not None:
            force_rmse[place] = missed
        try:
            given = judge_forces(known, found)
            parts.update(((place, FORCES), part) for part in given)
        except BostructError as error:
            failures[f"forces of {place}"] = str(error)
    for what in QUANTITIES:  # nothing can be said without
        if (CALIBRATE, what) not in parts:
            parts = {key: part for key, part in parts.items() if key[1] != what}
    bare, said = split.sets[TEST][:TIMED].without_results(), (TEST, ENERGY) in parts
    return Outcome(
        method=name,
        about=about,
        parts=parts,
        failures=failures,
        fit=fit,
        predict=_seconds(model, bare, forces=False) if said else 0.0,
        force_predict=_seconds(model, bare, forces=True) if said and deep else None,
        force_rmse=force_rmse,
    )


def judge(known: Structures, found: Prediction) -> Part:
    """Return the residuals of energies, per atom.

    σ of the whole structure is divided by the number of atoms, as its error is; atoms
    are never summed up. The variance is the observed one, latent plus noise.

    Args:
        known: b structures with energies.
        found: What was predicted of them.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    assert known.energy is not None
    b = len(known)
    check_shape("mean", found.mean, (b,))
    check_shape("variance", found.observed, (b,))
    unit = MILLI / known.counts
    held = Residuals.of(
        known.energy * unit,
        found.mean.detach() * unit,
        _lifted(found.observed.detach() * unit.square()),
    )
    return Part(held, torch.arange(b))


def judge_forces(known: Structures, found: Prediction) -> list[Part]:
    """Return the residuals of force components, one part or none.

    The variance is the latent one, as there is no other. Forces on fixed atoms, and
    unknown ones, are left out.

    Args:
        known: b structures of n atoms.
        found: What was predicted of them.

    Raises:
        InputError: an entry is not finite, or a variance negative.
        ShapeError: the shapes differ.
    """
    spread, forces = found.force_variance, found.forces
    wanted = _wanted(known)
    if spread is None or forces is None or not bool(wanted.any()):
        return []
    assert known.forces is not None
    check_shape("forces", forces, tuple(known.positions.shape))
    check_shape("force_variance", spread, tuple(known.positions.shape))
    held = Residuals.of(
        known.forces[wanted],
        forces.detach()[wanted],
        _lifted(spread.detach()[wanted]),
    )
    owner = known.index.unsqueeze(-1).expand_as(wanted)[wanted]
    return [Part(held, owner.clone())]


def identity(method: Fits) -> Any:  # noqa: ANN401 - JSON
    """Return what tells a method from another, as JSON values."""
    describe = getattr(method, "description", None)
    if describe is not None:
        return json.loads(json.dumps(describe(), default=str))
    return re.sub(r" at 0x[0-9a-f]+", "", repr(method))


def _lifted(variance: Tensor) -> Tensor:
    """Return variances of which none is zero, unless all are.

    `Residuals.of` lifts them further, to its floor, and counts them.
    """
    above = variance[variance > 0]
    if not len(above):
        return variance
    return torch.where(variance == 0, VANISHING**2 * above.median(), variance)


def _wanted(known: Structures) -> Tensor:
    """Return which force components are known and of free atoms, `[n, 3]`."""
    if known.forces is None:
        return torch.zeros_like(known.positions, dtype=torch.bool)
    return known.forces.isfinite() & ~known.fixed.unsqueeze(-1)


def _force_rmse(known: Structures, found: Prediction) -> float | None:
    """Return the error of the forces, eV/Å; None where they are not known."""
    wanted = _wanted(known)
    if found.forces is None or known.forces is None or not bool(wanted.any()):
        return None
    missed = (found.forces.detach() - known.forces)[wanted]
    return float(missed.square().mean().sqrt())


def _tells_forces(model: Predicts, one: Structures) -> bool:
    """Return whether a model gives variances of forces, of one structure."""
    if "force_variance" not in inspect.signature(model.predict).parameters:
        return False
    try:
        _predicted(model, one.without_results(), forces=True)
    except BostructError:  # it says so when asked, or knows no such structure
        return False
    return True


def _seconds(model: Predicts, bare: Structures, forces: bool) -> float:
    """Return the CPU seconds of one structure: the least of some tries."""
    found: list[float] = []
    while len(found) < TRIES and sum(found) < ENOUGH:
        start = time.process_time()
        _predicted(model, bare, forces)
        found.append(time.process_time() - start)
    return min(found) / len(bare)


def _predicted(model: Predicts, bare: Structures, forces: bool) -> Prediction:
    if forces:
        return model.predict(bare, force_variance=True)  # type: ignore[call-arg]
    return model.predict(bare)

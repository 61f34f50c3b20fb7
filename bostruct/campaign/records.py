"""Rows of the log as values: `Trial` and `Step`."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import LogError
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.spaces import Space
from bostruct.structures import Structures, to_ase

DatabaseRow = sqlite3.Row | Mapping[str, Any]
"""Values by the names of their columns."""

OPEN_STATES = ("planned", "running")
"""States of a trial whose energy is still to be asked for."""


@dataclass(frozen=True)
class OutcomePrediction:
    """What was said of one outcome of a structure before it was evaluated.

    Args:
        name: Of the outcome, as the goals have it.
        mean: In outcome space: as measured, or log10 where its objective is.
        latent_variance: Of what would be without noise.
        predictive_variance: Of what would be measured.
        is_exact: Whether the space knows it, at no cost; both variances are 0 then.
    """

    name: str
    mean: float
    latent_variance: float = 0.0
    predictive_variance: float = 0.0
    is_exact: bool = False


@dataclass(frozen=True, eq=False)
class Trial:
    """One structure whose energy is asked for, and what came of it.

    Args:
        number: In the order in which energies are asked for, from 0.
        step: The step that chose it.
        key: The same in every run of the same campaign; another one per attempt.
        attempt: From 1; one more each time a killed campaign asks again. 0 if it was
            given with its energy and never asked for.
        state: planned, running, done, failed or abandoned; retracted if someone took
            back what it had found, see `Campaign.retract`.
        generator: The generator that proposed the structure; "initial_structures" if the user gave it,
            "relaxation" in the relaxation of a good one.
        X: `[d]` its coordinates in the space.
        candidate_index: Its row among the candidates of its step; None if it is random.
        mean: Predicted before the energy was asked for, eV; None without a surrogate.
        latent_variance: Of the latent energy, eV².
        predictive_variance: Variance of the energy as it would be observed, eV².
        acquisition: The value for which it was chosen.
        energy: eV, once it is done; None if that was retracted, see `Log.told`.
        forces: `[a, 3]` eV/Å, where they are known.
        properties: Further numbers by name.
        provenance: What made the energy.
        reason: Why it failed, the last time if it is asked for again.
        retryable: Whether the same call may succeed another time. A campaign asks once
            more: of one planned it says that it has failed before.
        seconds: Wall time of the evaluator.
        outcome_predictions: What was said of the outcomes that the campaign has goals for.
        structures: The one structure, on the CPU; None in a log without a space.
    """

    number: int
    step: int
    key: str
    attempt: int
    state: str
    generator: str
    X: Tensor
    candidate_index: int | None = None
    mean: float | None = None
    latent_variance: float | None = None
    predictive_variance: float | None = None
    acquisition: float | None = None
    energy: float | None = None
    forces: Tensor | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    retryable: bool = False
    seconds: float = 0.0
    outcome_predictions: tuple[OutcomePrediction, ...] = ()
    structures: Structures | None = None

    @property
    def is_finished(self) -> bool:
        """Whether an energy or a failure was recorded."""
        return self.state in ("done", "failed", "retracted")

    @property
    def is_initial_data(self) -> bool:
        """Whether it was given with its energy, and never asked for."""
        return self.attempt == 0

    @property
    def atoms(self) -> Any:  # noqa: ANN401 - ASE is not imported here
        """The structure as `ase.Atoms`, without energy.

        Raises:
            LogError: the log was opened without the space that decodes it.
        """
        if self.structures is None:
            raise LogError(
                f"trial {self.number} has coordinates but no structure: "
                "open the log through its campaign, Campaign.read(folder)."
            )
        return to_ase(self.structures)[0]


@dataclass(frozen=True)
class Step:
    """One step: what was believed, and what it cost.

    Args:
        number: From 0, what the user gave or the first random structures.
        kind: "initial_data" for structures that came with their energies, "initial_structures" for those
            of the user that are evaluated first, "random" without a surrogate, "model"
            with one, "relaxation" for a step of a relaxation with the evaluator.
        training_trials: The trials the surrogate was trained on; in a check those of the
            relaxation so far.
        hyperparameters: Of the surrogate, with its log marginal likelihood; and what
            the predictions before were worth, see `calibration`.
        seconds: Wall time of fit, search and log.
        file: Of the posterior, in the folder `posteriors`; "" without a surrogate.
        sha256: Of that file.
        effort: How thorough the search was; see `effort`.
    """

    number: int
    kind: str
    training_trials: tuple[int, ...]
    hyperparameters: Mapping[str, float]
    seconds: Mapping[str, float]
    file: str = ""
    sha256: str = ""
    effort: int = 0


@dataclass(frozen=True)
class RelaxationReport:
    """What a check with the evaluator found of one of the best structures.

    Args:
        trial: Where its relaxation began.
        energy: There, eV.
        n_evaluations: That the relaxation took so far.
        relaxed_trial: The trial where it ended, or is; the lowest one unless converged.
        relaxed_energy: There, eV.
        max_force: The largest force on a movable atom there, eV/Å; None if unknown.
        converged: Whether that is below the tolerance.
        state: "converged", or why not, for a person.
    """

    trial: int
    energy: float
    n_evaluations: int
    relaxed_trial: int
    relaxed_energy: float
    max_force: float | None
    converged: bool
    state: str


def to_bytes(values: Tensor | None) -> bytes | None:
    """Return float64 numbers as bytes, bit for bit."""
    if values is None:
        return None
    return values.detach().cpu().double().numpy().astype("<f8").tobytes()


def from_bytes(blob: bytes | None, columns: int | None = None) -> Tensor | None:
    """Return what `pack` packed, `[d]` or `[a, columns]`."""
    if blob is None:
        return None
    values = torch.from_numpy(np.frombuffer(blob, "<f8").astype(np.float64))
    return values if columns is None else values.reshape(-1, columns)


def trial_key(identity: str, number: int, x: bytes, attempt: int) -> str:
    """Return the key of one attempt at one trial."""
    text = f"{identity}|{number}|".encode() + x
    return f"{hashlib.sha256(text).hexdigest()[:24]}-{attempt}"


def row_checksum(row: Mapping[str, Any], exclude: tuple[str, ...] = ()) -> str:
    """Return the checksum of a row, of every column except `exclude`."""
    digest = hashlib.sha256()
    for name in sorted(row.keys()):
        if name in ("checksum", *exclude):
            continue
        value = row[name]
        text = value.hex() if isinstance(value, bytes) else to_canonical_json(value)
        digest.update(f"{name}={text}\n".encode())
    return digest.hexdigest()


def outcome_from_row(row: sqlite3.Row) -> OutcomePrediction:
    """Return a row of `bostruct_outcome` as a value."""
    numbers = (row["mean"], row["latent_variance"], row["predictive_variance"])
    return OutcomePrediction(row["name"], *numbers, is_exact=bool(row["is_exact"]))


def trial_from_row(
    row: DatabaseRow, outcome_predictions: tuple[OutcomePrediction, ...] = ()
) -> Trial:
    """Return a row of `bostruct_trial` as a value."""
    x = from_bytes(row["x"])
    assert x is not None
    believed = row["state"] != "retracted"
    return Trial(
        number=row["number"],
        step=row["step"],
        key=row["key"],
        attempt=row["attempt"],
        state=row["state"],
        generator=row["generator"],
        X=x,
        candidate_index=row["candidate_index"],
        mean=row["mean"],
        latent_variance=row["latent_variance"],
        predictive_variance=row["predictive_variance"],
        acquisition=row["acquisition"],
        energy=row["energy"] if believed else None,
        forces=from_bytes(row["forces"], 3) if believed else None,
        properties=json.loads(row["properties"]),
        provenance=json.loads(row["provenance"]),
        reason=row["reason"],
        retryable=bool(row["retryable"]),
        seconds=row["seconds"],
        outcome_predictions=outcome_predictions,
    )


def step_from_row(row: sqlite3.Row) -> Step:
    """Return a row of `bostruct_step` joined with its posterior as a value."""
    return Step(
        number=row["number"],
        kind=row["kind"],
        training_trials=tuple(json.loads(row["training_trials"])),
        hyperparameters=json.loads(row["hyperparameters"]),
        seconds={part: row[f"seconds_{part}"] for part in ("fit", "search", "log")},
        file=row["file"] or "",
        sha256=row["sha256"] or "",
        effort=row["effort"],
    )


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """One step as it is written down before any of its energies is asked for.

    Args:
        step: Its number.
        kind: As in `records.Step`.
        X: `[q, d]` what is asked for, float64 on the CPU.
        generators: The generator of each.
        training_trials: The trials that the choice was made from.
        hyperparameters: Of the surrogate.
        predictions: Of each trial, by the names of the columns in the log.
        tensors: Of the posterior file, named as in `arrays.py`; None without one.
        header: Of the posterior file.
        seconds_fit: Wall time of the fit.
        seconds_search: Wall time of the search, the choice and the predictions.
        effort: How thorough the search was; see `effort`.
        results: Of trials that were given with theirs, and are not asked for.
        outcome_predictions: Of each trial, what is said of the outcomes that there are goals for.
    """

    step: int
    kind: str
    X: Tensor
    generators: list[str]
    training_trials: list[int] = field(default_factory=list)
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    predictions: list[dict[str, float]] = field(default_factory=list)
    tensors: Mapping[str, Tensor] | None = None
    header: Mapping[str, object] = field(default_factory=dict)
    seconds_fit: float = 0.0
    seconds_search: float = 0.0
    effort: int = 0
    results: Sequence[Evaluation | Failure] = ()
    outcome_predictions: Sequence[tuple[OutcomePrediction, ...]] = ()


def training_structures(trials: list[Trial], space: Space) -> Structures:
    """Return the structures of finished trials with their energies and forces.

    Where a force is unknown it is NaN; where all are, there are none.
    """
    decoded = space.decode(torch.stack([trial.X for trial in trials]))
    energy = decoded.positions.new_tensor([trial.energy for trial in trials])
    if all(trial.forces is None for trial in trials):
        return replace(decoded, energy=energy)
    parts = [
        decoded.positions.new_full((int(count), 3), torch.nan)
        if trial.forces is None
        else trial.forces.to(decoded.positions)
        for trial, count in zip(trials, decoded.counts, strict=True)
    ]
    return replace(decoded, energy=energy, forces=torch.cat(parts))

"""Rows of the log as values: trials, steps, outcome predictions and relaxation reports."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bostruct.campaign.enthalpy import enthalpy_of
from bostruct.campaign.member_names import MEMBER_KEY
from bostruct.campaign.number_ranges import NumberRanges
from bostruct.errors import LogError
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime.canonical_json import parse_json, to_canonical_json
from bostruct.spaces import Space
from bostruct.structures import Structures, to_ase

DatabaseRow = sqlite3.Row | Mapping[str, Any]
"""Values by column name."""

TRUST_PREFIX = "trusted: "
"""Beginning of the column `doubt` where the doubt was dismissed, before the reason."""

OPEN_STATES = ("planned", "running")
"""States of a trial without a result."""

FINISHED_STATES = ("done", "failed", "retracted")
"""States of a trial with a result, an energy or a failure."""


UNCHANGED_COLUMNS = (
    *("number", "step", "key", "attempt", "state", "generator", "candidate_index", "mean"),
    *("latent_variance", "predictive_variance", "acquisition", "reason", "seconds"),
)
"""Columns of a trial that hold its fields as they are."""


@dataclass(frozen=True)
class OutcomePrediction:
    """Prediction of one outcome of a structure from before its evaluation.

    Args:
        name: Name of the outcome.
        mean: Mean in outcome space: as measured, or log10 where the objective is logarithmic.
        latent_variance: Variance without observation noise.
        predictive_variance: Variance of an observation.
        is_exact: True if the space knows the outcome exactly; both variances are 0 then.
    """

    name: str
    mean: float
    latent_variance: float = 0.0
    predictive_variance: float = 0.0
    is_exact: bool = False


AttemptState = Literal["failed", "died", "interrupted"]
"""Ends of an attempt: a failure, the death of the process that evaluated, the end of the run."""

AttemptCause = Literal["retryable", "resumed", "failures in a row", "asked by the user"]
"""Causes of another attempt."""


@dataclass(frozen=True)
class Attempt:
    """Attempt at a trial that another one has followed.

    Args:
        trial: Number of the trial.
        attempt: Number of the attempt, from 1.
        state: "failed", "died" where the process ended during the evaluation, or "interrupted".
        cause: Cause of the next attempt: a "retryable" failure, a run that was "resumed", a run
            that had ended with "failures in a row", or "asked by the user".
        reason: Reason for which the attempt ended.
        seconds: Wall time of the evaluation; 0 where it is not known.
    """

    trial: int
    attempt: int
    state: AttemptState
    cause: AttemptCause
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Trial:
    """One structure to evaluate, with its prediction and its result.

    Args:
        number: Order in which structures are evaluated, from 0.
        step: Number of the step that selected the structure.
        key: Identifier of the attempt, equal in every run of the same campaign.
        attempt: Number of the attempt, from 1: a further one for each retry, and where a killed
            campaign evaluates again. 0 for initial data, which is never evaluated.
        state: planned, running, done, failed or abandoned; retracted if the result was withdrawn,
            see `Campaign.retract`.
        generator: Name of the generator that proposed the structure; "initial_structures" for
            those of the user, "relaxation" for those of a final relaxation.
        X: `[d]` coordinates in the space.
        candidate_index: Row among the candidates of the step; None without a search.
        mean: Energy predicted before the evaluation, eV; None without a surrogate.
        latent_variance: Predicted variance of the noise-free energy, eV².
        predictive_variance: Predicted variance of an observed energy, eV².
        acquisition: Acquisition value at the selection.
        energy: Energy, eV, once the trial is done; None after a retraction, see
            `Log.trials_before_retraction`.
        forces: `[a, 3]` eV/Å, where they are known.
        stress: `[6]` eV/Å³ in ASE's order, where it is known.
        properties: Further properties by name.
        provenance: Origin of the structure and its result: member, programs, versions, files.
        reason: Cause of the last failure, or of the retraction.
        retryable: True if another attempt may succeed. The campaign makes one; in a planned trial
            the flag says that an attempt has failed before.
        seconds: Wall time of the evaluation.
        doubt: Reason for which the result is doubted; "" without a doubt. Nothing is learnt from a
            doubted result, see `Campaign.trust`.
        trust: Reason for which the result is believed in spite of a doubt; "" without one.
        outcome_predictions: Predictions of the outcomes of objectives and constraints.
        structures: The structure, on the CPU; None in a log without a space.
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
    stress: Tensor | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    retryable: bool = False
    seconds: float = 0.0
    doubt: str = ""
    trust: str = ""
    outcome_predictions: tuple[OutcomePrediction, ...] = ()
    structures: Structures | None = None

    @property
    def is_finished(self) -> bool:
        """True if an energy or a failure was recorded."""
        return self.state in FINISHED_STATES

    @cached_property
    def z_score(self) -> float | None:
        """(E - mean) / σ of the energy; None without a known energy or a prediction."""
        if self.energy is None or self.doubt or self.mean is None or not self.predictive_variance:
            return None
        return (self.energy - self.mean) / math.sqrt(self.predictive_variance)

    @property
    def enthalpy(self) -> float | None:
        """E + p V, eV, which a campaign minimizes: the energy where there is no pressure."""
        return enthalpy_of(self)

    @property
    def member(self) -> str:
        """Name of the structure in a discrete space, "" without one, see `member_names`."""
        return str(self.provenance.get(MEMBER_KEY, ""))

    @property
    def is_known(self) -> bool:
        """True if there is a result, and no doubt about it."""
        return self.state == "done" and not self.doubt

    @property
    def is_initial_data(self) -> bool:
        """True if the user supplied the energy, and it was never evaluated."""
        return self.attempt == 0

    @property
    def atoms(self) -> Any:  # noqa: ANN401 - ASE is not imported here
        """The structure as `ase.Atoms`, without energy.

        Raises:
            LogError: the log was opened without the space that decodes it.
        """
        if self.structures is None:
            raise LogError(
                f"trial {self.number} has coordinates but no structure: open the log through its "
                "campaign, Campaign.read(folder)."
            )
        return to_ase(self.structures)[0]


@dataclass(frozen=True)
class Step:
    """One step of the campaign: surrogate, search and selection of a batch.

    Args:
        number: Order of the steps, from 0.
        kind: "initial_data" for structures with known energies, "initial_structures" for those of
            the user that are evaluated first, "random" without a surrogate, "model" with one,
            "relaxation" for a step of a final relaxation.
        training_trials: Numbers of the trials the surrogate was trained on; in a relaxation those
            of its trajectory so far.
        hyperparameters: Hyperparameters of the surrogate with its log marginal likelihood, and the
            calibration of the predictions before, see `calibration`.
        seconds: Wall time by "fit", "search" and "log".
        file: Name of the posterior file in the folder `posteriors`; "" without a surrogate.
        sha256: Digest of the posterior file.
        effort: Search effort, see `search_effort`.
        pending_trials: Numbers of the trials without a result when the step was planned. All others
            before it had one, so that the step can be planned again, see `Campaign.replan`.
    """

    number: int
    kind: str
    training_trials: Sequence[int]
    hyperparameters: Mapping[str, float]
    seconds: Mapping[str, float]
    file: str = ""
    sha256: str = ""
    effort: int = 0
    pending_trials: Sequence[int] = ()


@dataclass(frozen=True)
class RelaxationReport:
    """Progress of the final relaxation of one structure.

    Args:
        trial: Number of the trial it starts from.
        energy: Energy of that trial, under a pressure its enthalpy, eV.
        n_evaluations: Evaluations of the relaxation so far.
        relaxed_trial: Number of the converged trial, else of the lowest one so far.
        relaxed_energy: Energy or enthalpy of that trial, eV.
        max_force: Largest force on a movable atom there, eV/Å; None if unknown.
        converged: True if that force is below the tolerance.
        state: "converged", or a sentence that says why not.
    """

    trial: int
    energy: float
    n_evaluations: int
    relaxed_trial: int
    relaxed_energy: float
    max_force: float | None
    converged: bool
    state: str


def to_bytes(values: Tensor) -> bytes:
    """Return the values as float64 bytes, little endian."""
    return values.detach().cpu().double().numpy().astype("<f8").tobytes()


def from_bytes(blob: bytes | None, columns: int | None = None) -> Tensor | None:
    """Return the tensor of float64 bytes, `[d]` or `[a, columns]`."""
    if blob is None:
        return None
    values = torch.from_numpy(np.frombuffer(blob, "<f8").astype(np.float64))
    return values if columns is None else values.reshape(-1, columns)


def trial_key(identity: str, number: int, x: bytes, attempt: int) -> str:
    """Return the key of one attempt at one trial."""
    digest = hashlib.sha256(f"{identity}|{number}|".encode() + x).hexdigest()
    return f"{digest[:24]}-{attempt}"


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
    row: DatabaseRow,
    outcome_predictions: tuple[OutcomePrediction, ...] = (),
    stress: bytes | None = None,
) -> Trial:
    """Return a row of `bostruct_trial` as a value, with its stress from `bostruct_stress`."""
    name, x = f"trial {row['number']}", from_bytes(row["x"])
    if x is None or not bool(x.isfinite().all()):
        raise LogError(f"{name} has no finite coordinates, as every trial that bostruct writes.")
    retracted = row["state"] == "retracted"
    is_trusted = row["doubt"].startswith(TRUST_PREFIX)
    return Trial(
        **{column: row[column] for column in UNCHANGED_COLUMNS},
        X=x,
        energy=None if retracted else row["energy"],
        forces=None if retracted else from_bytes(row["forces"], 3),
        stress=None if retracted else from_bytes(stress),
        properties=parse_json(row["properties"], f"{name}: properties", dict, (int, float)),
        provenance=parse_json(row["provenance"], f"{name}: provenance", dict, str),
        retryable=bool(row["retryable"]),
        doubt="" if is_trusted or retracted else row["doubt"],
        trust=row["doubt"].removeprefix(TRUST_PREFIX) if is_trusted else "",
        outcome_predictions=outcome_predictions,
    )


def step_from_row(row: sqlite3.Row, pending_trials: str = "[]") -> Step:
    """Return a row of `bostruct_step` joined with its posterior as a value.

    Args:
        row: The row.
        pending_trials: The pending trials from `bostruct_pending`.
    """
    name = f"step {row['number']}"
    return Step(
        number=row["number"],
        kind=row["kind"],
        training_trials=NumberRanges(row["training_trials"]),
        hyperparameters=parse_json(
            row["hyperparameters"], f"{name}: hyperparameters", dict, (int, float)
        ),
        seconds={part: row[f"seconds_{part}"] for part in ("fit", "search", "log")},
        file=row["file"] or "",
        sha256=row["sha256"] or "",
        effort=row["effort"],
        pending_trials=NumberRanges(pending_trials),
    )


@dataclass(frozen=True, eq=False)
class PlannedStep:
    """One step as it is recorded before any of its structures is evaluated.

    Args:
        step: Number of the step.
        kind: Kind of the step, as in `Step`.
        X: `[q, d]` selected structures, float64 on the CPU.
        generators: Name of the generator of each structure.
        training_trials: Numbers of the trials that the selection rests on.
        hyperparameters: Hyperparameters of the surrogate.
        predictions: Columns of the log for each trial: the prediction and `candidate_index`.
        tensors: Tensors of the posterior file, see `posterior_file`; None without one.
        header: Header of the posterior file.
        seconds_fit: Wall time of the fit.
        seconds_search: Wall time of search, selection and predictions.
        effort: Search effort, see `search_effort`.
        results: Results of the trials of initial data.
        outcome_predictions: Predictions of each trial's outcomes.
        pending_trials: Numbers of the trials without a result.
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
    pending_trials: Sequence[int] = ()


def training_structures(trials: list[Trial], space: Space) -> Structures:
    """Return the structures of finished trials with their energies, forces and stresses.

    Unknown ones are NaN; without any that is known the structures have none. Where all fixed atoms
    of a structure have no force at all, its evaluator has removed them: they are unknown.
    """
    decoded = space.decode(torch.stack([trial.X for trial in trials]))
    energy = decoded.positions.new_tensor([trial.energy for trial in trials])
    if any(trial.stress is not None for trial in trials):
        unknown = decoded.cell.new_full((6,), torch.nan)
        rows = [unknown if t.stress is None else t.stress.to(unknown) for t in trials]
        decoded = replace(decoded, stress=torch.stack(rows))
    if all(trial.forces is None for trial in trials):
        return replace(decoded, energy=energy)
    forces = [
        decoded.positions.new_full((int(count), 3), torch.nan)
        if trial.forces is None
        else trial.forces.to(decoded.positions)
        for trial, count in zip(trials, decoded.counts, strict=True)
    ]
    F = torch.cat(forces)
    is_known = torch.zeros(len(decoded), dtype=torch.bool)
    is_known[decoded.index[decoded.fixed & (F != 0).any(-1)]] = True
    removed = decoded.fixed & ~is_known[decoded.index]
    return replace(decoded, energy=energy, forces=F.masked_fill(removed.unsqueeze(-1), torch.nan))

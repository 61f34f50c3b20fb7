"""One run of the energy benchmark: a method, a task, a seed, and every energy in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from bostruct.runtime.canonical_json import json_finite

TIMED_PARTS = ("fit", "search", "log")
"""Parts of the time of a campaign's step, without its evaluations."""


class EnergyPrediction(NamedTuple):
    """Prediction of an energy before it was evaluated.

    Args:
        mean: Predicted energy, eV.
        latent_std: Standard deviation of the noise-free energy, eV.
        predictive_std: Standard deviation of the observed energy, eV.
    """

    mean: float
    latent_std: float
    predictive_std: float


@final
@dataclass(frozen=True)
class Run:
    """Energies and predictions of one method on one task with one seed.

    Args:
        task: Name of the task.
        method: Name of the method.
        seed: Random seed.
        max_evaluations: Number of evaluations after which the run has failed.
        target_energy: Highest energy that solves the task, eV.
        energies: Energies in the order of evaluation, eV; None where the evaluator failed.
        predictions: Prediction of each energy; None where there was no surrogate.
        hull_energies: Mean of the convex hull after each evaluation, eV/atom, in a task of several
            compositions, whose target it has; empty in others.
        step_seconds: Time of each model step without its evaluations, by `TIMED_PARTS`, s.
        cpu_seconds: CPU time of the process for the whole run with its evaluations, s; None where
            it was not measured.
        reason: Reason of an end before success and before the limit; "" for none.
    """

    task: str
    method: str
    seed: int
    max_evaluations: int
    target_energy: float
    energies: Sequence[float | None] = ()
    predictions: Sequence[EnergyPrediction | None] = ()
    hull_energies: Sequence[float | None] = ()
    step_seconds: Sequence[Sequence[float]] = ()
    cpu_seconds: float | None = None
    reason: str = ""

    @property
    def evaluations_to_success(self) -> int | None:
        """Number of evaluations until the task was solved, None if it was not."""
        for i, energy in enumerate(self._target_values[: self.max_evaluations]):
            if energy is not None and energy <= self.target_energy:
                return i + 1
        return None

    @property
    def is_finished(self) -> bool:
        """True if the task is solved, the limit is reached, or the run cannot continue."""
        solved = self.evaluations_to_success is not None
        return solved or len(self.energies) >= self.max_evaluations or bool(self.reason)

    @property
    def best_energy(self) -> float | None:
        """Lowest energy within the limit of evaluations, eV, or of the hull, eV/atom."""
        energies = self._target_values[: self.max_evaluations]
        return min((energy for energy in energies if energy is not None), default=None)

    @property
    def _target_values(self) -> Sequence[float | None]:
        """Energies that the target is one of."""
        return self.hull_energies or self.energies

    @property
    def z_values(self) -> list[float]:
        """Errors over σ of the predicted energies within the limit of evaluations.

        z = (E - mean) / σ with the predictive σ; infinite where there is no valid σ.
        """
        pairs = zip(self.energies[: self.max_evaluations], self.predictions, strict=False)
        return [
            _z_score(energy, prediction)
            for energy, prediction in pairs
            if energy is not None and prediction is not None
        ]

    @property
    def z2_values(self) -> list[float]:
        """Squares of `z_values`."""
        return [z * z for z in self.z_values]

    @property
    def cpu_seconds_per_evaluation(self) -> float | None:
        """CPU time over the number of evaluations, s; None where it was not measured."""
        if self.cpu_seconds is None or not self.energies:
            return None
        return self.cpu_seconds / len(self.energies)

    @property
    def z2(self) -> float | None:
        """Mean z² of the predicted energies, ideally 1."""
        values = self.z2_values
        return math.fsum(values) / len(values) if values else None

    @property
    def coverage_1sigma(self) -> float | None:
        """Fraction of the predicted energies within 1 σ, ideally 0.68."""
        values = self.z2_values
        return sum(square <= 1 for square in values) / len(values) if values else None

    @property
    def total_step_seconds(self) -> list[float]:
        """Time of each model step without its evaluations, s."""
        return [math.fsum(parts) for parts in self.step_seconds]

    def json(self) -> dict[str, Any]:
        """Return the run and what is derived from it as JSON values."""
        return {
            "task": self.task,
            "method": self.method,
            "seed": self.seed,
            "evaluations_to_success": self.evaluations_to_success,
            "is_finished": self.is_finished,
            "max_evaluations": self.max_evaluations,
            "best_energy": self.best_energy,
            "cpu_seconds": self.cpu_seconds,
            "reason": self.reason,
            "energies": list(self.energies),
            "hull_energies": list(self.hull_energies),
            "predictions": json_finite([p if p is None else p._asdict() for p in self.predictions]),
            "z2": json_finite(self.z2),
            "coverage_1sigma": self.coverage_1sigma,
            "step_seconds": [
                dict(zip(TIMED_PARTS, parts, strict=True)) for parts in self.step_seconds
            ],
        }


def _z_score(energy: float, prediction: EnergyPrediction) -> float:
    """Return z; infinite where there is no valid σ."""
    error, sigma = energy - prediction.mean, prediction.predictive_std
    if not (math.isfinite(error) and sigma > 0):
        return math.inf
    return error / sigma

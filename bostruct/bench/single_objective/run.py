"""One run: a method, a task and a seed, and every energy it asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

TIMED_PARTS = ("fit", "search", "log")
"""Where a campaign's own time goes."""


class EnergyPrediction(NamedTuple):
    """What a surrogate said of an energy before it was known.

    Args:
        mean: eV.
        latent_std: σ of the true energy, eV.
        predictive_std: σ of the energy as it would be observed, eV.
    """

    mean: float
    latent_std: float
    predictive_std: float


@final
@dataclass(frozen=True)
class Run:
    """What one run asked for.

    Args:
        task: Its name.
        method: Its name.
        seed: Of all that was random.
        max_evaluations: Evaluations after which it has failed.
        target_energy: The highest energy that solves the task, eV.
        energies: In the order asked for, eV; None where the evaluator failed.
        predictions: What was expected of each of them; None where there was no surrogate.
        step_seconds: Own time in each step that had a surrogate, `PARTS` each.
        reason: Why it ended before it was solved or had reached its cap; "" if not.
    """

    task: str
    method: str
    seed: int
    max_evaluations: int
    target_energy: float
    energies: Sequence[float | None] = ()
    predictions: Sequence[EnergyPrediction | None] = ()
    step_seconds: Sequence[Sequence[float]] = ()
    reason: str = ""

    @property
    def evaluations_to_success(self) -> int | None:
        """How many energies it took to solve the task, None if it did not."""
        for i, energy in enumerate(self.energies[: self.max_evaluations]):
            if energy is not None and energy <= self.target_energy:
                return i + 1
        return None

    @property
    def is_finished(self) -> bool:
        """Whether it solved the task, reached its cap, or cannot go on."""
        solved = self.evaluations_to_success is not None
        return solved or len(self.energies) >= self.max_evaluations or bool(self.reason)

    @property
    def best_energy(self) -> float | None:
        """The lowest energy within the cap, eV."""
        found = [energy for energy in self.energies[: self.max_evaluations] if energy is not None]
        return min(found, default=None)

    @property
    def z2_values(self) -> list[float]:
        """z² of each energy within the cap that was predicted before it was known.

        z = (E - mean) / σ with the observed σ; infinite where there was none.
        """
        return [
            _squared_z(energy, belief)
            for energy, belief in self._predicted_energies
            if energy is not None and belief is not None
        ]

    @property
    def _predicted_energies(self) -> list[tuple[float | None, EnergyPrediction | None]]:
        return list(zip(self.energies[: self.max_evaluations], self.predictions, strict=False))

    @property
    def z2(self) -> float | None:
        """Mean z² of those predictions; ideally 1."""
        found = self.z2_values
        return math.fsum(found) / len(found) if found else None

    @property
    def coverage_1sigma(self) -> float | None:
        """The share of them within 1 σ; ideally 0.68."""
        found = self.z2_values
        return sum(square <= 1 for square in found) / len(found) if found else None

    @property
    def total_step_seconds(self) -> list[float]:
        """Own time of each step that had a surrogate, s."""
        return [math.fsum(parts) for parts in self.step_seconds]

    def json(self) -> dict[str, Any]:
        """Return it as JSON values, with what follows from it."""
        return {
            "task": self.task,
            "method": self.method,
            "seed": self.seed,
            "evaluations": self.evaluations_to_success,
            "finished": self.is_finished,
            "cap": self.max_evaluations,
            "best": self.best_energy,
            "reason": self.reason,
            "energies": list(self.energies),
            "predictions": [
                None if belief is None else _prediction_json(belief) for belief in self.predictions
            ],
            "z2": self.z2 if self.z2 is None else _finite_or_none(self.z2),
            "within_1sigma": self.coverage_1sigma,
            "seconds": [dict(zip(TIMED_PARTS, parts, strict=True)) for parts in self.step_seconds],
        }


def _squared_z(energy: float, prediction: EnergyPrediction) -> float:
    """Return z²; infinite where there is no σ to speak of."""
    error, sigma = energy - prediction.mean, prediction.predictive_std
    if not (math.isfinite(error) and sigma > 0):
        return math.inf
    return (error / sigma) ** 2


def _prediction_json(prediction: EnergyPrediction) -> dict[str, float | None]:
    return {name: _finite_or_none(value) for name, value in prediction._asdict().items()}


def _finite_or_none(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None

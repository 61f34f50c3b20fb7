"""One run: a method, a task and a seed, and every energy it asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

PARTS = ("fit", "search", "log")
"""Where a campaign's own time goes."""


class Belief(NamedTuple):
    """What a surrogate said of an energy before it was known.

    Args:
        mean: eV.
        latent: σ of the true energy, eV.
        observed: σ of the energy as it would be observed, eV.
    """

    mean: float
    latent: float
    observed: float


@final
@dataclass(frozen=True)
class Run:
    """What one run asked for.

    Args:
        task: Its name.
        method: Its name.
        seed: Of all that was random.
        cap: Evaluations after which it has failed.
        target: The highest energy that solves the task, eV.
        energies: In the order asked for, eV; None where the evaluator failed.
        beliefs: What was expected of each of them; None where there was no surrogate.
        seconds: Own time in each step that had a surrogate, `PARTS` each.
        reason: Why it ended before it was solved or had reached its cap; "" if not.
    """

    task: str
    method: str
    seed: int
    cap: int
    target: float
    energies: Sequence[float | None] = ()
    beliefs: Sequence[Belief | None] = ()
    seconds: Sequence[Sequence[float]] = ()
    reason: str = ""

    @property
    def evaluations(self) -> int | None:
        """How many energies it took to solve the task, None if it did not."""
        for i, energy in enumerate(self.energies[: self.cap]):
            if energy is not None and energy <= self.target:
                return i + 1
        return None

    @property
    def finished(self) -> bool:
        """Whether it solved the task, reached its cap, or cannot go on."""
        solved = self.evaluations is not None
        return solved or len(self.energies) >= self.cap or bool(self.reason)

    @property
    def best(self) -> float | None:
        """The lowest energy within the cap, eV."""
        found = [energy for energy in self.energies[: self.cap] if energy is not None]
        return min(found, default=None)

    @property
    def squares(self) -> list[float]:
        """z² of each energy within the cap that was predicted before it was known.

        z = (E - mean) / σ with the observed σ; infinite where there was none.
        """
        return [
            _square(energy, belief)
            for energy, belief in self._expected
            if energy is not None and belief is not None
        ]

    @property
    def _expected(self) -> list[tuple[float | None, Belief | None]]:
        return list(zip(self.energies[: self.cap], self.beliefs, strict=False))

    @property
    def z2(self) -> float | None:
        """Mean z² of those predictions; ideally 1."""
        found = self.squares
        return math.fsum(found) / len(found) if found else None

    @property
    def within(self) -> float | None:
        """The share of them within 1 σ; ideally 0.68."""
        found = self.squares
        return sum(square <= 1 for square in found) / len(found) if found else None

    @property
    def own(self) -> list[float]:
        """Own time of each step that had a surrogate, s."""
        return [math.fsum(parts) for parts in self.seconds]

    def json(self) -> dict[str, Any]:
        """Return it as JSON values, with what follows from it."""
        return {
            "task": self.task,
            "method": self.method,
            "seed": self.seed,
            "evaluations": self.evaluations,
            "finished": self.finished,
            "cap": self.cap,
            "best": self.best,
            "reason": self.reason,
            "energies": list(self.energies),
            "predictions": [
                None if belief is None else _finite(belief) for belief in self.beliefs
            ],
            "z2": self.z2 if self.z2 is None else _number(self.z2),
            "within_1sigma": self.within,
            "seconds": [dict(zip(PARTS, parts, strict=True)) for parts in self.seconds],
        }


def _square(energy: float, belief: Belief) -> float:
    """Return z²; infinite where there is no σ to speak of."""
    error, sigma = energy - belief.mean, belief.observed
    if not (math.isfinite(error) and sigma > 0):
        return math.inf
    return (error / sigma) ** 2


def _finite(belief: Belief) -> dict[str, float | None]:
    return {name: _number(value) for name, value in belief._asdict().items()}


def _number(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None

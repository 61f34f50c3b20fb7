"""One run: a method, a task and a seed, and every energy it asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

PARTS = ("fit", "search", "log")
"""Where a campaign's own time goes."""


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
        seconds: Own time in each step that had a surrogate, `PARTS` each.
        reason: Why it ended before it was solved or had reached its cap; "" if not.
    """

    task: str
    method: str
    seed: int
    cap: int
    target: float
    energies: Sequence[float | None] = ()
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
            "seconds": [dict(zip(PARTS, parts, strict=True)) for parts in self.seconds],
        }

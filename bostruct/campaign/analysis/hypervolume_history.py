"""How a front grew: what each evaluation of a campaign with goals has added.

All hypervolumes of a series are under one reference point, else they could not be
compared; it is therefore computed from the trials, and not read from the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from bostruct.campaign.analysis.outcome_table import table
from bostruct.campaign.records import Trial
from bostruct.objectives import Goals, front, hypervolume
from bostruct.objectives.pareto import complete

REFERENCE = "reference_of_"
"""How the names begin under which a step logs the reference point."""


class Standing(NamedTuple):
    """Where a front stands.

    Args:
        hypervolume: In the product of the units of outcome space.
        front: Structures on it.
        feasible: Structures of which every outcome is known and every bound is kept.
    """

    hypervolume: float
    front: int
    feasible: int


@final
@dataclass(frozen=True)
class Series:
    """Where the front stood after each evaluation, in the order asked for.

    A failed evaluation counts, and so does one that was retracted: it was paid for.

    Attributes:
        hypervolume: Under one reference point, in the product of the units of outcome
            space.
        front: Structures on the front.
        feasible: Structures of which every outcome is known and every bound is kept.
    """

    hypervolume: tuple[float, ...] = ()
    front: tuple[int, ...] = ()
    feasible: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.front)

    @classmethod
    def of(
        cls, trials: Sequence[Trial], goals: Goals, reference: Tensor | None
    ) -> Series:
        """Return the series of a log.

        Args:
            trials: All so far in the order asked; what is not finished is left out.
            goals: Of the campaign.
            reference: `[m]` utilities; None where nothing is known yet.
        """
        trials = [trial for trial in trials if trial.finished]
        Y = table(trials, goals)
        sound = good(Y, goals)
        volumes, sizes, counts = [], [], []
        best = torch.zeros(0, dtype=torch.int64)  # rows of the front so far
        volume = 0.0
        for i, trial in enumerate(trials):
            if sound[i]:
                rows = torch.cat([best, torch.tensor([i])])
                now = rows[front(Y[rows], goals)]
                if not torch.equal(now, best):
                    best = now
                    assert reference is not None  # something is known
                    volume = hypervolume(Y[best], goals, reference)
            if not trial.given:
                volumes.append(volume)
                sizes.append(len(best))
                counts.append(int(sound[: i + 1].sum()))
        return cls(tuple(volumes), tuple(sizes), tuple(counts))


def standing(
    trials: Sequence[Trial], goals: Goals, reference: Tensor | None, n: int
) -> Standing:
    """Return where the front stood after `n` evaluations, without all before.

    Args:
        trials: All so far in the order asked; what is not finished is left out.
        goals: Of the campaign.
        reference: `[m]` utilities; None where nothing is known yet.
        n: Evaluations, failed and retracted ones counted.
    """
    finished = [trial for trial in trials if trial.finished]
    given = [trial for trial in finished if trial.given]
    Y = table(given + [trial for trial in finished if not trial.given][:n], goals)
    volume = 0.0 if reference is None else hypervolume(Y, goals, reference)
    return Standing(volume, len(front(Y, goals)), int(good(Y, goals).sum()))


def logged(Y: Tensor, goals: Goals, reference: Tensor) -> dict[str, float]:
    """Return what a step logs of the front among `Y [t, k]`, by name."""
    return {
        "front": float(len(front(Y, goals))),
        "feasible": float(goals.feasible(Y).sum()),
        "hypervolume": hypervolume(Y, goals, reference),
    }


def good(Y: Tensor, goals: Goals) -> Tensor:
    """Return `[t]` which rows of `Y [t, k]` are known in full and keep every bound."""
    return complete(Y) & goals.feasible(Y)

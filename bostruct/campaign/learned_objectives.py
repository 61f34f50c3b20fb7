"""The goals of a campaign in its space: what is learnt, and what is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.records import Outcome
from bostruct.errors import InputError, must
from bostruct.objectives import Goals, reference_point
from bostruct.spaces import Discrete, Space

SAMPLE = 2048
"""Members of a space that the reference point looks at, where it has more."""


@final
@dataclass(frozen=True)
class Aims:
    """Goals, in a space that may know some of the outcomes at no cost.

    Args:
        goals: What is wanted.
        space: What may be proposed.

    Raises:
        InputError: the space knows all of the outcomes: nothing is left to learn.
    """

    goals: Goals
    space: Space

    def __post_init__(self) -> None:
        if not self.learnt:
            condition = "hold one that only an evaluation tells"
            way_out = "The space knows all of these exactly: list it and sort."
            names = list(self.goals.names)
            raise InputError(must("objectives", condition, names, way_out))

    @cached_property
    def exact(self) -> tuple[str, ...]:
        """The outcomes that the space knows, in the order of the goals."""
        if not isinstance(self.space, Discrete):
            return ()
        there = self.space.known(self.space.sample(1, torch.Generator().manual_seed(0)))
        return tuple(name for name in self.goals.names if name in there)

    @property
    def learnt(self) -> tuple[str, ...]:
        """The others."""
        return tuple(name for name in self.goals.names if name not in self.exact)

    @property
    def columns(self) -> list[int]:
        """Where those are among the outcomes."""
        return [self.goals.names.index(name) for name in self.learnt]

    @property
    def known(self) -> Callable[[Tensor], Tensor] | None:
        """Of X `[..., d]` the exact outcomes `[..., e]`; None where there are none."""
        return self._known if self.exact else None

    def _known(self, X: Tensor) -> Tensor:
        assert isinstance(self.space, Discrete)
        there = self.space.known(X)
        logs = self.goals.logs
        parts = [
            there[name].log10() if name in logs else there[name] for name in self.exact
        ]
        return torch.stack(parts, -1)

    def said(self, X: Tensor) -> list[tuple[Outcome, ...]]:
        """Return the exact outcomes of X `[n, d]`, for the log."""
        if not self.exact or not len(X):
            return [() for _ in X]
        rows = self._known(X).tolist()
        return [
            tuple(
                Outcome(n, v, exact=True) for n, v in zip(self.exact, row, strict=True)
            )
            for row in rows
        ]

    def members(self) -> Tensor:
        """Return members `[s, d]` that stand for the space: all, if it has few."""
        size = self.space.size if isinstance(self.space, Discrete) else None
        if isinstance(self.space, Discrete) and size is not None and size <= SAMPLE:
            return self.space.rows(0, size)
        return self.space.sample(SAMPLE, torch.Generator().manual_seed(0))

    def reference(self, Y: Tensor, expected: Tensor) -> Tensor:
        """Return the reference point, utilities `[m]`.

        The user's where given. Else a tenth of the range behind the worst of what was
        found and of what is expected of the members that stand for the space: the ends
        of a front lie where the first few structures have not been.

        Args:
            Y: `[t, k]` what was found.
            expected: `[s, k]` of `members`.
        """
        return reference_point(torch.cat([Y, expected.to(Y)]), self.goals)

"""The best members of a list: every one is scored, a few at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import AcquisitionCallable
from bostruct.candidates.selection import Candidates
from bostruct.errors import check_count
from bostruct.spaces import DiscreteSpace

MAX_EXHAUSTIVE_MEMBERS = 10**6
"""Members of the longest list that is scored by default."""


@final
@dataclass(frozen=True)
class ExhaustiveSearch:
    """Score every member of a discrete space that can be listed.

    Nothing is missed, and nothing depends on chance. The list is never in memory as a
    whole, so that a million members take no more of it than the space itself.

    Attributes:
        chunk_size: members scored at once; what the surrogate needs for so many must fit.
        n_keep: the most members returned, the best, beside those known; all of them where
            the space has fewer.

    Raises:
        InputError: a number is out of range.
    """

    chunk_size: int = 256
    n_keep: int = 20_000

    def __post_init__(self) -> None:
        check_count("chunk_size", self.chunk_size)
        check_count("n_keep", self.n_keep)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {"type": "ExhaustiveSearch", **asdict(self)}

    def __call__(
        self,
        acq_function: AcquisitionCallable,
        space: DiscreteSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return the best members with their values, best first.

        Of equal ones those earlier in the list come first; values that are not finite
        come last.

        Args:
            acq_function: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: lists its members.
            X_evaluated: `[t, d]` evaluated so far; they take no room from the others.
            energies: not used.
            generator: not used.

        Raises:
            SpaceError: the space cannot be listed.
        """
        room = self.n_keep + len(X_evaluated)
        X, worth = X_evaluated[:0], X_evaluated.new_zeros(0)
        for chunk in space.iter_members():
            part = chunk.to(X_evaluated)
            with torch.no_grad():
                scores = [
                    acq_function(rows).to(X_evaluated) for rows in part.split(self.chunk_size)
                ]
            X, worth = torch.cat([X, part]), torch.cat([worth, *scores])
            finite = torch.where(worth.isfinite(), worth, -torch.inf)
            best = finite.argsort(descending=True, stable=True)[:room]
            X, worth = X[best], worth[best]
        return Candidates(
            X=X,
            acq_value=worth,
            generator_names=["listed"] * len(X),
            n_steps=torch.zeros(len(X), dtype=torch.int64, device=X.device),
            converged=torch.ones(len(X), dtype=torch.bool, device=X.device),
        )

"""Exhaustive search among the members of a discrete space, some at a time."""

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
"""Members of the largest space that is searched exhaustively by default."""


@final
@dataclass(frozen=True)
class ExhaustiveSearch:
    """Computation of the acquisition of every member of a discrete space.

    Nothing is missed, and nothing depends on chance. The list is never in memory as a
    whole, so that a million members take no more of it than the space itself.

    Attributes:
        chunk_size: the number of members scored at once, for which the memory must suffice.
        n_keep: the most members returned, the best, beside those evaluated; all of them where
            the space has fewer.

    Raises:
        InputError: A number is out of range.
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
            acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
            space: the space whose members are scored.
            X_evaluated: `[t, d]` members evaluated so far, on top of which `n_keep` are kept.
            energies: not used.
            generator: not used.

        Raises:
            SpaceError: The space cannot be listed.
        """
        n_kept = self.n_keep + len(X_evaluated)
        X, values = X_evaluated[:0], X_evaluated.new_zeros(0)
        for chunk in space.iter_members():
            members = chunk.to(X_evaluated)
            with torch.no_grad():
                new = [
                    acq_function(part).to(X_evaluated) for part in members.split(self.chunk_size)
                ]
            X, values = torch.cat([X, members]), torch.cat([values, *new])
            finite = torch.where(values.isfinite(), values, -torch.inf)
            best = finite.argsort(descending=True, stable=True)[:n_kept]
            X, values = X[best], values[best]
        return Candidates.unrelaxed(X, values, ["listed"] * len(X))

"""The best members of a list: every one is scored, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import Value
from bostruct.candidates.selection import Candidates
from bostruct.errors import check_count

LONGEST = 10**6
"""Members of the longest list that is scored by default."""


class Listed(Protocol):
    """What `Pick` needs to know of a space."""

    def chunks(self) -> Iterator[Tensor]:
        """Yield all members once, canonical, `[·, d]`."""
        ...


@final
@dataclass(frozen=True)
class Pick:
    """Score every member of a discrete space that can be listed.

    Nothing is missed, and nothing depends on chance. The list is never in memory as a
    whole, so that a million members take no more of it than the space itself.

    Attributes:
        chunk: members scored at once; what the surrogate needs for so many must fit.
        keep: the most members returned, the best, beside those known; all of them where
            the space has fewer.

    Raises:
        InputError: a number is out of range.
    """

    chunk: int = 256
    keep: int = 20_000

    def __post_init__(self) -> None:
        check_count("chunk", self.chunk)
        check_count("keep", self.keep)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {"search": "pick", **asdict(self)}

    def __call__(
        self,
        value: Value,
        space: Listed,
        known: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return the best members with their values, best first.

        Of equal ones those earlier in the list come first; values that are not finite
        come last.

        Args:
            value: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: lists its members.
            known: `[t, d]` evaluated so far; they take no room from the others.
            energies: not used.
            generator: not used.

        Raises:
            SpaceError: the space cannot be listed.
        """
        room = self.keep + len(known)
        X, worth = known[:0], known.new_zeros(0)
        for chunk in space.chunks():
            part = chunk.to(known)
            with torch.no_grad():
                scores = [value(rows).to(known) for rows in part.split(self.chunk)]
            X, worth = torch.cat([X, part]), torch.cat([worth, *scores])
            finite = torch.where(worth.isfinite(), worth, -torch.inf)
            best = finite.argsort(descending=True, stable=True)[:room]
            X, worth = X[best], worth[best]
        return Candidates(
            X=X,
            value=worth,
            origin=["listed"] * len(X),
            steps=torch.zeros(len(X), dtype=torch.int64, device=X.device),
            converged=torch.ones(len(X), dtype=torch.bool, device=X.device),
        )

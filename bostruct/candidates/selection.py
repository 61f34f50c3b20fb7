"""What was considered, and the choice among it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

STRICT = 0.2  # of the tolerance: how close a look is a look at the same structure

BLOCK = 16
"""Candidates that are compared at a time."""


class Judges(Protocol):
    """What the choice needs to know of a space."""

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` may be proposed, `[...]`."""
        ...

    def same(self, A: Tensor, B: Tensor, scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]` are one structure, `[...]`.

        `scale` multiplies the tolerance.
        """
        ...


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """Structures that a search considered.

    Attributes:
        X: `[c, d]`.
        value: `[c]`, what a look at each is worth; larger is better.
        origin: how each was generated, c names.
        steps: `[c]` int64, relaxation steps.
        converged: `[c]` bool.
    """

    X: Tensor
    value: Tensor
    origin: Sequence[str]
    steps: Tensor
    converged: Tensor

    def __len__(self) -> int:
        return self.X.shape[0]

    @classmethod
    def cat(cls, parts: Sequence[Candidates]) -> Candidates:
        """Return all candidates of several searches, in that order."""
        return cls(
            X=torch.cat([part.X for part in parts]),
            value=torch.cat([part.value for part in parts]),
            origin=[name for part in parts for name in part.origin],
            steps=torch.cat([part.steps for part in parts]),
            converged=torch.cat([part.converged for part in parts]),
        )


def choose(
    candidates: Candidates,
    q: int,
    *,
    space: Judges,
    seen: Tensor | None = None,
    resting: Tensor | None = None,
    paying: Tensor | None = None,
) -> Tensor:
    """Return the rows of the q best candidates that are new, best first, `[<= q]`.

    Left out are values that are not finite, structures outside the space or with
    atoms too close, those that are the same as one in `seen`, and those that are
    the same as a better one. What has been evaluated away from its minimum may be
    looked at again closer to it: there the tolerance is stricter, and a candidate that
    is worth an energy for what it promises is held to none, once.

    Args:
        candidates: c of them.
        q: the most to return.
        space: says what may be proposed, and what is the same.
        seen: `[t, d]`, evaluated or pending.
        resting: `[t]` bool, which of them are not worth another look nearby; none is
            by default.
        paying: `[c]` bool, which candidates are worth an energy even where one like
            them was evaluated away from its minimum; none is by default.
    """
    X, value = candidates.X, candidates.value
    allowed = value.isfinite() & X.isfinite().all(-1)
    allowed &= space.contains(X.nan_to_num())
    order = value.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    taken: list[int] = []
    for rows in order[allowed[order]].split(BLOCK):
        if len(taken) >= q:
            break
        block = X[rows]
        out = _old(
            block, space, seen, resting, None if paying is None else paying[rows]
        )
        if taken:
            out |= space.same(block.unsqueeze(1), X[taken]).any(-1)
        twins = space.same(block.unsqueeze(1), block).tolist()
        better: list[int] = []
        for k, gone in enumerate(out.tolist()):
            if gone or any(twins[k][other] for other in better):
                continue
            better.append(k)
        taken.extend(rows[better].tolist())
    return torch.tensor(taken[:q], dtype=torch.int64, device=X.device)


def _old(
    X: Tensor,
    space: Judges,
    seen: Tensor | None,
    resting: Tensor | None,
    paying: Tensor | None,
) -> Tensor:
    """Return which of X `[n, d]` are structures that were seen, `[n]` bool."""
    if seen is None or not len(seen):
        return torch.zeros(len(X), dtype=torch.bool, device=X.device)
    seen, X = seen.to(X), X.unsqueeze(1)
    close = space.same(X, seen, scale=STRICT)
    old = close.any(-1)
    if paying is not None:
        old &= ~paying.to(X.device) | (close.sum(-1) > 1)
    if resting is not None:
        old |= (space.same(X, seen) & resting.to(X.device)).any(-1)
    return old

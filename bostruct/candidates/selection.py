"""What was considered, and the choice among it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces import Space

STRICT_TOLERANCE_SCALE = 0.2  # of the tolerance: how close a look is a look at the same structure

SELECTION_BLOCK_SIZE = 16
"""Candidates that are compared at a time."""


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """Structures that a search considered.

    Attributes:
        X: `[c, d]`.
        acq_value: `[c]`, what a look at each is worth; larger is better.
        generator_names: how each was generated, c names.
        n_steps: `[c]` int64, relaxation steps.
        converged: `[c]` bool.
    """

    X: Tensor
    acq_value: Tensor
    generator_names: Sequence[str]
    n_steps: Tensor
    converged: Tensor

    def __len__(self) -> int:
        return self.X.shape[0]

    @classmethod
    def cat(cls, parts: Sequence[Candidates]) -> Candidates:
        """Return all candidates of several searches, in that order."""
        return cls(
            X=torch.cat([part.X for part in parts]),
            acq_value=torch.cat([part.acq_value for part in parts]),
            generator_names=[name for part in parts for name in part.generator_names],
            n_steps=torch.cat([part.n_steps for part in parts]),
            converged=torch.cat([part.converged for part in parts]),
        )


def select_top(
    candidates: Candidates,
    q: int,
    *,
    space: Space,
    X_evaluated: Tensor | None = None,
    is_relaxed: Tensor | None = None,
    allow_resample: Tensor | None = None,
) -> Tensor:
    """Return the rows of the q best candidates that are new, best first, `[<= q]`.

    Left out are values that are not finite, structures outside the space or with
    atoms too close, those that are the same as one in `X_evaluated`, and those that are
    the same as a better one. What has been evaluated away from its minimum may be
    looked at again closer to it: there the tolerance is stricter, and a candidate that
    is worth an energy for what it promises is held to none, once.

    Args:
        candidates: c of them.
        q: the most to return.
        space: says what may be proposed, and what is the same.
        X_evaluated: `[t, d]`, evaluated or pending.
        is_relaxed: `[t]` bool, which of them are not worth another look nearby; none is
            by default.
        allow_resample: `[c]` bool, which candidates are worth an energy even where one like
            them was evaluated away from its minimum; none is by default.
    """
    X, value = candidates.X, candidates.acq_value
    allowed = value.isfinite() & X.isfinite().all(-1)
    allowed &= space.contains(X.nan_to_num())
    order = value.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    taken: list[int] = []
    for rows in order[allowed[order]].split(SELECTION_BLOCK_SIZE):
        if len(taken) >= q:
            break
        block = X[rows]
        out = _is_evaluated(
            block,
            space,
            X_evaluated,
            is_relaxed,
            None if allow_resample is None else allow_resample[rows],
        )
        if taken:
            out |= space.is_duplicate(block.unsqueeze(1), X[taken]).any(-1)
        twins = space.is_duplicate(block.unsqueeze(1), block).tolist()
        better: list[int] = []
        for k, gone in enumerate(out.tolist()):
            if gone or any(twins[k][other] for other in better):
                continue
            better.append(k)
        taken.extend(rows[better].tolist())
    return torch.tensor(taken[:q], dtype=torch.int64, device=X.device)


def _is_evaluated(
    X: Tensor,
    space: Space,
    X_evaluated: Tensor | None,
    is_relaxed: Tensor | None,
    allow_resample: Tensor | None,
) -> Tensor:
    """Return which of X `[n, d]` are structures that were seen, `[n]` bool."""
    if X_evaluated is None or not len(X_evaluated):
        return torch.zeros(len(X), dtype=torch.bool, device=X.device)
    X_evaluated, X = X_evaluated.to(X), X.unsqueeze(1)
    close = space.is_duplicate(X, X_evaluated, tolerance_scale=STRICT_TOLERANCE_SCALE)
    old = close.any(-1)
    if allow_resample is not None:
        old &= ~allow_resample.to(X.device) | (close.sum(-1) > 1)
    if is_relaxed is not None:
        old |= (space.is_duplicate(X, X_evaluated) & is_relaxed.to(X.device)).any(-1)
    return old

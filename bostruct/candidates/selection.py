"""Candidates of a search, and the selection of the best that are no duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.spaces import Space

STRICT_TOLERANCE_SCALE = 0.2
"""Factor on the tolerance within which a candidate is a copy, even of a structure it is below."""

SELECTION_BLOCK_SIZE = 16
"""Candidates that are compared at a time."""


@final
@dataclass(frozen=True, eq=False)
class Candidates:
    """Structures that a search considered.

    Attributes:
        X: `[c, d]`.
        acq_value: `[c]` acquisition values; larger is better.
        generator_names: the random generator or move that made each, c names.
        n_steps: `[c]` int64, relaxation steps.
        converged: `[c]` bool, whether the relaxation of each has converged.
    """

    X: Tensor
    acq_value: Tensor
    generator_names: Sequence[str]
    n_steps: Tensor
    converged: Tensor

    def __len__(self) -> int:
        return self.X.shape[0]

    @classmethod
    def unrelaxed(cls, X: Tensor, acq_value: Tensor, generator_names: Sequence[str]) -> Candidates:
        """Return candidates that are where they were made, as members of discrete spaces."""
        n, device = len(X), X.device
        n_steps = torch.zeros(n, dtype=torch.int64, device=device)
        converged = torch.ones(n, dtype=torch.bool, device=device)
        return cls(X, acq_value, generator_names, n_steps, converged)

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
    is_lower: Tensor | None = None,
    allow_resample: Tensor | None = None,
) -> Tensor:
    """Return the rows of the q best candidates that are no duplicates, best first, `[<= q]`.

    Left out are values that are not finite, structures outside the space or with
    atoms too close, duplicates of one in `X_evaluated`, and duplicates of a better candidate.
    The tolerance is stricter for a candidate that is lower than the evaluated structure, and one
    with `allow_resample` may be a copy of one such structure.

    Args:
        candidates: c candidates.
        q: the most rows to return.
        space: the space, which accepts structures and recognizes duplicates.
        X_evaluated: `[t, d]` structures evaluated or pending.
        is_lower: `[c, t]` bool, which candidates are so far below which of them that the stricter
            tolerance applies; all by default.
        allow_resample: `[c]` bool, which candidates may be a copy of an evaluated structure that
            they are below; none by default.
    """
    X, acq_value = candidates.X, candidates.acq_value
    allowed = acq_value.isfinite() & X.isfinite().all(-1)
    allowed &= space.contains(X.nan_to_num())
    order = acq_value.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)
    selected: list[int] = []
    for rows in order[allowed[order]].split(SELECTION_BLOCK_SIZE):
        if len(selected) >= q:
            break
        block = X[rows]
        resample = None if allow_resample is None else allow_resample[rows]
        lower = None if is_lower is None else is_lower[rows]
        excluded = _is_evaluated(block, space, X_evaluated, lower, resample)
        if selected:
            excluded |= space.is_duplicate(block.unsqueeze(1), X[selected]).any(-1)
        duplicates = space.is_duplicate(block.unsqueeze(1), block).tolist()
        better: list[int] = []
        for k, is_excluded in enumerate(excluded.tolist()):
            if not is_excluded and not any(duplicates[k][other] for other in better):
                better.append(k)
        selected.extend(rows[better].tolist())
    return torch.tensor(selected[:q], dtype=torch.int64, device=X.device)


def _is_evaluated(
    X: Tensor,
    space: Space,
    X_evaluated: Tensor | None,
    is_lower: Tensor | None,
    allow_resample: Tensor | None,
) -> Tensor:
    """Return which of X `[n, d]` count as evaluated, `[n]` bool."""
    if X_evaluated is None or not len(X_evaluated):
        return torch.zeros(len(X), dtype=torch.bool, device=X.device)
    X_evaluated, X = X_evaluated.to(X), X.unsqueeze(1)
    copies = space.is_duplicate(X, X_evaluated, tolerance_scale=STRICT_TOLERANCE_SCALE)  # [n, t]
    evaluated = copies.any(-1)
    if allow_resample is not None:
        evaluated &= ~allow_resample.to(X.device) | (copies.sum(-1) > 1)
    if is_lower is not None:
        evaluated |= (space.is_duplicate(X, X_evaluated) & ~is_lower.to(X.device)).any(-1)
    return evaluated


def select_unevaluated(
    X: Tensor, acq_value: Tensor, count: int, space: Space, X_evaluated: Tensor
) -> Tensor:
    """Return the rows of the best of X `[c, d]` that are no duplicates of evaluated structures."""
    candidates = Candidates.unrelaxed(X, acq_value, [])
    lower = torch.zeros(len(X), len(X_evaluated), dtype=torch.bool)
    return select_top(candidates, count, space=space, X_evaluated=X_evaluated, is_lower=lower)

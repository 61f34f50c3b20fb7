"""Points of the simplex within bounds, drawn uniformly and none in vain.

With lower bounds l and widths w, shares are l + y, 0 ≤ y ≤ w, Σ y = R = 1 - Σ l. One y
after the other is drawn from its distribution given those before it. With r the part
of R that is left, and S running over sets of the other elements,

    P(y ≤ t) = (C(r) - C(r - t)) / (C(r) - C(r - w)),
    C(r) = Σ_S (-1)^|S| max(r - Σ_S w, 0)^k / k!,

the volume of {Σ of the k others ≤ r} by inclusion and exclusion, which is inverted by
bisection. Sets wider than R add nothing, so that without upper bounds one is left.
Where r exceeds half of all widths, w - y is drawn instead of y, as C cancels there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.random_tensors import uniform

MAX_SUBSETS = 1 << 13
"""Sets of elements whose upper bounds may bind together; time grows with it."""

N_BISECTIONS = 60
"""Bisections: float64 has no more digits."""

MAX_CHUNK_ELEMENTS = 1 << 22
"""Numbers of an intermediate; bounds the memory to some 100 MB."""


def sample_bounded_simplex(
    lower: Tensor, upper: Tensor, n: int, generator: torch.Generator
) -> Tensor:
    """Return points uniform in {low ≤ x ≤ high, Σ x = 1}, `[n, k]`.

    Raises:
        InputError: too many upper bounds bind together.
    """
    width = upper - lower
    k = len(lower)
    start = float(1 - lower.sum())
    tables = [_inclusion_exclusion_terms(width[i + 1 :].tolist(), start) for i in range(k - 1)]
    drawn = uniform((n, max(k - 1, 1)), generator).to(lower)
    found = lower.repeat(n, 1)
    largest = max((len(table[0]) for table in tables), default=1)
    for rows in torch.arange(n).split(max(MAX_CHUNK_ELEMENTS // largest, 1)):
        left = torch.full((len(rows),), start, dtype=lower.dtype)
        for i in range(k - 1):
            y = _sample_conditional(left, width[i:], tables[i], drawn[rows, i])
            found[rows, i] += y
            left = (left - y).clamp(min=0)
        found[rows, -1] += torch.minimum(left, width[-1])
    return found


def project_bounded_simplex(X: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return the points of {low ≤ x ≤ high, Σ x = 1} nearest to X `[..., k]`.

    They are clamp(x - τ, low, high), with τ such that they sum to 1.
    """
    least = (X - upper).amin(-1, keepdim=True)
    most = (X - lower).amax(-1, keepdim=True)
    inside = (torch.clamp(X, lower, upper) == X).all(-1)
    inside &= (X.sum(-1) - 1).abs() < 1e-12
    for _ in range(N_BISECTIONS):
        middle = (least + most) / 2
        above = torch.clamp(X - middle, lower, upper).sum(-1, keepdim=True) > 1
        least = torch.where(above, middle, least)
        most = torch.where(above, most, middle)
    moved = torch.clamp(X - (least + most) / 2, lower, upper)
    return torch.where(inside.unsqueeze(-1), X, moved)


def _inclusion_exclusion_terms(widths: Sequence[float], remainder: float) -> tuple[Tensor, Tensor]:
    """Return the width `[s]` and sign `[s]` of each set narrower than `remainder`."""
    sums, signs = [0.0], [1.0]
    for width in widths:
        grown = [(s + width, -g) for s, g in zip(sums, signs, strict=True)]
        grown = [(s, g) for s, g in grown if s < remainder]
        sums += [s for s, _ in grown]
        signs += [g for _, g in grown]
        if len(sums) > MAX_SUBSETS:
            condition = f"bind in fewer than {MAX_SUBSETS} sets of elements"
            way_out = "Give a `step`, or leave out upper bounds."
            raise InputError(error_message("bounds", condition, f"{len(sums)} sets", way_out))
    kind = torch.float64
    return torch.tensor(sums, dtype=kind), torch.tensor(signs, dtype=kind)


def _sample_conditional(
    remainder: Tensor,
    widths: Tensor,
    subset_terms: tuple[Tensor, Tensor],
    quantile: Tensor,
) -> Tensor:
    """Return what the first of several elements takes of what is left, `[n]`."""
    own, others = widths[0], widths[1:]
    total = widths.sum()
    flip = remainder > total / 2
    r = torch.where(flip, total - remainder, remainder).clamp(min=0)
    # y lies where the others can take the rest
    least = (r - others.sum()).clamp(min=0)
    most = torch.minimum(r, own)
    top = _simplex_volume(r - least, others, subset_terms)
    bottom = _simplex_volume(r - most, others, subset_terms)
    wanted = top - quantile * (top - bottom)
    for _ in range(N_BISECTIONS):
        middle = (least + most) / 2
        short = _simplex_volume(r - middle, others, subset_terms) > wanted
        least = torch.where(short, middle, least)
        most = torch.where(short, most, middle)
    y = (least + most) / 2
    return torch.where(flip, own - y, y)


def _simplex_volume(
    remainder: Tensor, widths: Tensor, subset_terms: tuple[Tensor, Tensor]
) -> Tensor:
    """Return C(r) of elements of these widths, `[n]`."""
    k = len(widths)
    total = widths.sum()
    mirrored = remainder > total / 2
    near = torch.where(mirrored, total - remainder, remainder).clamp(min=0)
    sums, signs = subset_terms
    terms = (near.unsqueeze(-1) - sums).clamp(min=0).pow(k) * signs
    below = terms.sum(-1) / math.factorial(k)
    return torch.where(mirrored, widths.prod() - below, below)

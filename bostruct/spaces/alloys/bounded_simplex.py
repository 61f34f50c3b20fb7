"""Bounded simplex: fractions that sum to one between lower and upper bounds.

Sampling is uniform, without rejection. With lower bounds l and widths w, fractions are l + y,
0 ≤ y ≤ w, Σ y = R = 1 - Σ l. One y after the other is drawn from its distribution given those
before it. With r the part of R that is left, and S running over subsets of the other elements,

    P(y ≤ t) = (C(r) - C(r - t)) / (C(r) - C(r - w)),
    C(r) = Σ_S (-1)^|S| max(r - Σ_S w, 0)^k / k!,

the volume of {Σ of the k others ≤ r} by inclusion and exclusion, which is inverted by bisection.
Subsets wider than R contribute nothing, so that without upper bounds one is left. Where r exceeds
half of all widths, w - y is drawn instead of y, to avoid cancellation in C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.random_tensors import uniform

MAX_SUBSETS = 1 << 13
"""Largest number of subsets of elements whose upper bounds bind together; bounds the time."""

N_BISECTIONS = 60
"""Number of bisections, which use up the digits of float64."""

MAX_CHUNK_ELEMENTS = 1 << 22
"""Largest number of elements of an intermediate; bounds the memory to about 100 MB."""


def sample_bounded_simplex(
    lower: Tensor, upper: Tensor, n: int, generator: torch.Generator
) -> Tensor:
    """Return points uniform in {lower ≤ x ≤ upper, Σ x = 1}, `[n, k]`.

    Raises:
        InputError: too many upper bounds bind together.
    """
    width = upper - lower
    k = len(lower)
    total = float(1 - lower.sum())
    terms = [_inclusion_exclusion_terms(width[i + 1 :].tolist(), total) for i in range(k - 1)]
    u = uniform((n, max(k - 1, 1)), generator).to(lower)
    X = lower.repeat(n, 1)
    largest = max((len(sums) for sums, _ in terms), default=1)
    for rows in torch.arange(n).split(max(MAX_CHUNK_ELEMENTS // largest, 1)):
        rest = torch.full((len(rows),), total, dtype=lower.dtype)
        for i in range(k - 1):
            y = _sample_conditional(rest, width[i:], terms[i], u[rows, i])
            X[rows, i] += y
            rest = (rest - y).clamp(min=0)
        X[rows, -1] += torch.minimum(rest, width[-1])
    return X


def project_bounded_simplex(X: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return the points of {lower ≤ x ≤ upper, Σ x = 1} nearest to X `[..., k]`.

    They are clamp(x - τ, lower, upper), with τ such that they sum to 1.
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
    projected = torch.clamp(X - (least + most) / 2, lower, upper)
    return torch.where(inside.unsqueeze(-1), X, projected)


def _inclusion_exclusion_terms(widths: Sequence[float], remainder: float) -> tuple[Tensor, Tensor]:
    """Return the width `[s]` and sign `[s]` of each subset narrower than `remainder`."""
    terms = [(0.0, 1.0)]
    for width in widths:
        terms += [(s + width, -sign) for s, sign in terms if s + width < remainder]
        if len(terms) > MAX_SUBSETS:
            condition = f"bind in fewer than {MAX_SUBSETS} sets of elements"
            hint = "Give a `step`, or leave out upper bounds."
            raise InputError(error_message("bounds", condition, f"{len(terms)} sets", hint))
    sums, signs = torch.tensor(terms, dtype=torch.float64).T.contiguous()
    return sums, signs


def _sample_conditional(
    remainder: Tensor, widths: Tensor, subset_terms: tuple[Tensor, Tensor], quantile: Tensor
) -> Tensor:
    """Return the part of the remainder that the first of several elements takes, `[n]`."""
    width, others = widths[0], widths[1:]
    total = widths.sum()
    flip = remainder > total / 2
    r = torch.where(flip, total - remainder, remainder).clamp(min=0)
    # y lies where the others can take the rest
    least = (r - others.sum()).clamp(min=0)
    most = torch.minimum(r, width)
    top = _simplex_volume(r - least, others, subset_terms)
    bottom = _simplex_volume(r - most, others, subset_terms)
    volume = top - quantile * (top - bottom)
    for _ in range(N_BISECTIONS):
        middle = (least + most) / 2
        short = _simplex_volume(r - middle, others, subset_terms) > volume
        least = torch.where(short, middle, least)
        most = torch.where(short, most, middle)
    y = (least + most) / 2
    return torch.where(flip, width - y, y)


def _simplex_volume(
    remainder: Tensor, widths: Tensor, subset_terms: tuple[Tensor, Tensor]
) -> Tensor:
    """Return C(r) of elements of these widths, `[n]`."""
    k = len(widths)
    total = widths.sum()
    mirrored = remainder > total / 2
    r = torch.where(mirrored, total - remainder, remainder).clamp(min=0)
    sums, signs = subset_terms
    below = ((r.unsqueeze(-1) - sums).clamp(min=0).pow(k) * signs).sum(-1) / math.factorial(k)
    return torch.where(mirrored, widths.prod() - below, below)

"""Mean and variance of the members of a committee (row U10).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    y   [M, ...]  eV   predictions of each member: energies, forces or anything else
    m   [...]     eV   their mean, (17)
    s2  [...]     eV²  their spread, Σ (y - m)² / (M - 1), (18)

The divisor is M - 1 everywhere. Members trained on overlapping data are correlated, and a committee
can agree on a wrong answer: calibrate it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.uncertainty.linear_model.sufficient_statistics import check_finite_rows


class EnsembleMoments(NamedTuple):
    """Mean `[...]` eV and variance `[...]` eV² (divisor M - 1) of a committee."""

    mean: Tensor
    variance: Tensor


def ensemble_mean_variance(members: Tensor) -> EnsembleMoments:
    """Return mean (17) and variance (18) of members `[M, ...]`.

    In float64 and in two passes: energies may be 1e5 eV and their spread 1e-3 eV.

    Raises:
        ShapeError: there are no members.
        InputError: there is one member, or a number is not finite.
    """
    y = check_members(members)
    # The mean of large numbers is rounded; its remainder is removed in a second pass.
    rough_mean = y.mean(0)
    deviation = y - rough_mean
    remainder = deviation.mean(0)
    variance = (deviation - remainder).square().sum(0) / (len(y) - 1)
    return EnsembleMoments(rough_mean + remainder, variance)


def check_members(members: Tensor) -> Tensor:
    """Return members `[M, ...]` in float64 if there are at least two, of finite numbers.

    Raises:
        ShapeError: there are no members.
        InputError: there is one member, or a number is not finite.
    """
    check_finite_rows("members", members)
    check_count("members", len(members), 2, "One member has no spread.")
    return members.to(torch.float64)


def unbiased_variance(variance: Tensor, n_members: int) -> Tensor:
    """Return the variance with divisor M - 1 from that with divisor M, `[...]`.

    MACE's committee calculator and the tables of Tran et al. (Mach. Learn.: Sci. Technol. 2020, 1,
    025006) have the divisor M.

    Raises:
        InputError: there are fewer than 2 members, or a variance is negative.
    """
    check_count("n_members", n_members, 2, "One member has no spread.")
    if not bool((variance.isfinite() & (variance >= 0)).all()):
        minimum = float(variance.min())
        raise InputError(error_message("variance", "be finite and not negative", minimum))
    return variance * (n_members / (n_members - 1))


def subsample_rows(
    n_rows: int, n_members: int, generator: torch.Generator, *, size: int | None = None
) -> Tensor:
    """Return the training rows of each member, `[M, size]`, drawn without replacement.

    Args:
        n_rows: number n of training rows.
        n_members: number M of members, at least 2.
        generator: random generator on the CPU.
        size: number of rows of a member; by default (M - 1) n / M, as is usual.

    Raises:
        InputError: a number is too small, or `size` exceeds `n_rows`.
    """
    check_count("n_members", n_members, 2, "One member has no spread.")
    check_count("n_rows", n_rows, 2)
    size = (n_members - 1) * n_rows // n_members if size is None else size
    check_count("size", size, 1)
    if size > n_rows:
        raise InputError(error_message("size", f"be at most the {n_rows} rows", size))
    order = torch.rand((n_members, n_rows), generator=generator).argsort(1)
    return order[:, :size].sort(1).values

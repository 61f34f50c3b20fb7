"""Sufficient statistics of training rows, which can be merged shard by shard.

Notation
    Z  [n, c]  1  rows: features, then targets
    w  [n]     1  weight of each row in the loss
    m  [c]     1  weighted mean of the rows that have a constant term
    S  [c, c]  1  Σ w (z - m)(z - m)ᵀ

Shards are merged around their means (Chan, Golub, LeVeque, Am. Stat. 1983, 37, 242),
so that spreads of 1e-3 eV survive offsets of 1e5 eV.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.runtime.memory import rows_per_block


@final
@dataclass(frozen=True, eq=False)
class WeightedMoments:
    """Weight, mean and scatter of rows, in float64; `+` merges two shards.

    Attributes:
        n_rows: `[]` number of all rows.
        total_weight: `[]` sum of the weights of the rows that have a constant term.
        mean: `[c]` weighted mean of the rows that have a constant term.
        scatter: `[c, c]` sum of weighted squares around the mean (around zero for rows that have
            no constant term).
    """

    n_rows: Tensor
    total_weight: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def from_rows(
        cls,
        rows: Tensor,
        weights: Tensor | None = None,
        *,
        has_constant: bool = True,
    ) -> WeightedMoments:
        """Return the moments of rows `[n, c]` with weights `[n]`, block by block.

        With `has_constant=False` the rows are derivatives or differences without a constant term:
        they are squared without centring and do not count in the mean.
        """
        step = rows_per_block(rows.shape[1])
        blocks = [slice(start, start + step) for start in range(0, len(rows), step)]
        moments = (
            _block_moments(rows[block], None if weights is None else weights[block], has_constant)
            for block in blocks
        )
        return functools.reduce(operator.add, moments)

    @property
    def uncentered_scatter(self) -> Tensor:
        """Sum of weighted squares around zero, `[c, c]`."""
        return self.scatter + self.total_weight * torch.outer(self.mean, self.mean)

    def __add__(self, other: WeightedMoments) -> WeightedMoments:
        """Return the moments of both sets of rows.

        Raises:
            ShapeError: they have different columns.
        """
        if self.mean.shape != other.mean.shape:
            condition = f"have {len(self.mean)} columns of features and targets"
            raise ShapeError(error_message("other", condition, len(other.mean)))
        weight = self.total_weight + other.total_weight
        # Two shards of derivatives only have no mean at all.
        fraction = other.total_weight / weight if weight > 0 else torch.zeros_like(weight)
        gap = other.mean - self.mean
        return WeightedMoments(
            self.n_rows + other.n_rows,
            weight,
            self.mean + fraction * gap,
            self.scatter + other.scatter + self.total_weight * fraction * torch.outer(gap, gap),
        )


def _block_moments(rows: Tensor, weights: Tensor | None, has_constant: bool) -> WeightedMoments:
    z = rows.detach().to(torch.float64)
    w = z.new_ones(len(z)) if weights is None else weights.to(z)
    n_rows = torch.tensor(len(z), device=z.device)
    if has_constant:
        weight = w.sum()
        mean = w @ z / weight
    else:
        weight, mean = w.new_zeros(()), z.new_zeros(z.shape[1])
    centered = (z - mean) * w.sqrt().unsqueeze(1)
    return WeightedMoments(n_rows, weight, mean, centered.mT @ centered)


def check_finite_rows(name: str, value: Tensor, n_columns: int | None = None) -> Tensor:
    """Return `value` `[..., c]` if it has rows of finite numbers (of `n_columns` columns).

    Raises:
        ShapeError: it has no rows, or rows of another width.
        InputError: a number in it is not finite.
    """
    if value.ndim < 1 or value.numel() == 0 or n_columns not in (None, value.shape[-1]):
        condition = "have rows" if n_columns is None else f"have rows of {n_columns} numbers"
        raise ShapeError(error_message(name, condition, f"shape {list(value.shape)}"))
    # A finite sum proves that all terms are finite, ten times faster than a test of each.
    if not bool(value.detach().sum().isfinite()) and (
        n_bad := int((~value.detach().isfinite()).sum())
    ):
        hint = "Drop the rows that hold them."
        raise InputError(error_message(name, "be finite", f"{n_bad} that are not", hint))
    return value


def check_all_positive(name: str, value: Tensor) -> Tensor:
    """Return `value` if all entries are positive and finite.

    Raises:
        InputError: an entry is not; the message holds the first of them.
    """
    bad = ~(value.isfinite() & (value > 0))
    if bool(bad.any()):
        raise InputError(error_message(name, "be positive and finite", float(value[bad][0])))
    return value


def check_alpha2(alpha2: Tensor | float, n_targets: int | None, is_multi_target: bool) -> Tensor:
    """Return a calibration factor as a float64 tensor, `[]` or `[t]`.

    Raises:
        ShapeError: the factor is neither one number nor one per column of the t targets.
        InputError: the factor is not positive and finite.
    """
    factor = torch.as_tensor(alpha2, dtype=torch.float64).detach()
    check_all_positive("alpha2", factor)
    matches = n_targets is None or (is_multi_target and factor.numel() == n_targets)
    if factor.ndim > 1 or (factor.ndim == 1 and not matches):
        condition = "be one number or one per column of the targets"
        raise ShapeError(error_message("alpha2", condition, f"shape {list(factor.shape)}"))
    return factor


def check_targets(targets: Tensor, n_rows: int) -> Tensor:
    """Return targets `[n]` or `[n, t]` if they are finite and as many as the rows.

    Raises:
        ShapeError: the targets have another shape.
        InputError: a number is not finite.
    """
    if targets.ndim not in (1, 2) or len(targets) != n_rows:
        condition = f"have shape [{n_rows}] or [{n_rows}, t]"
        raise ShapeError(error_message("targets", condition, f"shape {list(targets.shape)}"))
    return check_finite_rows("targets", targets)

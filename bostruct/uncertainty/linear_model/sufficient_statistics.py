"""Sums over training rows that can be taken shard by shard.

Notation
    Z  [n, c]  1  rows: features, then targets
    w  [n]     1  weight of each row in the loss
    m  [c]     1  weighted mean of the rows that a constant enters
    S  [c, c]  1  Σ w (z - m)(z - m)ᵀ

Shards are merged around their means (Chan, Golub, LeVeque, Am. Stat. 1983, 37, 242),
so that spreads of 1e-3 eV survive offsets of 1e5 eV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.runtime.memory import BLOCK_BYTES, rows_per_block


@final
@dataclass(frozen=True, eq=False)
class WeightedMoments:
    """Weight, mean and scatter of rows, in float64; `+` merges two shards.

    Attributes:
        n_rows: `[]` rows, those without a constant included.
        total_weight: `[]` sum of the weights of the rows that a constant enters.
        mean: `[c]` weighted mean of these rows.
        scatter: `[c, c]` sum of weighted squares around the mean (of rows that no
            constant enters: around zero).
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
        block_bytes: int = BLOCK_BYTES,
    ) -> WeightedMoments:
        """Return the moments of rows `[n, c]` with weights `[n]`, block by block.

        With `constant=False` the rows are derivatives or differences, which no constant
        enters: they are squared as they are and do not count in the mean.
        """
        step = rows_per_block(rows.shape[1], block_bytes)
        pieces = []
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            weight = None if weights is None else weights[part]
            pieces.append(_block_moments(rows[part], weight, has_constant))
        total = pieces[0]
        for piece in pieces[1:]:
            total = total + piece
        return total

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
            wanted = f"have {len(self.mean)} columns of features and targets"
            raise ShapeError(error_message("other", wanted, len(other.mean)))
        weight = self.total_weight + other.total_weight
        # Two shards of derivatives only have no mean at all.
        share = other.total_weight / weight if weight > 0 else torch.zeros_like(weight)
        gap = other.mean - self.mean
        return WeightedMoments(
            self.n_rows + other.n_rows,
            weight,
            self.mean + share * gap,
            self.scatter + other.scatter + self.total_weight * share * torch.outer(gap, gap),
        )


def _block_moments(rows: Tensor, weights: Tensor | None, has_constant: bool) -> WeightedMoments:
    z = rows.detach().to(torch.float64)
    w = z.new_ones(len(z)) if weights is None else weights.to(z)
    count = torch.tensor(len(z), device=z.device)
    if has_constant:
        weight = w.sum()
        mean = w @ z / weight
    else:
        weight, mean = w.new_zeros(()), z.new_zeros(z.shape[1])
    centred = (z - mean) * w.sqrt().unsqueeze(1)
    return WeightedMoments(count, weight, mean, centred.mT @ centred)


def check_finite_rows(name: str, value: Tensor, n_columns: int | None = None) -> Tensor:
    """Return `value` `[..., c]` if it has rows of finite numbers (of that width).

    Raises:
        ShapeError: it has no rows, or rows of another width.
        InputError: a number in it is not finite.
    """
    if value.ndim < 1 or value.numel() == 0 or n_columns not in (None, value.shape[-1]):
        wanted = "have rows" if n_columns is None else f"have rows of {n_columns} numbers"
        raise ShapeError(error_message(name, wanted, f"shape {list(value.shape)}"))
    # A sum is finite only if all of it is, and ten times faster than a look at each.
    if not bool(value.detach().sum().isfinite()) and (
        bad := int((~value.detach().isfinite()).sum())
    ):
        way_out = "Drop the rows that hold them."
        raise InputError(error_message(name, "be finite", f"{bad} that are not", way_out))
    return value


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of those allowed.

    Raises:
        InputError: it is not.
    """
    if value not in allowed:
        raise InputError(error_message(name, f"be one of {', '.join(allowed)}", repr(value)))
    return value


def check_all_positive(name: str, value: Tensor) -> Tensor:
    """Return `value` if all of it is positive and finite.

    Raises:
        InputError: it is not; the sentence has the first that is not.
    """
    bad = ~(value.isfinite() & (value > 0))
    if bool(bad.any()):
        raise InputError(error_message(name, "be positive and finite", float(value[bad][0])))
    return value


def check_alpha2(alpha2: Tensor | float, n_targets: int | None, is_multi_target: bool) -> Tensor:
    """Return a calibration factor as a float64 tensor, `[]` or `[t]`.

    Raises:
        ShapeError: it is neither one number nor one per column of the t targets.
        InputError: it is not positive and finite.
    """
    found = torch.as_tensor(alpha2, dtype=torch.float64).detach()
    check_all_positive("alpha2", found)
    fits = found.ndim == 0 or (
        found.ndim == 1 and (n_targets is None or (is_multi_target and len(found) == n_targets))
    )
    if not fits:
        wanted = "be one number or one per column of the targets"
        raise ShapeError(error_message("alpha2", wanted, f"shape {list(found.shape)}"))
    return found


def check_targets(targets: Tensor, n_rows: int) -> Tensor:
    """Return targets `[n]` or `[n, t]` if they are finite and as many as the rows.

    Raises:
        ShapeError: they have another shape.
        InputError: a number is not finite.
    """
    if targets.ndim not in (1, 2) or len(targets) != n_rows:
        wanted = f"have shape [{n_rows}] or [{n_rows}, t]"
        raise ShapeError(error_message("targets", wanted, f"shape {list(targets.shape)}"))
    return check_finite_rows("targets", targets)

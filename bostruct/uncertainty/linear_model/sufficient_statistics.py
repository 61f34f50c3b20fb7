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

from bostruct.errors import InputError, ShapeError, must
from bostruct.runtime.memory import BLOCK, block_rows


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Weight, mean and scatter of rows, in float64; `+` merges two shards.

    Attributes:
        count: `[]` rows, those without a constant included.
        weight: `[]` sum of the weights of the rows that a constant enters.
        mean: `[c]` weighted mean of these rows.
        scatter: `[c, c]` sum of weighted squares around the mean (of rows that no
            constant enters: around zero).
    """

    count: Tensor
    weight: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(
        cls,
        rows: Tensor,
        weights: Tensor | None = None,
        *,
        constant: bool = True,
        block: int = BLOCK,
    ) -> Moments:
        """Return the moments of rows `[n, c]` with weights `[n]`, block by block.

        With `constant=False` the rows are derivatives or differences, which no constant
        enters: they are squared as they are and do not count in the mean.
        """
        step = block_rows(rows.shape[1], block)
        pieces = []
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            weight = None if weights is None else weights[part]
            pieces.append(_moments(rows[part], weight, constant))
        total = pieces[0]
        for piece in pieces[1:]:
            total = total + piece
        return total

    @property
    def raw(self) -> Tensor:
        """Sum of weighted squares around zero, `[c, c]`."""
        return self.scatter + self.weight * torch.outer(self.mean, self.mean)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows.

        Raises:
            ShapeError: they have different columns.
        """
        if self.mean.shape != other.mean.shape:
            wanted = f"have {len(self.mean)} columns of features and targets"
            raise ShapeError(must("other", wanted, len(other.mean)))
        weight = self.weight + other.weight
        # Two shards of derivatives only have no mean at all.
        share = other.weight / weight if weight > 0 else torch.zeros_like(weight)
        gap = other.mean - self.mean
        return Moments(
            self.count + other.count,
            weight,
            self.mean + share * gap,
            self.scatter + other.scatter + self.weight * share * torch.outer(gap, gap),
        )


def _moments(rows: Tensor, weights: Tensor | None, constant: bool) -> Moments:
    z = rows.detach().to(torch.float64)
    w = z.new_ones(len(z)) if weights is None else weights.to(z)
    count = torch.tensor(len(z), device=z.device)
    if constant:
        weight = w.sum()
        mean = w @ z / weight
    else:
        weight, mean = w.new_zeros(()), z.new_zeros(z.shape[1])
    centred = (z - mean) * w.sqrt().unsqueeze(1)
    return Moments(count, weight, mean, centred.mT @ centred)


def check_rows(name: str, value: Tensor, width: int | None = None) -> Tensor:
    """Return `value` `[..., c]` if it has rows of finite numbers (of that width).

    Raises:
        ShapeError: it has no rows, or rows of another width.
        InputError: a number in it is not finite.
    """
    if value.ndim < 1 or value.numel() == 0 or width not in (None, value.shape[-1]):
        wanted = "have rows" if width is None else f"have rows of {width} numbers"
        raise ShapeError(must(name, wanted, f"shape {list(value.shape)}"))
    # A sum is finite only if all of it is, and ten times faster than a look at each.
    if not bool(value.detach().sum().isfinite()) and (
        bad := int((~value.detach().isfinite()).sum())
    ):
        way_out = "Drop the rows that hold them."
        raise InputError(must(name, "be finite", f"{bad} that are not", way_out))
    return value


def check_among(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of those allowed.

    Raises:
        InputError: it is not.
    """
    if value not in allowed:
        raise InputError(must(name, f"be one of {', '.join(allowed)}", repr(value)))
    return value


def check_weights(name: str, value: Tensor) -> Tensor:
    """Return `value` if all of it is positive and finite.

    Raises:
        InputError: it is not; the sentence has the first that is not.
    """
    bad = ~(value.isfinite() & (value > 0))
    if bool(bad.any()):
        raise InputError(must(name, "be positive and finite", float(value[bad][0])))
    return value


def check_alpha2(alpha2: Tensor | float, t: int | None, columns: bool) -> Tensor:
    """Return a calibration factor as a float64 tensor, `[]` or `[t]`.

    Raises:
        ShapeError: it is neither one number nor one per column of the t targets.
        InputError: it is not positive and finite.
    """
    found = torch.as_tensor(alpha2, dtype=torch.float64).detach()
    check_weights("alpha2", found)
    fits = found.ndim == 0 or (
        found.ndim == 1 and (t is None or (columns and len(found) == t))
    )
    if not fits:
        wanted = "be one number or one per column of the targets"
        raise ShapeError(must("alpha2", wanted, f"shape {list(found.shape)}"))
    return found


def check_targets(targets: Tensor, rows: int) -> Tensor:
    """Return targets `[n]` or `[n, t]` if they are finite and as many as the rows.

    Raises:
        ShapeError: they have another shape.
        InputError: a number is not finite.
    """
    if targets.ndim not in (1, 2) or len(targets) != rows:
        wanted = f"have shape [{rows}] or [{rows}, t]"
        raise ShapeError(must("targets", wanted, f"shape {list(targets.shape)}"))
    return check_rows("targets", targets)

"""The kernel over features of whole structures.

Notation
    z     features, in blocks b of one kind each
    a, l  [blocks]   amplitude² and length of each block
    V     10         variance of what is vague

    K(z, z') = V + sum_b a_b exp(-|z_b - z'_b|² / 2 l_b²) + [b linear] V z_b . z'_b

With a vague constant and vague slopes the process is free to be linear in the
composition, at no cost (Rasmussen and Williams 2006, section 2.7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

VAGUE = 10.0  # variance of constant and slopes, in that of the values
LENGTH = 2.0  # most probable, in median distances


@final
@dataclass(frozen=True)
class Block:
    """Some of the features, which share a kernel.

    Attributes:
        name: of these features.
        size: how many.
        linear: whether values may depend on them linearly, at no cost.
        ard: whether each has its own length.
    """

    name: str
    size: int
    linear: bool
    ard: bool


@final
class Blend(Kernel):  # type: ignore[misc]
    """The sum of the kernels of blocks of features, dense.

    Args:
        blocks: one after the other in the features; those of size 0 count for nothing.
    """

    has_lengthscale = False

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        super().__init__()
        self.blocks = tuple(block for block in blocks if block.size)
        zeros = torch.zeros(len(self.blocks), dtype=torch.float64)
        self.register_parameter("raw_signal", torch.nn.Parameter(zeros))
        self.register_constraint("raw_signal", above(1e-6))
        self.register_prior("signal_prior", around(1.0, 3.0), _signal)
        sizes = [block.size if block.ard else 1 for block in self.blocks]
        start = torch.full((sum(sizes),), math.log(LENGTH), dtype=torch.float64)
        self.register_parameter("raw_length", torch.nn.Parameter(start))
        self.register_constraint("raw_length", above(1e-2))
        self.register_prior("length_prior", around(LENGTH, 1.0), _length)
        self.sizes = sizes

    @property
    def signal(self) -> Tensor:
        """The variance a of each block, `[blocks]`."""
        found: Tensor = self.raw_signal_constraint.transform(self.raw_signal)
        return found

    @property
    def length(self) -> Tensor:
        """The lengths of all blocks, one after the other, `[lengths]`."""
        found: Tensor = self.raw_length_constraint.transform(self.raw_length)
        return found

    def lengths(self) -> tuple[Tensor, ...]:
        """Return the lengths of each block."""
        found: tuple[Tensor, ...] = self.length.split(self.sizes)
        return found

    def forward(
        self,
        x1: Tensor,
        x2: Tensor,
        diag: bool = False,
        **_: Any,  # noqa: ANN401 - GPyTorch's
    ) -> Tensor:
        """Return the kernel `[..., n, m]`, or its diagonal `[..., n]`."""
        widths = [block.size for block in self.blocks]
        parts = zip(
            self.blocks,
            self.signal,
            self.lengths(),
            x1.split(widths, -1),
            x2.split(widths, -1),
            strict=True,
        )
        total = torch.full_like(x1[..., :1, :1], VAGUE)
        total = total.squeeze(-1) if diag else total
        for block, signal, length, a, b in parts:
            D = self.covar_dist(a / length, b / length, diag=diag, square_dist=True)
            total = total + signal * (-0.5 * D).exp()
            if block.linear:
                product = (a * b).sum(-1) if diag else a @ b.transpose(-1, -2)
                total = total + VAGUE * product
        return total


def above(least: float) -> GreaterThan:
    """Return a bound that is approached as the logarithm falls."""
    return GreaterThan(least, torch.exp, torch.log)


def around(mode: float, spread: float) -> LogNormalPrior:
    """Return a prior whose density is a normal one of the logarithm."""
    return LogNormalPrior(math.log(mode) + spread**2, spread)


def _signal(blend: Blend) -> Tensor:
    return blend.signal


def _length(blend: Blend) -> Tensor:
    return blend.length

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
from gpytorch.kernels import Kernel
from torch import Tensor

LINEAR_VARIANCE = 10.0  # variance of constant and slopes, in that of the values
TYPICAL_LENGTHSCALE = 2.0  # most probable, in median distances


@final
@dataclass(frozen=True)
class FeatureBlock:
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
class AdditiveKernel(Kernel):  # type: ignore[misc]
    """The sum of the kernels of blocks of features, dense.

    Args:
        blocks: one after the other in the features; those of size 0 count for nothing.
    """

    has_lengthscale = False

    def __init__(self, blocks: tuple[FeatureBlock, ...]) -> None:
        super().__init__()
        self.blocks = tuple(block for block in blocks if block.size)
        signals = torch.zeros(len(self.blocks), dtype=torch.float64)
        self.register_parameter("log_signal", torch.nn.Parameter(signals))
        self.n_lengthscales = [block.size if block.ard else 1 for block in self.blocks]
        lengths = torch.full(
            (sum(self.n_lengthscales),),
            math.log(TYPICAL_LENGTHSCALE),
            dtype=torch.float64,
        )
        self.register_parameter("log_length", torch.nn.Parameter(lengths))

    def lengthscales(self) -> tuple[Tensor, ...]:
        """Return the lengths of each block."""
        found: tuple[Tensor, ...] = self.log_length.exp().split(self.n_lengthscales)
        return found

    def forward(
        self,
        x1: Tensor,
        x2: Tensor,
        diag: bool = False,
        **_: Any,  # noqa: ANN401 - GPyTorch's
    ) -> Tensor:
        """Return the kernel `[..., n, m]`, or its diagonal `[..., n]`."""
        if diag:
            return self.forward(x1.unsqueeze(-2), x2.unsqueeze(-2)).squeeze(-1).squeeze(-1)
        own = self.log_signal, self.log_length
        return self.from_distances(self.squared_distances(x1, x2), self.linear_kernel(x1, x2), *own)

    def squared_distances(self, x1: Tensor, x2: Tensor) -> list[Tensor]:
        """Return squared distances of each block, `[lengths of it, ..., n, m]`."""
        widths = [block.size for block in self.blocks]
        found = []
        for block, a, b in zip(
            self.blocks, x1.split(widths, -1), x2.split(widths, -1), strict=True
        ):
            if block.ard:
                D = (a.unsqueeze(-2) - b.unsqueeze(-3)).square().movedim(-1, 0)
            else:
                D = squared_distances(a, b).unsqueeze(0)
            found.append(D)
        return found

    def linear_kernel(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the part of the kernel that nothing is fitted of, `[..., n, m]`."""
        widths = [block.size for block in self.blocks]
        total = torch.full_like(x1[..., :1, :1], LINEAR_VARIANCE)
        for block, a, b in zip(
            self.blocks, x1.split(widths, -1), x2.split(widths, -1), strict=True
        ):
            if block.linear:
                total = total + LINEAR_VARIANCE * a @ b.transpose(-1, -2)
        return total

    def from_distances(
        self,
        distances: list[Tensor],
        linear_part: Tensor,
        log_signal: Tensor,
        log_length: Tensor,
    ) -> Tensor:
        """Return the kernel of given distances, signals and lengths."""
        total = linear_part
        weights = (-2 * log_length).exp().split(self.n_lengthscales)
        for a, w, D in zip(log_signal.exp(), weights, distances, strict=True):
            total = total + a * (-0.5 * torch.tensordot(w, D, 1)).exp()
        return total


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances `[..., n, m]` of a `[..., n, f]` and b `[..., m, f]`."""
    middle = b.reshape(-1, b.shape[-1]).mean(0)
    a, b = a - middle, b - middle
    own = a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2)
    return (own - 2 * a @ b.transpose(-1, -2)).clamp(min=0)

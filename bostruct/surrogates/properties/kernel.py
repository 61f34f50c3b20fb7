"""The kernel over features of whole structures.

Notation
    z     features, in blocks b of one kind each
    a, l  [blocks]   amplitude² and length of each block
    V     10         prior variance of the constant and of the slopes

    K(z, z') = V + sum_b a_b exp(-|z_b - z'_b|² / 2 l_b²) + [b linear] V z_b . z'_b

With a wide prior of the constant and of the slopes the process is free to be linear in the
composition, at no cost (Rasmussen and Williams 2006, section 2.7).
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from gpytorch.kernels import Kernel
from torch import Tensor

LINEAR_VARIANCE = 10.0  # prior variance of constant and slopes, in variances of the values
TYPICAL_LENGTHSCALE = 2.0  # most probable lengthscale, in median distances
LOG_LENGTHSCALE = math.log(TYPICAL_LENGTHSCALE)


@final
@dataclass(frozen=True)
class FeatureBlock:
    """Features of one kind, which share a kernel.

    Attributes:
        name: Name of the kind of features.
        size: Number of features.
        linear: True if values may depend on them linearly, at no cost.
        ard: True if each has its own lengthscale.
    """

    name: str
    size: int
    linear: bool
    ard: bool


@final
class AdditiveKernel(Kernel):  # type: ignore[misc]
    """The sum of the kernels of blocks of features, dense.

    Args:
        blocks: Blocks in the order of the features; those of size 0 have no effect.
    """

    def __init__(self, blocks: tuple[FeatureBlock, ...]) -> None:
        super().__init__()
        self.blocks = tuple(block for block in blocks if block.size)
        self.widths = [block.size for block in self.blocks]
        self.n_lengthscales = [block.size if block.ard else 1 for block in self.blocks]
        signals = torch.zeros(len(self.blocks), dtype=torch.float64)
        lengths = torch.full_like(signals.new_empty(sum(self.n_lengthscales)), LOG_LENGTHSCALE)
        self.register_parameter("log_signal", torch.nn.Parameter(signals))
        self.register_parameter("log_length", torch.nn.Parameter(lengths))

    def lengthscales(self) -> tuple[Tensor, ...]:
        """Return the lengthscales of each block."""
        lengths: tuple[Tensor, ...] = self.log_length.exp().split(self.n_lengthscales)
        return lengths

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
        distances, linear = self.squared_distances(x1, x2), self.linear_kernel(x1, x2)
        return self.from_distances(distances, linear, self.log_signal, self.log_length)

    def squared_distances(self, x1: Tensor, x2: Tensor) -> list[Tensor]:
        """Return squared distances of each block, `[lengthscales, ..., n, m]`."""
        return [
            (a.unsqueeze(-2) - b.unsqueeze(-3)).square().movedim(-1, 0)
            if block.ard
            else squared_distances(a, b).unsqueeze(0)
            for block, a, b in self._split(x1, x2)
        ]

    def linear_kernel(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Return the constant and linear terms, without hyperparameters, `[..., n, m]`."""
        total = torch.full_like(x1[..., :1, :1], LINEAR_VARIANCE)
        for block, a, b in self._split(x1, x2):
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
        """Return the kernel of given distances, signals and lengthscales."""
        total = linear_part
        weights = (-2 * log_length).exp().split(self.n_lengthscales)
        for a, w, D in zip(log_signal.exp(), weights, distances, strict=True):
            total = total + a * (-0.5 * torch.tensordot(w, D, 1)).exp()
        return total

    def _split(self, x1: Tensor, x2: Tensor) -> Iterator[tuple[FeatureBlock, Tensor, Tensor]]:
        """Yield each block and its features."""
        parts = (x.split(self.widths, -1) for x in (x1, x2))
        yield from zip(self.blocks, *parts, strict=True)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances `[..., n, m]` of a `[..., n, f]` and b `[..., m, f]`."""
    middle = b.reshape(-1, b.shape[-1]).mean(0)
    a, b = a - middle, b - middle
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2)
    return (squares - 2 * a @ b.transpose(-1, -2)).clamp(min=0)

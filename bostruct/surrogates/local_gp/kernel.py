"""Covariances between sums over local environments.

Notation
    p     [f]      1    features of an environment, of unit length
    k     1             k(p, p') = [same species] (p . p')^power
    Z     [m, f]   1    features of the inducing environments
    P     [n, f]   1    features of all atoms of a batch

The energy of a structure is the sum of a Gaussian process over its atoms, so its
covariance with an inducing environment is a sum of k over atoms, and a force is minus
the derivative of that sum. Everything here is in units of the signal variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import Slopes
from bostruct.surrogates.local_gp.force_kernel_numba import spread

CHUNK = 4096  # pairs whose kernel slopes are in memory at once
NEAR = 128  # of those in the cache of a CPU


@final
@dataclass(frozen=True, eq=False)
class Inducing:
    """The environments through which a sparse process sees the world.

    Attributes:
        features: `[m, f]`, sorted by species.
        place: `[m]`, the position of each one's species in the descriptor's list.
        factor: `[m, m]`, lower Cholesky factor of the kernel between them.
        power: exponent of the kernel.
    """

    features: Tensor
    place: Tensor
    factor: Tensor
    power: int

    def __len__(self) -> int:
        return self.features.shape[0]

    def energies(self, P: Tensor, place: Tensor, index: Tensor, b: int) -> Tensor:
        """Return the covariances `[b, m]` of b energies with the inducing set.

        Args:
            P: `[n, f]` features.
            place: `[n]` species.
            index: `[n]` structure of each atom.
            b: number of structures.
        """
        K: Tensor = _Sums.apply(P, self, place, index, b)  # type: ignore[no-untyped-call]
        return K

    def sums(self, P: Tensor, place: Tensor, index: Tensor, b: int) -> Tensor:
        """Return what `energies` does, by operations that torch differentiates."""
        parts = []
        for atoms, block in self.blocks(place):
            K = (P[atoms] @ self.features[block].T) ** self.power
            total = K.new_zeros(b, K.shape[1])
            parts.append(total.index_add(0, index[atoms], K))
        return torch.cat(parts, -1)

    def environments(self, P: Tensor, place: Tensor) -> Tensor:
        """Return the kernel `[n, m]` of single environments with the inducing set."""
        every = torch.arange(P.shape[0], device=P.device)
        return self.energies(P, place, every, P.shape[0])

    def forces(self, slopes: Slopes, place: Tensor) -> Tensor:
        """Return the covariances `[n, 3, m]` 1/Å of all force components."""
        P, power = slopes.features, self.power
        forces = P.new_zeros(P.shape[0], 3, len(self))
        near = P.device.type == "cpu"
        for atoms, block in self.blocks(place):
            Z = self.features[block]
            steep = P.new_zeros(P.shape[0], len(Z))
            steep[atoms] = power * (P[atoms] @ Z.T) ** (power - 1)
            mine = torch.zeros_like(place, dtype=torch.bool)
            mine[atoms] = True
            for pairs in _parts(mine[slopes.center], NEAR if near else CHUNK):
                center, other = slopes.center[pairs], slopes.other[pairs]
                slope = slopes.slopes[pairs] @ Z.T  # [p, 3, z]
                pieces = (slope, steep, center, other, forces)
                if near:
                    spread(block.start, *(x.numpy() for x in pieces))
                else:
                    _spread(block.start, *pieces)
        return forces

    def whiten(self, K: Tensor) -> Tensor:
        """Return the Nyström features K L^-T of covariances K `[..., m]`.

        Their inner products are K_xs K_s^-1 K_sx, eq. 57-59 of Digital Discovery 4,
        2654 (2025) with the Cholesky root in place of the spectral one.
        """
        rows = K.reshape(-1, K.shape[-1])
        solved: Tensor = torch.linalg.solve_triangular(self.factor, rows.T, upper=False)
        return solved.T.reshape(K.shape)

    def blocks(self, place: Tensor) -> Iterator[tuple[Tensor, slice]]:
        """Yield atoms and inducing environments of the same species."""
        species, counts = torch.unique_consecutive(self.place, return_counts=True)
        start = 0
        for kind, count in zip(species.tolist(), counts.tolist(), strict=True):
            atoms = (place == kind).nonzero().squeeze(-1)
            yield atoms, slice(start, start + count)
            start += count


@final
class _Sums(torch.autograd.Function):
    """`Inducing.sums` with its slope in two passes over the kernel instead of five."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        P: Tensor,
        inducing: Inducing,
        place: Tensor,
        index: Tensor,
        b: int,
    ) -> Tensor:
        parts, dots = [], []
        for atoms, block in inducing.blocks(place):
            D = P[atoms] @ inducing.features[block].T
            dots.append(D)
            K = D**inducing.power
            parts.append(K.new_zeros(b, K.shape[1]).index_add_(0, index[atoms], K))
        ctx.inducing, ctx.b = inducing, b
        ctx.save_for_backward(P, place, index, *dots)
        return torch.cat(parts, -1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        P, place, index, *dots = ctx.saved_tensors
        inducing: Inducing = ctx.inducing
        if torch.is_grad_enabled():  # someone wants to differentiate this again
            again = inducing.sums(P, place, index, ctx.b)
            (slope,) = torch.autograd.grad(again, P, g, create_graph=True)
            return slope, None, None, None, None
        gP = torch.zeros_like(P)
        blocks = inducing.blocks(place)
        for D, (atoms, block) in zip(dots, blocks, strict=True):
            W = inducing.power * g[:, block][index[atoms]]
            W *= D ** (inducing.power - 1)
            gP[atoms] = W @ inducing.features[block]
        return gP, None, None, None, None


def _parts(mine: Tensor, chunk: int) -> Iterator[Tensor | slice]:
    """Yield where `mine` is true, in parts of at most `chunk`."""
    if bool(mine.all()):  # nothing to copy
        yield from (slice(k, k + chunk) for k in range(0, len(mine), chunk))
    else:
        yield from mine.nonzero().squeeze(-1).split(chunk)


def _spread(
    start: int,
    slope: Tensor,
    steep: Tensor,
    center: Tensor,
    other: Tensor,
    out: Tensor,
) -> None:
    """Do what `spread` says by operations for any device."""
    part = out[:, :, start : start + slope.shape[-1]]
    slope = slope * steep[center].unsqueeze(1)
    part.index_add_(0, center, slope)
    part.index_add_(0, other, slope, alpha=-1.0)


def between(P: Tensor, place: Tensor, power: int) -> Tensor:
    """Return the covariances `[..., q, q]` between q energies of a atoms each.

    Args:
        P: `[..., q, a, f]`; rows of zeros stand for no atom.
        place: `[..., q, a]`.
        power: exponent of the kernel.
    """
    q, a = P.shape[-3:-1]
    flat, kind = P.flatten(-3, -2), place.flatten(-2)
    K = (flat @ flat.transpose(-1, -2)).pow(power)
    K = K * (kind.unsqueeze(-1) == kind.unsqueeze(-2))
    blocks: Tensor = K.unflatten(-1, (q, a)).sum(-1).unflatten(-2, (q, a))
    return blocks.sum(-2)

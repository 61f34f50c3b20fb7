"""Covariances between sums over local environments.

Notation
    p     [f]      1    features of an environment, of unit length
    k     1             k(p, p') = [same species] g(p . p')
    Z     [m, f]   1    features of the inducing environments
    P     [n, f]   1    features of all atoms of a batch

The energy of a structure is the sum of a Gaussian process over its atoms, so its covariance with an
inducing environment is a sum of k over atoms, and that of a force is minus the derivative of this
sum. All covariances are in units of the signal variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import DescriptorGradients
from bostruct.surrogates.local_gp.dot_product_kernel import DotProductKernel
from bostruct.surrogates.local_gp.force_kernel_numba import add_force_kernel

PAIRS_PER_CHUNK = 4096  # pairs whose kernel gradients are in memory at once
PAIRS_PER_CPU_CHUNK = 128  # pairs whose kernel gradients fit into the cache of a CPU


@final
@dataclass(frozen=True, eq=False)
class InducingEnvironments:
    """The inducing environments of a sparse Gaussian process.

    Attributes:
        features: `[m, f]`, sorted by species.
        species_index: `[m]`, position of each species in the descriptor's list.
        kernel_cholesky: `[m, m]`, lower Cholesky factor of the kernel between the environments.
        kernel: Kernel g of the dot product.
    """

    features: Tensor
    species_index: Tensor
    kernel_cholesky: Tensor
    kernel: DotProductKernel

    def __len__(self) -> int:
        return self.features.shape[0]

    def energy_covariances(self, P: Tensor, species_index: Tensor, index: Tensor, b: int) -> Tensor:
        """Return the covariances `[b, m]` of b energies with the inducing set.

        Args:
            P: `[n, f]`, features of the atoms.
            species_index: `[n]`, species of the atoms.
            index: `[n]`, structure of each atom.
            b: Number of structures.
        """
        K: Tensor = _EnergyCovariances.apply(P, self, species_index, index, b)  # type: ignore[no-untyped-call]
        return K

    def differentiable_energy_covariances(
        self, P: Tensor, species_index: Tensor, index: Tensor, b: int
    ) -> Tensor:
        """Return `energy_covariances` by operations that torch differentiates twice."""
        blocks = []
        for atoms, block in self.species_blocks(species_index):
            K = self.kernel.value(P[atoms] @ self.features[block].T)
            blocks.append(K.new_zeros(b, K.shape[1]).index_add(0, index[atoms], K))
        return torch.cat(blocks, -1)

    def environment_covariances(self, P: Tensor, species_index: Tensor) -> Tensor:
        """Return the kernel `[n, m]` of single environments with the inducing set."""
        every = torch.arange(P.shape[0], device=P.device)
        return self.energy_covariances(P, species_index, every, P.shape[0])

    def force_covariances(self, gradients: DescriptorGradients, species_index: Tensor) -> Tensor:
        """Return the covariances `[n, 3, m]` 1/Å of all force components."""
        P = gradients.features
        forces = P.new_zeros(P.shape[0], 3, len(self))
        on_cpu = P.device.type == "cpu"
        chunk_size = PAIRS_PER_CPU_CHUNK if on_cpu else PAIRS_PER_CHUNK
        for atoms, block in self.species_blocks(species_index):
            Z = self.features[block]
            derivatives = P.new_zeros(P.shape[0], len(Z))
            derivatives[atoms] = self.kernel.derivative(P[atoms] @ Z.T)
            is_center = torch.zeros_like(species_index, dtype=torch.bool)
            is_center[atoms] = True
            for pairs in _index_chunks(is_center[gradients.center], chunk_size):
                center, neighbor = gradients.center[pairs], gradients.neighbor[pairs]
                pair_gradients = gradients.gradients[pairs] @ Z.T  # [p, 3, z]
                arguments = (pair_gradients, derivatives, center, neighbor, forces)
                if on_cpu:
                    add_force_kernel(block.start, *(x.numpy() for x in arguments))
                else:
                    _add_force_kernel_torch(block.start, *arguments)
        return forces

    def strain_covariances(
        self, P: Tensor, by_strain: Tensor, species_index: Tensor, index: Tensor, b: int
    ) -> Tensor:
        """Return the covariances `[b, 6, m]` of the derivatives of b energies by the strain.

        Args:
            P: `[n, f]`, features of the atoms.
            by_strain: `[n, 6, f]`, their derivatives by the strain.
            species_index: `[n]`, species of the atoms.
            index: `[n]`, structure of each atom.
            b: Number of structures.
        """
        blocks = []
        for atoms, block in self.species_blocks(species_index):
            Z = self.features[block]
            derivatives = self.kernel.derivative(P[atoms] @ Z.T)
            each = (by_strain[atoms] @ Z.T) * derivatives.unsqueeze(1)  # [atoms, 6, z]
            blocks.append(each.new_zeros(b, *each.shape[1:]).index_add_(0, index[atoms], each))
        return torch.cat(blocks, -1)

    def whiten(self, K: Tensor) -> Tensor:
        """Return the Nyström features K L^-T of covariances K `[..., m]`.

        Inner products of two of them are K_xs K_s^-1 K_sx, eq. 57-59 of Digital Discovery 4, 2654
        (2025) with the Cholesky root in place of the spectral one.
        """
        rows = K.reshape(-1, K.shape[-1])
        solved: Tensor = torch.linalg.solve_triangular(self.kernel_cholesky, rows.T, upper=False)
        return solved.T.reshape(K.shape)

    def species_blocks(self, species_index: Tensor) -> Iterator[tuple[Tensor, slice]]:
        """Yield atoms and inducing environments of the same species."""
        species, counts = torch.unique_consecutive(self.species_index, return_counts=True)
        start = 0
        for one_species, count in zip(species.tolist(), counts.tolist(), strict=True):
            atoms = (species_index == one_species).nonzero().squeeze(-1)
            yield atoms, slice(start, start + count)
            start += count


@final
class _EnergyCovariances(torch.autograd.Function):
    """Covariances of energies; their gradient takes two passes over the kernel instead of five."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        P: Tensor,
        inducing: InducingEnvironments,
        species_index: Tensor,
        index: Tensor,
        b: int,
    ) -> Tensor:
        sums, dots = [], []
        for atoms, block in inducing.species_blocks(species_index):
            D = P[atoms] @ inducing.features[block].T
            dots.append(D)
            K = inducing.kernel.value(D)
            sums.append(K.new_zeros(b, K.shape[1]).index_add_(0, index[atoms], K))
        ctx.inducing, ctx.b = inducing, b
        ctx.save_for_backward(P, species_index, index, *dots)
        return torch.cat(sums, -1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        P, species_index, index, *dots = ctx.saved_tensors
        inducing: InducingEnvironments = ctx.inducing
        if torch.is_grad_enabled():  # for a second derivative
            K = inducing.differentiable_energy_covariances(P, species_index, index, ctx.b)
            (gP,) = torch.autograd.grad(K, P, g, create_graph=True)
            return gP, None, None, None, None
        gP = torch.zeros_like(P)
        blocks = inducing.species_blocks(species_index)
        for D, (atoms, block) in zip(dots, blocks, strict=True):
            W = inducing.kernel.derivative(D, g[:, block][index[atoms]])
            gP[atoms] = W @ inducing.features[block]
        return gP, None, None, None, None


def _index_chunks(mask: Tensor, chunk_size: int) -> Iterator[Tensor | slice]:
    """Yield the indices at which `mask` is true, at most `chunk_size` at once."""
    if bool(mask.all()):  # nothing to copy
        yield from (slice(k, k + chunk_size) for k in range(0, len(mask), chunk_size))
    else:
        yield from mask.nonzero().squeeze(-1).split(chunk_size)


def _add_force_kernel_torch(
    start: int,
    pair_gradients: Tensor,
    kernel_derivatives: Tensor,
    center: Tensor,
    neighbor: Tensor,
    out: Tensor,
) -> None:
    """Add and subtract as `add_force_kernel` does, on any device."""
    columns = out[:, :, start : start + pair_gradients.shape[-1]]
    pair_gradients = pair_gradients * kernel_derivatives[center].unsqueeze(1)
    columns.index_add_(0, center, pair_gradients)
    columns.index_add_(0, neighbor, pair_gradients, alpha=-1.0)


def energy_kernel(P: Tensor, species_index: Tensor, kernel: DotProductKernel) -> Tensor:
    """Return the covariances `[..., q, q]` between q energies of a atoms each.

    Args:
        P: `[..., q, a, f]`, features.
        species_index: `[..., q, a]`, species; -1 pads structures of fewer atoms.
        kernel: Kernel g of the dot product.
    """
    q, a = P.shape[-3:-1]
    flat, species = P.flatten(-3, -2), species_index.flatten(-2)
    same = species.unsqueeze(-1) == species.unsqueeze(-2)
    K = kernel.value(flat @ flat.transpose(-1, -2)) * (same & (species >= 0).unsqueeze(-1))
    blocks: Tensor = K.unflatten(-1, (q, a)).sum(-1).unflatten(-2, (q, a))
    return blocks.sum(-2)

"""Power spectra of some atoms with what their gradient needs, without autograd.

Notation
    n   atoms of all structures            r   atoms whose spectrum moving atoms change
    f   features                           k   neighbors, padded
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.descriptors.soap import power_spectrum_numba
from bostruct.descriptors.soap.neighbor_vectors import NeighborVectors
from bostruct.runtime.jit import Array

Constants = tuple[Array, Array, Array, Array]
"""Center coefficients, radial matrix, harmonic norms and species mixing of the compiled loops."""


@final
@dataclass(frozen=True, eq=False)
class PowerSpectra:
    """Features of atoms, and their vector-Jacobian product with respect to all positions.

    Attributes:
        features: `[r, f]`, normalised power spectra.
        expansion: `[r, s, m]`, expansion of the neighbor density.
        lengths: `[r]`, norms before normalisation; 0 for fixed atoms without other neighbors.
        vectors: `[r, k, 3]`, vectors to the neighbors in units of the cutoff.
        neighbor_species: `[r, k]`, species of the neighbors, -1 for padding.
        neighbors: The neighbor table.
        cutoff: cutoff radius, Å.
        constants: center coefficients, radial matrix, harmonic norms and species mixing.
    """

    features: Tensor
    expansion: Tensor
    lengths: Tensor
    vectors: Tensor
    neighbor_species: Tensor
    neighbors: NeighborVectors
    cutoff: float
    constants: Constants

    @property
    def center(self) -> Tensor:
        """The atom of each row, `[r]`."""
        center = self.neighbors.center
        return torch.arange(len(self.features)) if center is None else center

    def vector_jacobian_product(self, g: Tensor) -> Tensor:
        """Return the gradient of sum(g features) with respect to the positions, `[n, 3]` 1/Å.

        With a fixed environment that of fixed atoms lacks the contributions of their pairs.

        Args:
            g: `[r, f]`, gradient with respect to the features.
        """
        return self._vector_jacobian_product(
            g, self.neighbors.neighbor, self.center, len(self.neighbors.species_index)
        )

    def gradients(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of sum(g features) by positions, and by the vectors to neighbors.

        Args:
            g: `[r, f]`, gradient with respect to the features.

        Returns:
            `[n, 3]` and `[r, k, 3]`, 1/Å.
        """
        r, k = self.neighbors.neighbor.shape
        rows = torch.arange(r)
        each_its_own = r + torch.arange(r * k).view(r, k)
        both = self._vector_jacobian_product(g, each_its_own, rows, r + r * k)
        by_positions = both.new_zeros(len(self.neighbors.species_index), 3)
        by_positions.index_add_(0, self.center, both[:r])
        by_positions.index_add_(0, self.neighbors.neighbor.flatten(), both[r:])
        return by_positions, both[r:].view(r, k, 3)

    def _vector_jacobian_product(
        self, g: Tensor, neighbor: Tensor, center: Tensor, n_atoms: int
    ) -> Tensor:
        """Return the gradient `[n_atoms, 3]` 1/Å by atoms at the ends of all vectors."""
        _, M, N, A = self.constants
        gradient = power_spectrum_numba.power_spectrum_vjp(
            g.contiguous().numpy(),
            self.vectors.numpy(),
            self.neighbor_species.numpy(),
            neighbor.contiguous().numpy(),
            center.numpy(),
            n_atoms,
            M,
            N,
            A,
            self.features.detach().numpy(),
            self.expansion.numpy(),
            self.lengths.numpy(),
        )
        return torch.from_numpy(gradient) / self.cutoff

"""A repulsive pair energy, the prior at distances shorter than those of the training data.

Notation
    r     [p]   Å    distances
    d     [p]   Å    `range_factor` times the sum of the two atoms' radii
    E     [b]   eV   sum over pairs of strength (d / r - 1)^3 where r < d

Two derivatives are continuous at r = d, and the energy is exactly zero beyond.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import PowerSpectra
from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures import (
    MAX_ATOMS_BRUTE_FORCE,
    Structures,
    all_pairs,
    neighbor_table,
    periodic_image_arrays,
)
from bostruct.structures.problem_scale import ProblemScale
from bostruct.structures.strain import strain_derivative
from bostruct.surrogates.pair_repulsion_numba import (
    listed_repulsion_and_gradient,
    repulsion_and_gradient,
)

STRENGTH_FACTOR = 8.0
"""Default strength, in units of the energy scale."""


@final
@dataclass(frozen=True)
class PairRepulsion:
    """Pair repulsion below a fraction of the bond length.

    Attributes:
        strength: Energy of a pair at half the distance d, eV; None for 8 times the energy scale of
            the data that a surrogate is fitted to.
        range_factor: The distance d over the sum of the two radii.

    Raises:
        InputError: either is not positive.
    """

    strength: float | None = None
    range_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.strength is not None:
            check_positive("strength", self.strength, "It is an energy in eV.")
        check_positive("range_factor", self.range_factor, "It is a fraction of the bond length.")

    def in_scale(self, scale: ProblemScale) -> PairRepulsion:
        """Return the repulsion with the strength that suits a scale, unless it has one."""
        if self.strength is not None:
            return self
        return replace(self, strength=STRENGTH_FACTOR * scale.energy)

    @property
    def known_strength(self) -> float:
        """Strength, eV.

        Raises:
            InputError: it is left to the data.
        """
        if self.strength is None:
            hint = "Give one, or take that of a scale: `in_scale(scale)`."
            raise InputError(error_message("strength", "be known", None, hint))
        return self.strength

    def __call__(self, structures: Structures, radii: Tensor) -> Tensor:
        """Return E `[b]`, differentiable in the positions and the cell.

        Args:
            structures: b structures of n atoms in total.
            radii: Radius of each atom, `[n]` Å.

        Raises:
            InputError: the strength is left to the data.
        """
        if (
            structures.device.type == "cpu"
            and not structures.cell.requires_grad
            and int(structures.counts.max()) <= MAX_ATOMS_BRUTE_FORCE
        ):
            energy: Tensor = _PairRepulsionFunction.apply(
                structures.positions, self, structures, radii
            )  # type: ignore[no-untyped-call]
            return energy
        return self.differentiable_energies(structures, radii)

    def largest_range(self, radii: Tensor) -> float:
        """Return the distance beyond which no pair of atoms with these radii repels, Å."""
        return 2 * self.range_factor * float(radii.max())

    def energy_and_gradients(
        self, structures: Structures, radii: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return E `[b]` eV and its gradients by positions and cell, `[n, 3]` `[b, 3, 3]` eV/Å.

        The latter is zero where the cell does not require a gradient.

        Args:
            structures: b structures of n atoms in total.
            radii: Radius of each atom, `[n]` Å.
        """
        positions = structures.positions.detach().clone().requires_grad_()
        cell = structures.cell.detach().clone().requires_grad_(structures.cell.requires_grad)
        inputs = (positions, cell) if cell.requires_grad else (positions,)
        with torch.enable_grad():
            energy = self(replace(structures, positions=positions, cell=cell), radii)
            by_positions, *by_cell = torch.autograd.grad(
                energy.sum(), inputs, allow_unused=True, materialize_grads=True
            )
        return energy.detach(), by_positions, by_cell[0] if by_cell else torch.zeros_like(cell)

    def strain_derivative(self, structures: Structures, radii: Tensor) -> Tensor:
        """Return the derivative of E by the strain, `[b, 6]` eV.

        Args:
            structures: b structures of n atoms in total.
            radii: Radius of each atom, `[n]` Å.
        """
        cell = structures.cell.detach().clone().requires_grad_()
        _, *both = self.energy_and_gradients(replace(structures, cell=cell), radii)
        return strain_derivative(structures, *both)

    def listed_gradients(
        self, spectra: PowerSpectra, structures: Structures, radii: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return E `[b]` eV and its gradients by positions and cell, of pairs in a neighbor table.

        Args:
            spectra: Power spectra of the structures, whose cutoff is at least the largest d and
                whose cell requires a gradient.
            structures: b structures of n atoms in total, on the CPU.
            radii: Radius of each atom, `[n]` Å.
        """
        neighbors, shifts = spectra.neighbors, spectra.neighbors.shifts
        assert shifts is not None
        beyond = spectra.vectors.new_tensor([2.0, 0.0, 0.0])  # of the cutoff
        vectors = torch.where(neighbors.mask.unsqueeze(-1), spectra.vectors, beyond)
        vectors = (vectors * spectra.cutoff).requires_grad_()
        with torch.enable_grad():
            each = self._pair_energies(vectors, radii[neighbors.neighbor] + radii.unsqueeze(1))
            (by_vector,) = torch.autograd.grad(each.sum(), vectors)
        energy = each.new_zeros(len(structures)).index_add(
            0, structures.index, each.detach().sum(-1)
        )
        by_positions = (-by_vector.sum(1)).index_add(
            0, neighbors.neighbor.flatten(), by_vector.flatten(0, 1)
        )
        return energy, by_positions, shifts.cell_gradient(by_vector)

    def listed_energy_and_gradient(
        self, spectra: PowerSpectra, structures: Structures, radii: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return E `[b]` eV and its gradient `[n, 3]` eV/Å, of the pairs in a neighbor table.

        Without the pairs of fixed atoms, if these have an environment of their own there.

        Args:
            spectra: Power spectra of the structures, whose cutoff is at least the largest d.
            structures: b structures of n atoms in total, on the CPU.
            radii: Radius of each atom, `[n]` Å.
        """
        energy, gradient = listed_repulsion_and_gradient(
            spectra.vectors.numpy(),
            spectra.neighbors.mask.numpy(),
            spectra.neighbors.neighbor.contiguous().numpy(),
            spectra.center.numpy(),
            structures.index.numpy(),
            len(structures),
            spectra.cutoff,
            (self.range_factor * radii).contiguous().numpy(),
            self.known_strength,
            MIN_DISTANCE_RATIO,
        )
        return torch.from_numpy(energy), torch.from_numpy(gradient)

    def typical_force(self, bond_length: float) -> float:
        """Return the force of a pair at three quarters of the distance d, eV/Å.

        Args:
            bond_length: Sum of the radii of the two atoms, Å.
        """
        return 16 / 27 * self.known_strength / (self.range_factor * bond_length)

    def differentiable_energies(self, structures: Structures, radii: Tensor) -> Tensor:
        """Return E `[b]` by operations that torch differentiates any number of times."""
        positions = structures.positions
        neighbors = all_pairs(structures)
        if neighbors is not None:
            vectors = positions[neighbors] - positions.unsqueeze(1)  # [n, k, 3]
        else:
            cutoff = self.largest_range(radii)
            neighbors, shift, mask = neighbor_table(structures, cutoff)
            vectors = positions[neighbors] - positions.unsqueeze(1)
            vectors = vectors + shift @ structures.cell[structures.index]
            beyond = vectors.new_tensor([cutoff, 0.0, 0.0])
            vectors = torch.where(mask.unsqueeze(-1), vectors, beyond)
        each = self._pair_energies(vectors, radii[neighbors] + radii.unsqueeze(1))
        energy = positions.new_zeros(len(structures))
        return energy.index_add(0, structures.index, each.sum(-1))

    def _pair_energies(self, vectors: Tensor, bond_lengths: Tensor) -> Tensor:
        """Return half the energies of pairs, `[n, k]` eV.

        Args:
            vectors: `[n, k, 3]` Å, from each atom to the others.
            bond_lengths: `[n, k]` Å, sums of the radii.
        """
        r = torch.linalg.vector_norm(vectors, dim=-1)
        d = self.range_factor * bond_lengths
        excess = (d / torch.maximum(r, MIN_DISTANCE_RATIO * d) - 1).clamp(min=0)
        return self.known_strength * excess.pow(3) / 2


MIN_DISTANCE_RATIO = 4e-4
"""Fraction of d; the energy of closer atoms is that at this distance, and stays finite."""


@final
class _PairRepulsionFunction(torch.autograd.Function):
    """The pair energies with their gradient in one compiled loop."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        pair_repulsion: PairRepulsion,
        structures: Structures,
        radii: Tensor,
    ) -> Tensor:
        ranges = (pair_repulsion.range_factor * radii.detach()).contiguous()
        energy, gradient = repulsion_and_gradient(
            positions.detach().contiguous().numpy(),
            *periodic_image_arrays(structures, 2 * float(ranges.max())),
            ranges.numpy(),
            pair_repulsion.known_strength,
            MIN_DISTANCE_RATIO,
        )
        ctx.pair_repulsion, ctx.structures, ctx.radii = pair_repulsion, structures, radii
        ctx.save_for_backward(positions, torch.from_numpy(gradient))
        return torch.from_numpy(energy)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, gradient = ctx.saved_tensors
        structures: Structures = ctx.structures
        if torch.is_grad_enabled():  # for a second derivative
            moved = replace(structures, positions=positions)
            energy = ctx.pair_repulsion.differentiable_energies(moved, ctx.radii)
            (gradient,) = torch.autograd.grad(energy, positions, g, create_graph=True)
            return gradient, None, None, None
        return g[structures.index].unsqueeze(-1) * gradient, None, None, None

"""Slab template: the tensors that all structures on one slab share.

Notation
    a, f   number of atoms of a structure, and of those that move
    Q      [..., a, 3]  Å  positions along the axes of the plane, those that move first
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.connectivity import is_connected
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms
from bostruct.spaces.surfaces.vacuum import plane_vectors
from bostruct.structures import Structures
from bostruct.structures.structures import ATOM_FIELDS

FIXED_ATOM_TOLERANCE = 0.1
"""Largest displacement in Å of fixed atoms in encoded structures."""


@final
@dataclass(frozen=True, eq=False)
class SlabTemplate:
    """The tensors that all structures on one slab share, on one device in one dtype.

    Attributes:
        plane: periodic plane of the surface.
        normal_axis: index of the lattice vector that leaves the plane.
        height_range: heights between which atoms move, Å.
        free_first_order: `[a]` indices of the atoms of a structure, those that move first.
        inverse_order: `[a]` inverse permutation of `free_first_order`.
        numbers: `[a]` atomic numbers, in the order of structures.
        fixed_positions: `[a - f, 3]` Å positions of the fixed atoms.
        fixed_plane_positions: `[a - f, 3]` Å positions of the fixed atoms along the axes.
        cell: `[1, 3, 3]` Å.
        pbc: `[1, 3]` bool.
        fixed_mask: `[a]` bool, fixed atoms, in the order of structures.
        tags: `[a]` int64, in the order of structures.
        bond_lengths: `[a, a]` Å, atoms that move first.
        min_distances: `[f, a]` Å, atoms that move first.
        contact_translations: `[s, 2]` Å translations within the largest minimum distance.
        bonding_translations: `[s, 2]` Å translations within the largest bonding distance.
        electronic_state: initial moments and charges of one structure by the name of their field
            in `Structures`, in its order; NaN for the atoms of the formula.
    """

    plane: PeriodicPlane
    normal_axis: int
    height_range: tuple[float, float]
    free_first_order: Tensor
    inverse_order: Tensor
    numbers: Tensor
    fixed_positions: Tensor
    fixed_plane_positions: Tensor
    cell: Tensor
    pbc: Tensor
    fixed_mask: Tensor
    tags: Tensor
    bond_lengths: Tensor
    min_distances: Tensor
    contact_translations: Tensor
    bonding_translations: Tensor
    electronic_state: Mapping[str, Tensor]

    @classmethod
    def from_slab(
        cls,
        slab: Structures,
        plane: PeriodicPlane,
        normal_axis: int,
        like: Tensor,
        *,
        height_range: tuple[float, float],
        numbers: Tensor,
        free_first_order: Tensor,
        bond_lengths: Tensor,
        min_distances: Tensor,
        max_bonding_distance: float,
    ) -> SlabTemplate:
        """Return the template of a slab on the device and in the dtype of `like`.

        Args:
            slab: one structure.
            plane: periodic plane of the slab.
            normal_axis: index of the lattice vector that leaves the plane.
            like: a tensor on the device and in the dtype wanted.
            height_range: heights between which atoms move, Å.
            numbers: `[a]` atomic numbers.
            free_first_order: `[a]` indices of the atoms of a structure, those that move first.
            bond_lengths: `[a, a]` Å, atoms that move first.
            min_distances: `[f, a]` Å, atoms that move first.
            max_bonding_distance: largest distance of connected atoms, Å.
        """
        device, dtype = like.device, like.dtype
        added = torch.zeros(len(numbers) - len(slab.numbers), dtype=torch.int64)
        unknown = torch.full((len(added),), torch.nan)
        fixed_positions = slab.positions[free_first_order[len(min_distances) :]]
        device_plane = plane.to(device, dtype)
        return cls(
            plane=device_plane,
            normal_axis=normal_axis,
            height_range=height_range,
            free_first_order=free_first_order.to(device),
            inverse_order=free_first_order.argsort().to(device),
            numbers=numbers.to(device),
            fixed_positions=fixed_positions.to(device, dtype),
            fixed_plane_positions=(fixed_positions @ plane.axes).to(device, dtype),
            cell=slab.cell.to(device, dtype),
            pbc=slab.pbc.to(device),
            fixed_mask=torch.cat((slab.fixed, added > 0)).to(device),
            tags=torch.cat((slab.tags, added)).to(device),
            bond_lengths=bond_lengths.to(device, dtype),
            min_distances=min_distances.to(device, dtype),
            contact_translations=device_plane.translations(float(min_distances.max())),
            bonding_translations=device_plane.translations(max_bonding_distance),
            electronic_state={
                name: (torch.cat((value, unknown)) if name in ATOM_FIELDS else value).to(
                    device, dtype
                )
                for name, value in slab.electronic_state.items()
            },
        )

    def decode(self, P: Tensor) -> Structures:
        """Return the structures whose moving atoms are at P `[b, f, 3]` Å."""
        b, a = len(P), len(self.numbers)
        fixed = self.fixed_positions.expand(b, -1, -1)
        positions = torch.cat((P, fixed), 1).index_select(1, self.inverse_order)
        return Structures.unchecked(
            positions=positions.reshape(-1, 3),
            numbers=self.numbers.repeat(b),
            cell=self.cell.repeat(b, 1, 1),
            pbc=self.pbc.repeat(b, 1),
            index=torch.arange(b, device=P.device).repeat_interleave(a),
            fixed=self.fixed_mask.repeat(b),
            tags=self.tags.repeat(b),
            **{name: value.repeat(b) for name, value in self.electronic_state.items()},
        )

    def encode(self, structures: Structures, formula: str) -> Tensor:
        """Return the positions of the moving atoms of structures, `[b, f, 3]` Å.

        Args:
            structures: batch of b structures on the slab.
            formula: formula of the slab and the adsorbate, for the error message.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the slab has a
                fixed one.
        """
        a, f, b = len(self.numbers), len(self.min_distances), len(structures)
        fits = bool((structures.counts == a).all())
        if fits:
            numbers = structures.numbers.reshape(b, a)
            fits = bool((numbers.sort(-1).values == self.numbers.sort().values).all())
        if not fits:
            formulas = ", ".join(sorted(set(structures.formulas())))
            raise InputError(error_message("structures", f"all be {formula}", formulas))
        in_plane = list(plane_vectors(self.normal_axis))
        lattice = self.cell[0, in_plane]
        if ((structures.cell[:, in_plane] - lattice).abs() > 1e-3 * lattice.abs().max()).any():
            condition = "have the lattice vectors of the slab"
            raise InputError(error_message("structures", condition, "others"))
        P = self._unwrap(structures)
        order = self.free_first_order
        is_fixed = torch.zeros(b, a, dtype=torch.bool, device=P.device)
        if a > f:
            shifts = self.plane.translations(2 * FIXED_ATOM_TOLERANCE)
            axes = self.plane.axes
            vectors = self.plane.displacements(self.fixed_positions @ axes, P @ axes, shifts)
            D = displacement_norms(vectors).amin(-1)
            unlike = self.numbers[order[f:]].unsqueeze(-1) != numbers.unsqueeze(1)
            distance, nearest = D.masked_fill(unlike, torch.inf).min(-1)  # [b, a - f]
            is_fixed.scatter_(1, nearest, True)
            if (distance > FIXED_ATOM_TOLERANCE).any() or (is_fixed.sum(-1) != a - f).any():
                condition = "have an atom at the place of every fixed one of the slab"
                value = f"one that is {float(distance.max()):.2f} Å away"
                raise InputError(error_message("structures", condition, value))
        moving = (~is_fixed).nonzero()[:, 1].reshape(b, f)
        by_number = numbers.gather(1, moving).argsort(dim=-1, stable=True)
        source = moving.gather(1, by_number)
        source = source[:, self.numbers[order[:f]].argsort(stable=True).argsort()]
        return P.gather(1, source.unsqueeze(-1).expand(-1, -1, 3))

    def _unwrap(self, structures: Structures) -> Tensor:
        """Return positions `[b, a, 3]` Å in one piece, where structures repeat along the normal."""
        b, a = len(structures), len(self.numbers)
        P = structures.positions.reshape(b, a, 3)
        normal, (low, high) = self.plane.axes[:, 2], self.height_range
        fixed_heights = self.fixed_plane_positions[:, 2].tolist()
        bottom = min([low, *fixed_heights]) - FIXED_ATOM_TOLERANCE
        vector = structures.cell[:, self.normal_axis]
        period = (vector @ normal).unsqueeze(-1)  # [b, 1], negative if the vector points down
        repeats = structures.pbc[:, self.normal_axis].unsqueeze(-1) & (period != 0)
        size = torch.where(repeats, period.abs(), torch.inf)
        border = ((bottom + high - size) / 2).clamp(max=bottom)  # amid the vacuum
        steps = torch.where(repeats, ((P @ normal - border) / size).floor() * period.sign(), 0.0)
        return P - steps.unsqueeze(-1) * vector.unsqueeze(1)

    def is_connected(self, Q: Tensor, max_gap_factor: float) -> Tensor:
        """Return whether the moving atoms are connected to the slab, `[...]` bool.

        Args:
            Q: `[..., a, 3]` Å positions along the axes.
            max_gap_factor: largest distance of connected atoms, in bond lengths.
        """
        f, a = len(self.min_distances), len(self.numbers)
        if not math.isfinite(max_gap_factor):
            return torch.ones(Q.shape[:-2], dtype=torch.bool, device=Q.device)
        shifts = self.bonding_translations
        nearest = displacement_norms(self.plane.displacements(Q[..., :f, :], Q, shifts)).amin(-1)
        D = nearest / self.bond_lengths[:f]
        graph = D[..., :f]
        if a > f:  # the fixed atoms count as one more atom
            to_slab = D[..., f:].amin(-1)
            last_row = torch.cat((to_slab, torch.zeros_like(to_slab[..., :1])), -1).unsqueeze(-2)
            graph = torch.cat((torch.cat((graph, to_slab.unsqueeze(-1)), -1), last_row), -2)
        return is_connected(graph, torch.full_like(graph, max_gap_factor))

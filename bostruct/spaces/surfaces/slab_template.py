"""What all structures on a slab have in common, where they are computed.

Notation
    a, f   atoms of a structure, those of them that move
    Q      [..., a, 3]  Å  positions along the axes of the plane, those that move first
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.connectivity import is_connected
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms
from bostruct.structures import Structures

FIXED_ATOM_TOLERANCE = 0.1
"""Å. Fixed atoms of an encoded structure may be off by this, cells by a thousandth."""


@final
@dataclass(frozen=True, eq=False)
class SlabTemplate:
    """What does not change from structure to structure, on one device in one dtype.

    Attributes:
        plane: of the surface.
        height_range: Å, heights between which atoms move.
        free_first_order: `[a]` atoms of a structure, those that move first.
        inverse_order: `[a]` the inverse of it.
        numbers: `[a]` as in structures.
        fixed_positions: `[a - f, 3]` Å positions.
        fixed_plane_positions: `[a - f, 3]` Å the same along the axes.
        cell: `[1, 3, 3]` Å.
        pbc: `[1, 3]`.
        fixed_mask: `[a]` as in structures.
        tags: `[a]` as in structures.
        bond_lengths: `[a, a]` Å, those that move first.
        min_distances: `[f, a]` Å, the same.
        contact_translations: `[s, 2]` Å translations within the largest minimum distance.
        bonding_translations: `[s, 2]` Å those over which atoms hold each other.
    """

    plane: PeriodicPlane
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

    @classmethod
    def from_slab(
        cls,
        slab: Structures,
        plane: PeriodicPlane,
        like: Tensor,
        *,
        height_range: tuple[float, float],
        numbers: Tensor,
        free_first_order: Tensor,
        bond_lengths: Tensor,
        min_distances: Tensor,
        max_bonding_distance: float,
    ) -> SlabTemplate:
        """Return the frame of a slab where `like` is and in its dtype.

        Args:
            slab: one structure.
            plane: its.
            like: see above.
            height_range: Å.
            numbers: `[a]`.
            free_first_order: `[a]`.
            bond_lengths: `[a, a]` Å.
            min_distances: `[f, a]` Å.
            max_bonding_distance: Å, over which atoms hold each other.
        """
        device, dtype = like.device, like.dtype
        added = torch.zeros(len(numbers) - len(slab.numbers), dtype=torch.int64)
        fixed = slab.positions[free_first_order[len(min_distances) :]]
        there = plane.to(device, dtype)
        return cls(
            plane=there,
            height_range=height_range,
            free_first_order=free_first_order.to(device),
            inverse_order=free_first_order.argsort().to(device),
            numbers=numbers.to(device),
            fixed_positions=fixed.to(device, dtype),
            fixed_plane_positions=(fixed @ plane.axes).to(device, dtype),
            cell=slab.cell.to(device, dtype),
            pbc=slab.pbc.to(device),
            fixed_mask=torch.cat((slab.fixed, added > 0)).to(device),
            tags=torch.cat((slab.tags, added)).to(device),
            bond_lengths=bond_lengths.to(device, dtype),
            min_distances=min_distances.to(device, dtype),
            contact_translations=there.translations(float(min_distances.max())),
            bonding_translations=there.translations(max_bonding_distance),
        )

    def decode(self, P: Tensor) -> Structures:
        """Return the structures with atoms that move at P `[b, f, 3]` Å."""
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
        )

    def encode(self, structures: Structures, formula: str) -> Tensor:
        """Return where the atoms of structures are that move, `[b, f, 3]` Å.

        Args:
            structures: b of them.
            formula: what they should be, in the words of an error.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the
                slab has a fixed one.
        """
        a, f, b = len(self.numbers), len(self.min_distances), len(structures)
        own = self.numbers.sort().values
        fits = bool((structures.counts == a).all())
        if fits:
            numbers = structures.numbers.reshape(b, a)
            fits = bool((numbers.sort(-1).values == own).all())
        if not fits:
            found = ", ".join(sorted(set(structures.formulas())))
            raise InputError(error_message("structures", f"all be {formula}", found))
        across = self.cell[0, :2]
        if ((structures.cell[:, :2] - across).abs() > 1e-3 * across.abs().max()).any():
            condition = "have the lattice vectors of the slab"
            raise InputError(error_message("structures", condition, "others"))
        P = structures.positions.reshape(b, a, 3)
        order = self.free_first_order
        taken = torch.zeros(b, a, dtype=torch.bool, device=P.device)
        if a > f:
            near = self.plane.translations(2 * FIXED_ATOM_TOLERANCE)
            along = self.fixed_positions @ self.plane.axes
            D = displacement_norms(self.plane.displacements(along, P @ self.plane.axes, near)).amin(
                -1
            )
            unlike = self.numbers[order[f:]].unsqueeze(-1) != numbers.unsqueeze(1)
            far, which = D.masked_fill(unlike, torch.inf).min(-1)  # [b, a - f]
            taken.scatter_(1, which, True)
            if (far > FIXED_ATOM_TOLERANCE).any() or (taken.sum(-1) != a - f).any():
                condition = "have an atom at the place of every fixed one of the slab"
                worst = f"one that is {float(far.max()):.2f} Å away"
                raise InputError(error_message("structures", condition, worst))
        rest = (~taken).nonzero()[:, 1].reshape(b, f)
        theirs = numbers.gather(1, rest)
        source = rest.gather(1, theirs.argsort(dim=-1, stable=True))
        source = source[:, self.numbers[order[:f]].argsort(stable=True).argsort()]
        return P.gather(1, source.unsqueeze(-1).expand(-1, -1, 3))

    def is_connected(self, Q: Tensor, max_gap_factor: float) -> Tensor:
        """Return whether the atoms that move hang together with the slab, `[...]`.

        Args:
            Q: structures.
            max_gap_factor: in bonds, over which atoms hold each other.
        """
        f, a = len(self.min_distances), len(self.numbers)
        if not math.isfinite(max_gap_factor):
            return torch.ones(Q.shape[:-2], dtype=torch.bool, device=Q.device)
        nearest = displacement_norms(
            self.plane.displacements(Q[..., :f, :], Q, self.bonding_translations)
        ).amin(-1)
        D = nearest / self.bond_lengths[:f]
        own = D[..., :f]
        if a > f:  # the fixed part counts as one more atom
            down = D[..., f:].amin(-1)
            corner = torch.zeros_like(down[..., :1])
            bottom = torch.cat((down, corner), -1).unsqueeze(-2)
            own = torch.cat((torch.cat((own, down.unsqueeze(-1)), -1), bottom), -2)
        return is_connected(own, torch.full_like(own[..., 0, :], max_gap_factor).unsqueeze(-1))

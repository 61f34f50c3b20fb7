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

from bostruct.errors import InputError, must
from bostruct.spaces.connectivity import whole
from bostruct.spaces.surfaces.periodic_plane import Plane, norm
from bostruct.structures import Structures

MOVED = 0.1
"""Å. Fixed atoms of an encoded structure may be off by this, cells by a thousandth."""


@final
@dataclass(frozen=True, eq=False)
class Frame:
    """What does not change from structure to structure, on one device in one dtype.

    Attributes:
        plane: of the surface.
        window: Å, heights between which atoms move.
        order: `[a]` atoms of a structure, those that move first.
        place: `[a]` the inverse of it.
        numbers: `[a]` as in structures.
        fixed: `[a - f, 3]` Å positions.
        level: `[a - f, 3]` Å the same along the axes.
        cell: `[1, 3, 3]` Å.
        pbc: `[1, 3]`.
        frozen: `[a]` as in structures.
        tags: `[a]` as in structures.
        bond: `[a, a]` Å, those that move first.
        minimum: `[f, a]` Å, the same.
        near: `[s, 2]` Å translations within the largest minimum distance.
        around: `[s, 2]` Å those over which atoms hold each other.
    """

    plane: Plane
    window: tuple[float, float]
    order: Tensor
    place: Tensor
    numbers: Tensor
    fixed: Tensor
    level: Tensor
    cell: Tensor
    pbc: Tensor
    frozen: Tensor
    tags: Tensor
    bond: Tensor
    minimum: Tensor
    near: Tensor
    around: Tensor

    @classmethod
    def of(
        cls,
        slab: Structures,
        plane: Plane,
        like: Tensor,
        *,
        window: tuple[float, float],
        numbers: Tensor,
        order: Tensor,
        bond: Tensor,
        minimum: Tensor,
        far: float,
    ) -> Frame:
        """Return the frame of a slab where `like` is and in its dtype.

        Args:
            slab: one structure.
            plane: its.
            like: see above.
            window: Å.
            numbers: `[a]`.
            order: `[a]`.
            bond: `[a, a]` Å.
            minimum: `[f, a]` Å.
            far: Å, over which atoms hold each other.
        """
        device, dtype = like.device, like.dtype
        added = torch.zeros(len(numbers) - len(slab.numbers), dtype=torch.int64)
        fixed = slab.positions[order[len(minimum) :]]
        there = plane.to(device, dtype)
        return cls(
            plane=there,
            window=window,
            order=order.to(device),
            place=order.argsort().to(device),
            numbers=numbers.to(device),
            fixed=fixed.to(device, dtype),
            level=(fixed @ plane.frame).to(device, dtype),
            cell=slab.cell.to(device, dtype),
            pbc=slab.pbc.to(device),
            frozen=torch.cat((slab.fixed, added > 0)).to(device),
            tags=torch.cat((slab.tags, added)).to(device),
            bond=bond.to(device, dtype),
            minimum=minimum.to(device, dtype),
            near=there.translations(float(minimum.max())),
            around=there.translations(far),
        )

    def decoded(self, P: Tensor) -> Structures:
        """Return the structures with atoms that move at P `[b, f, 3]` Å."""
        b, a = len(P), len(self.numbers)
        fixed = self.fixed.expand(b, -1, -1)
        positions = torch.cat((P, fixed), 1).index_select(1, self.place)
        return Structures.unchecked(
            positions=positions.reshape(-1, 3),
            numbers=self.numbers.repeat(b),
            cell=self.cell.repeat(b, 1, 1),
            pbc=self.pbc.repeat(b, 1),
            index=torch.arange(b, device=P.device).repeat_interleave(a),
            fixed=self.frozen.repeat(b),
            tags=self.tags.repeat(b),
        )

    def encoded(self, structures: Structures, formula: str) -> Tensor:
        """Return where the atoms of structures are that move, `[b, f, 3]` Å.

        Args:
            structures: b of them.
            formula: what they should be, in the words of an error.

        Raises:
            InputError: a structure has another cell, other atoms, or no atom where the
                slab has a fixed one.
        """
        a, f, b = len(self.numbers), len(self.minimum), len(structures)
        own = self.numbers.sort().values
        fits = bool((structures.counts == a).all())
        if fits:
            numbers = structures.numbers.reshape(b, a)
            fits = bool((numbers.sort(-1).values == own).all())
        if not fits:
            found = ", ".join(sorted(set(structures.formulas())))
            raise InputError(must("structures", f"all be {formula}", found))
        across = self.cell[0, :2]
        if ((structures.cell[:, :2] - across).abs() > 1e-3 * across.abs().max()).any():
            condition = "have the lattice vectors of the slab"
            raise InputError(must("structures", condition, "others"))
        P = structures.positions.reshape(b, a, 3)
        order = self.order
        taken = torch.zeros(b, a, dtype=torch.bool, device=P.device)
        if a > f:
            near = self.plane.translations(2 * MOVED)
            along = self.fixed @ self.plane.frame
            D = norm(self.plane.gaps(along, P @ self.plane.frame, near)).amin(-1)
            unlike = self.numbers[order[f:]].unsqueeze(-1) != numbers.unsqueeze(1)
            far, which = D.masked_fill(unlike, torch.inf).min(-1)  # [b, a - f]
            taken.scatter_(1, which, True)
            if (far > MOVED).any() or (taken.sum(-1) != a - f).any():
                condition = "have an atom at the place of every fixed one of the slab"
                worst = f"one that is {float(far.max()):.2f} Å away"
                raise InputError(must("structures", condition, worst))
        rest = (~taken).nonzero()[:, 1].reshape(b, f)
        theirs = numbers.gather(1, rest)
        source = rest.gather(1, theirs.argsort(dim=-1, stable=True))
        source = source[:, self.numbers[order[:f]].argsort(stable=True).argsort()]
        return P.gather(1, source.unsqueeze(-1).expand(-1, -1, 3))

    def whole(self, Q: Tensor, gap: float) -> Tensor:
        """Return whether the atoms that move hang together with the slab, `[...]`.

        Args:
            Q: structures.
            gap: in bonds, over which atoms hold each other.
        """
        f, a = len(self.minimum), len(self.numbers)
        if not math.isfinite(gap):
            return torch.ones(Q.shape[:-2], dtype=torch.bool, device=Q.device)
        nearest = norm(self.plane.gaps(Q[..., :f, :], Q, self.around)).amin(-1)
        D = nearest / self.bond[:f]
        own = D[..., :f]
        if a > f:  # the fixed part counts as one more atom
            down = D[..., f:].amin(-1)
            corner = torch.zeros_like(down[..., :1])
            bottom = torch.cat((down, corner), -1).unsqueeze(-2)
            own = torch.cat((torch.cat((own, down.unsqueeze(-1)), -1), bottom), -2)
        return whole(own, torch.full_like(own[..., 0, :], gap).unsqueeze(-1))

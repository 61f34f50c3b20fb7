"""A repulsive pair energy that keeps unseen short distances high.

Notation
    r     [p]   Å    distances
    d     [p]   Å    `reach` times the sum of the two atoms' radii
    E     [b]   eV   sum over pairs of strength (d / r - 1)^3 where r < d

Two derivatives are continuous at r = d, and the energy is exactly zero beyond.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import check_positive
from bostruct.structures import LARGEST, Structures, all_pairs, periods, table
from bostruct.surrogates.pair_repulsion_numba import walls


@final
@dataclass(frozen=True)
class Repulsion:
    """Pair repulsion below a fraction of the bond length.

    Attributes:
        strength: eV, the energy of a pair at half the distance d.
        reach: d over the sum of the two radii.

    Raises:
        InputError: either is not positive.
    """

    strength: float = 20.0
    reach: float = 1.0

    def __post_init__(self) -> None:
        check_positive("strength", self.strength, "It is an energy in eV.")
        check_positive("reach", self.reach, "It is a fraction of the bond length.")

    def __call__(self, structures: Structures, radii: Tensor) -> Tensor:
        """Return E `[b]`, differentiable in the positions.

        Args:
            structures: b structures of n atoms in total.
            radii: `[n]` Å.
        """
        if structures.device.type == "cpu" and int(structures.counts.max()) <= LARGEST:
            energy: Tensor = _Walls.apply(structures.positions, self, structures, radii)  # type: ignore[no-untyped-call]
            return energy
        return self.sums(structures, radii)

    def sums(self, structures: Structures, radii: Tensor) -> Tensor:
        """Return the same by operations that torch differentiates."""
        positions = structures.positions
        others = all_pairs(structures)
        if others is not None:
            vectors = positions[others] - positions.unsqueeze(1)  # [n, k, 3]
        else:
            cutoff = 2 * self.reach * float(radii.max())
            others, shift, mask = table(structures, cutoff)
            vectors = positions[others] - positions.unsqueeze(1)
            vectors = vectors + shift @ structures.cell[structures.index]
            beyond = vectors.new_tensor([cutoff, 0.0, 0.0])
            vectors = torch.where(mask.unsqueeze(-1), vectors, beyond)
        r = torch.linalg.vector_norm(vectors, dim=-1)
        d = self.reach * (radii[others] + radii.unsqueeze(1))
        energy = positions.new_zeros(len(structures))
        return energy.index_add(0, structures.index, self._wall(r, d).sum(-1) / 2)

    def _wall(self, r: Tensor, d: Tensor) -> Tensor:
        excess = (d / r.clamp(min=SMALLEST) - 1).clamp(min=0)
        return self.strength * excess.pow(3)


SMALLEST = 1e-3
"""Å; closer atoms are as bad as this, and the energy stays finite."""


@final
class _Walls(torch.autograd.Function):
    """`Repulsion.sums` with its slope in one compiled loop."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's
        positions: Tensor,
        repulsion: Repulsion,
        structures: Structures,
        radii: Tensor,
    ) -> Tensor:
        reach = (repulsion.reach * radii.detach()).contiguous()
        energy, slope = walls(
            positions.detach().contiguous().numpy(),
            *periods(structures, 2 * float(reach.max())),
            reach.numpy(),
            repulsion.strength,
            SMALLEST,
        )
        ctx.repulsion, ctx.structures, ctx.radii = repulsion, structures, radii
        ctx.save_for_backward(positions, torch.from_numpy(slope))
        return torch.from_numpy(energy)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        positions, slope = ctx.saved_tensors
        structures: Structures = ctx.structures
        if torch.is_grad_enabled():  # someone wants to differentiate this again
            again = ctx.repulsion.sums(
                replace(structures, positions=positions), ctx.radii
            )
            (slope,) = torch.autograd.grad(again, positions, g, create_graph=True)
            return slope, None, None, None
        return g[structures.index].unsqueeze(-1) * slope, None, None, None

"""Lower convex hull of energies over compositions: the phase diagram at zero temperature.

    E(x) = min over w of Σ_i w_i e_i    with Σ_i w_i x_i = x, Σ_i w_i = 1, w_i >= 0

By Carathéodory's theorem as many phases are enough as there are components, so the few vertices of
the hull are tried in all sets of that size or less.

Notation
    k   components
    p   points, phases with a composition and an energy
    x   [..., k]   1         compositions, fractions that add up to one
    e   [p]        eV/atom   energies
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

FRACTION_TOLERANCE = 1e-9
"""Largest error of a fraction of a component that is a rounding error."""

CHUNK_SIZE = 128
"""Compositions whose mixtures are compared at once."""


@final
@dataclass(frozen=True, eq=False)
class ConvexHull:
    """Vertices of a lower convex hull.

    Attributes:
        compositions: `[p, k]`, compositions of the vertices.
        energies: `[p]` eV/atom.
    """

    compositions: Tensor
    energies: Tensor

    @classmethod
    def empty(cls, n_components: int) -> Self:
        """Return the hull of no points."""
        none = torch.zeros(0, n_components, dtype=torch.float64)
        return cls(none, none.new_zeros(0))

    @classmethod
    def from_points(cls, compositions: Tensor, energies: Tensor) -> Self:
        """Return the hull of points.

        Args:
            compositions: `[p, k]`.
            energies: `[p]` eV/atom.
        """
        hull = cls.empty(compositions.shape[-1])
        for x, e in zip(compositions, energies.tolist(), strict=True):
            hull = hull.with_point(x, e)
        return hull

    def with_point(self, x: Tensor, energy: float) -> Self:
        """Return the hull with another point; itself where the point is not below it.

        Args:
            x: `[k]` composition.
            energy: eV/atom.
        """
        if energy >= float(self.energy(x)):
            return self
        X = torch.cat([self.compositions, x.to(self.compositions).unsqueeze(0)])
        E = torch.cat([self.energies, self.energies.new_tensor([energy])])
        kept = list(range(len(E)))
        for i in range(len(E) - 1):
            others = [j for j in kept if j != i]
            if E[i] >= float(lower_hull(X[others], E[others], X[i])):
                kept = others
        return type(self)(X[kept], E[kept])

    def energy(self, x: Tensor) -> Tensor:
        """Return the energy of the hull at compositions `[..., k]`, `[...]` eV/atom.

        It is infinite where no mixture of the vertices has the composition.
        """
        return lower_hull(self.compositions, self.energies, x)


def lower_hull(compositions: Tensor, energies: Tensor, x: Tensor) -> Tensor:
    """Return the lowest energy of mixtures of points at compositions, `[...]` eV/atom.

    Args:
        compositions: `[p, k]`, of the points.
        energies: `[p]` eV/atom.
        x: `[..., k]`, of the mixtures.

    Returns:
        energies, infinite where no mixture has the composition.
    """
    p, k = compositions.shape
    targets = x.reshape(-1, k).to(compositions)
    lowest = targets.new_full((len(targets),), torch.inf)
    for size in range(1, min(p, k) + 1):
        sets = torch.tensor(list(itertools.combinations(range(p), size)))
        A = compositions[sets].mT  # [sets, k, size]
        inverse = torch.linalg.pinv(A)
        for rows in torch.arange(len(targets)).split(CHUNK_SIZE):
            b = targets[rows].T
            w = inverse @ b  # [sets, size, targets]
            error = (A @ w - b).abs().amax(1)
            mixes = (error < FRACTION_TOLERANCE) & (w > -FRACTION_TOLERANCE).all(1)
            energy = (energies[sets].unsqueeze(1) @ w).squeeze(1).masked_fill(~mixes, torch.inf)
            lowest[rows] = torch.minimum(lowest[rows], energy.amin(0))
    return lowest.reshape(x.shape[:-1])

"""Bounds of a space on which a structure leans: atoms as close, or as far out, as it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from torch import Tensor

BOUND_TOLERANCE = 0.02
"""Distance from a bound within which a structure leans on it, in units of the bound."""


@final
@dataclass(frozen=True, eq=False)
class ActiveBound:
    """Bound on which atoms of a structure lean.

    Attributes:
        argument: Argument of the space that sets the bound, such as "min_distance".
        limit: Bound, Å.
        pair: Elements of a pair, such as "Cu-Cu"; "" where the bound is not one of pairs.
        atoms: `[k]` int64, atoms that lean on it, in the order of the decoded structure.
        outward: `[k, 3]` directions in which the bound keeps them from moving, of unit length.
    """

    argument: str
    limit: float
    pair: str
    atoms: Tensor
    outward: Tensor

    def pressure(self, forces: Tensor) -> float:
        """Return the force with which the atoms press on the bound, eV/Å; negative away from it.

        Args:
            forces: `[a, 3]` eV/Å.
        """
        return float((forces.to(self.outward)[self.atoms] * self.outward).sum(-1).mean())


@runtime_checkable
class SupportsActiveBounds(Protocol):
    """A space that tells on which of its bounds a structure leans."""

    def active_bounds(self, x: Tensor) -> list[ActiveBound]:
        """Return the bounds on which the structure at x `[d]` leans or that it violates."""
        ...


@runtime_checkable
class SupportsVolumeBound(Protocol):
    """A space of cells that tells whether the volume of one leans on a bound."""

    def volume_bound(self, x: Tensor) -> tuple[float, int] | None:
        """Return the bound on which the cell at x `[d]` leans, None if it leans on none.

        Returns:
            volume, Å³ per atom, and -1 for the smallest or 1 for the largest.
        """
        ...

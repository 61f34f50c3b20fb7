"""Bounds on the volume, the lengths and the angles of a cell.

In a Minkowski-reduced cell no height is less than the shortest vector over √2, and no angle outside
60° to 120°. Lattice vectors of a crystal are no shorter than the largest minimum distance of two
equal atoms, m. A stack of close-packed layers of one atom each, the longest of dense crystals, is
0.92 a v^(1/3) high, for a atoms of volume v. By default

    heights ≥ m / 2,   m ≤ lengths ≤ max(1.1 a v^(1/3), 2 (a v)^(1/3))

Beyond are flat and needle-shaped cells, of which a surrogate knows nothing, so that a search by
uncertainty would go there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, error_message
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.packing import cell_angles, cell_heights
from bostruct.spaces.fingerprint_distance import RELATIVE_ROUNDING

STACK_FACTOR = 1.1
"""Longest lattice vector, in cube roots of the volume of an atom, for each atom."""

CUBE_FACTOR = 2.0
"""Longest lattice vector of cells of few atoms, in cube roots of the volume of the cell."""


ANGLE_RANGE = (40.0, 140.0)
"""Default range of the angles of lattice vectors, degrees."""

FIXED_TOLERANCE = 1e-6
"""Largest relative difference of the volumes of equal cells."""


@final
@dataclass(frozen=True)
class CellBounds:
    """Bounds on cells of one formula.

    Attributes:
        volume: expected volume of the cell, Å³.
        volume_factors: smallest and largest volume, relative to it.
        lengths: smallest and largest length of lattice vectors, Å.
        angles: smallest and largest angle of lattice vectors, degrees.
        min_height: smallest distance of opposite faces, Å.
        n_periodic: 3, or 2 for layers, of whose cells the first two lattice vectors count.
    """

    volume: float
    volume_factors: tuple[float, float]
    lengths: tuple[float, float]
    angles: tuple[float, float]
    min_height: float
    n_periodic: int = 3

    @classmethod
    def from_arguments(
        cls,
        volume: float,
        min_distances: Tensor,
        volume_range: Sequence[float],
        lengths: Sequence[float] | None,
        angles: Sequence[float] | None,
    ) -> Self:
        """Return checked bounds.

        Args:
            volume: expected volume of the cell, Å³.
            min_distances: `[a, a]` Å, minimum distances.
            volume_range: smallest and largest volume, relative to the expected one.
            lengths: smallest and largest length of lattice vectors, Å; None for the default.
            angles: smallest and largest angle of lattice vectors, degrees; None for the default.

        Raises:
            InputError: a range does not rise, or ends where no cell is.
            SpaceError: the largest volume is smaller than that of close-packed atoms at their
                minimum distances.
        """
        factors, angle_range = _check_factors(volume_range), _check_angles(angles)
        shortest, largest = float(min_distances.diagonal().max()), factors[1] * volume
        if largest < _close_packed_volume(min_distances):
            condition = "be large enough for atoms at their minimum distances"
            n_atoms = len(min_distances)
            value = f"{volume / n_atoms:.2f} Å³ per atom"
            least = _close_packed_volume(min_distances) / n_atoms
            hint = f"Close packed they take {least:.2f} Å³: give more, or a smaller `min_distance`."
            raise SpaceError(error_message("volume", condition, value, hint))
        a = len(min_distances)
        longest = max(STACK_FACTOR * a * (volume / a) ** (1 / 3), CUBE_FACTOR * volume ** (1 / 3))
        length_range = (shortest, max(longest, CUBE_FACTOR * shortest))
        if lengths is not None:
            length_range = _check_range("lengths", lengths, "In Å, as (3.0, 20.0).")
        return cls(volume, factors, length_range, angle_range, shortest / 2)

    @classmethod
    def of_cell(cls, freedom: CellFreedom, volume_range: Sequence[float] | None) -> Self:
        """Return bounds on the volume of a given cell.

        Args:
            freedom: the cell, and whether its volume varies.
            volume_range: smallest and largest volume, relative to it; None for this one alone.

        Raises:
            InputError: the range does not rise, or does not hold 1.
        """
        factors = (1 - FIXED_TOLERANCE, 1 + FIXED_TOLERANCE)
        if volume_range is not None:
            factors = _check_factors(volume_range)
        scale = [factor ** (1 / 3) for factor in factors]
        lengths = torch.linalg.vector_norm(freedom.cell, dim=-1)
        limits = (0.999 * scale[0] * float(lengths.min()), 1.001 * scale[1] * float(lengths.max()))
        min_height = 0.999 * scale[0] * float(cell_heights(freedom.cell).min())
        return cls(freedom.volume, factors, limits, (1e-3, 180 - 1e-3), min_height)

    @classmethod
    def of_layer(
        cls,
        freedom: CellFreedom,
        n_atoms: int,
        min_distances: Tensor,
        area_range: Sequence[float],
        lengths: Sequence[float] | None,
        angles: Sequence[float] | None,
    ) -> Self:
        """Return checked bounds on cells of layers.

        Args:
            freedom: cells of the space.
            n_atoms: number of atoms.
            min_distances: `[a, a]` Å, minimum distances.
            area_range: smallest and largest area, relative to the expected one.
            lengths: smallest and largest length of the two lattice vectors, Å; None for those of
                reduced cells of dense layers.
            angles: smallest and largest angle between them, degrees; None for the default.

        Raises:
            InputError: a range does not rise, or ends where no cell is.
        """
        shortest, distance = float(min_distances.diagonal().max()), freedom.edge / n_atoms**0.5
        longest = max(STACK_FACTOR * n_atoms * distance, CUBE_FACTOR * freedom.edge)
        limits = (shortest, max(longest, CUBE_FACTOR * shortest))
        if lengths is not None:
            limits = _check_range("lengths", lengths, "In Å, as (3.0, 20.0).")
        factors, angle_range = _check_factors(area_range), _check_angles(angles)
        return cls(freedom.volume, factors, limits, angle_range, shortest / 2, n_periodic=2)

    def description(self) -> dict[str, Any]:
        """Return the arguments of `Crystal` that identify the bounds, as JSON values."""
        return {
            "volume_range": list(self.volume_factors),
            "lengths": list(self.lengths),
            "angles": list(self.angles),
        }

    def contain(self, H: Tensor, slack: float) -> Tensor:
        """Return whether cells `[..., 3, 3]` Å are inside, `[...]` bool.

        Args:
            H: cells.
            slack: relative rounding error up to which bounds count as met.
        """
        relative = torch.linalg.det(H) / self.volume
        length, angle, height = self._measures(H)
        inside = _is_between(relative, self.volume_factors, slack)
        inside &= _is_between(length, self.lengths, slack).all(-1)
        inside &= _is_between(angle, self.angles, slack).all(-1)
        return inside & (height >= self.min_height * (1 - slack)).all(-1)

    def violation(self, H: Tensor, n_atoms: int) -> tuple[str, str] | None:
        """Return what of a cell `[3, 3]` Å is outside and the way out, None if nothing is.

        Args:
            H: cell.
            n_atoms: number of its atoms.
        """
        slack, volume = RELATIVE_ROUNDING, torch.linalg.det(H)
        lengths, angles, heights = self._measures(H)
        if not bool(_is_between(volume / self.volume, self.volume_factors, slack)):
            value = float(volume) / n_atoms
            if self.n_periodic == 2:
                value /= float(H[2, 2])
                hint = f"Give the space `area={value:.3g}`, or a wider `volume_range`."
                return f"an area of {value:.2f} Å² per atom", hint
            hint = f"Give the space `volume={value:.3g}`, or a wider `volume_range`."
            return f"a volume of {value:.2f} Å³ per atom", hint
        for values, limits, name, unit in (
            (lengths, self.lengths, "lengths", "Å"),
            (angles, self.angles, "angles", "degrees"),
        ):
            if not bool(_is_between(values, limits, slack).all()):
                shown = ", ".join(f"{value:.2f}" for value in values.tolist())
                hint = f"Give the space wider `{name}` than ({limits[0]:.2f}, {limits[1]:.2f})."
                return f"lattice vectors with {name} of {shown} {unit}", hint
        if bool((heights < self.min_height * (1 - slack)).any()):
            hint = "Give it in a cell of shorter lattice vectors, or a smaller `min_distance`."
            return "a flat cell", hint
        return None

    def clamp_log_strain(self, s: Tensor, freedom: CellFreedom) -> Tensor:
        """Return components of log strains `[..., 6]` with volume and distortion within bounds.

        The distortion, the norm of the part without trace, is at most that of a cell of the largest
        volume or area whose other heights are smallest.

        Args:
            s: log strains that are allowed.
            freedom: strains by which cells may vary.
        """
        low, high = (math.log(factor) for factor in self.volume_factors)
        normal, reference = freedom.normal_strain(s), freedom.reference_strain(s)
        change = s - reference
        trace = change[..., :3].sum(-1, keepdim=True)
        distortion = change - trace * normal
        n = self.n_periodic
        largest = self.volume_factors[1] * freedom.edge**n / self.min_height**n
        limit = math.sqrt((n - 1) / n) * math.log(max(largest, math.e))
        norm = torch.linalg.vector_norm(distortion, dim=-1, keepdim=True)
        inside = (norm <= limit) & (trace >= low) & (trace <= high)
        clamped = distortion * (limit / norm.clamp(min=limit)) + trace.clamp(low, high) * normal
        return torch.where(inside, s, reference + clamped)

    def _measures(self, H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return lengths, angles and heights of cells that count, `[..., 1 to 3]` Å, degrees, Å."""
        n = self.n_periodic
        lengths = torch.linalg.vector_norm(H, dim=-1)[..., :n]
        angles, heights = cell_angles(H), cell_heights(H)[..., :n]
        return lengths, angles if n == 3 else angles[..., 2:], heights


def _is_between(value: Tensor, limits: tuple[float, float], slack: float) -> Tensor:
    low, high = limits
    return (value >= low * (1 - slack)) & (value <= high * (1 + slack))


def _close_packed_volume(min_distances: Tensor) -> float:
    """Return the volume of close-packed spheres that touch at the minimum distances, Å³."""
    return float((min_distances.diagonal().pow(3) / math.sqrt(2)).sum())


def _check_factors(volume_range: Sequence[float]) -> tuple[float, float]:
    """Return smallest and largest volume, relative to the expected one."""
    factors = _check_range("volume_range", volume_range, "Try (0.5, 2.0).")
    if not factors[0] <= 1 <= factors[1]:
        condition = "hold 1, the expected volume"
        raise InputError(error_message("volume_range", condition, factors, "Give `volume`."))
    return factors


def _check_angles(angles: Sequence[float] | None) -> tuple[float, float]:
    """Return smallest and largest angle of lattice vectors, degrees."""
    if angles is None:
        return ANGLE_RANGE
    angle_range = _check_range("angles", angles, "In degrees, as (40, 140).")
    if not (angle_range[0] <= 60 and 120 <= angle_range[1] < 180):
        condition = "hold 60 to 120, the angles of reduced cells, and end below 180"
        raise InputError(error_message("angles", condition, angle_range))
    return angle_range


def _check_range(name: str, limits: Sequence[float], hint: str) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError) as error:
        raise InputError(error_message(name, "be a pair of numbers", repr(limits), hint)) from error
    if not 0 < low < high < math.inf:
        raise InputError(error_message(name, "rise from above zero", (low, high), hint))
    return low, high

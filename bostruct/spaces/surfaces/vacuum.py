"""Vacuum beside a slab: the lattice vector along which it lies, and slabs that a cell border cuts.

Notation
    k      index of the lattice vector that leaves the plane of the slab
    gap    Å  distance between two neighboring layers of atoms along a normal
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, error_message
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane
from bostruct.structures import Structures

MIN_VACUUM_FACTOR = 1.5
"""Smallest gap of atoms that nothing bonds, in bond lengths."""

MAX_LAYER_GAP_FACTOR = 2.5
"""Largest gap within a slab, in bond lengths: layers that dispersion holds reach 2.3."""

DEFAULT_VACUUM = 10.0
"""Å. Vacuum on either side that hints propose, where it is enough."""

ROUNDING = 1e-6
"""Largest part of a gap that is rounding."""


def plane_vectors(normal_axis: int) -> tuple[int, int]:
    """Return the indices of the lattice vectors in the plane, cyclically after `normal_axis`."""
    return (normal_axis + 1) % 3, (normal_axis + 2) % 3


def plane_cell(cell: Tensor, normal_axis: int) -> Tensor:
    """Return the lattice vectors with the one that leaves the plane last, `[3, 3]` Å."""
    return cell[[*plane_vectors(normal_axis), normal_axis]]


def find_normal_axis(slab: Structures, bond_length: float) -> int:
    """Return the index of the lattice vector along which the vacuum of a slab lies.

    It is the one along which the slab is not periodic. A slab that is periodic along all three has
    it where the largest gap is, and along the third one where there is no gap.

    Args:
        slab: one structure.
        bond_length: length of the longest bond in the slab, Å.

    Raises:
        InputError: the slab is not periodic along two lattice vectors, or has a vacuum along
            several.
    """
    has_vector = slab.cell[0].any(-1)
    periodic = slab.pbc[0] & has_vector
    if int(has_vector.sum()) < 2:
        lengths = slab.cell[0].norm(dim=-1).tolist()
        raise InputError(error_message("slab", "have a cell", lengths, "Set slab.cell."))
    if int(periodic.sum()) < 2:
        value = f"pbc {slab.pbc[0].tolist()}"
        whole = "True" if has_vector.all() else str(tuple(has_vector.tolist()))
        hint = f"Set slab.pbc = {whole}."
        condition = "be periodic along two lattice vectors, those of its plane"
        raise InputError(error_message("slab", condition, value, hint))
    if not periodic.all():
        return int((~periodic).nonzero()[0])
    gaps = [_largest_gap(slab, axis)[0] / bond_length for axis in range(3)]
    *_, second, largest = sorted(range(3), key=lambda axis: (gaps[axis], axis))
    if gaps[second] >= MAX_LAYER_GAP_FACTOR:
        axes = " and ".join(str(axis) for axis in sorted((second, largest)))
        hint = "Set slab.pbc to False along the normal of the surface, and there alone."
        value = f"gaps along the lattice vectors {axes}"
        raise InputError(error_message("slab", "have its vacuum in one direction", value, hint))
    return largest if gaps[largest] >= MIN_VACUUM_FACTOR else 2


def unwrap_slab(slab: Structures, normal_axis: int) -> Structures:
    """Return the slab in one piece: without the cut of a border of the cell along the normal.

    Atoms move by whole lattice vectors, and only where the border lies within the slab.
    """
    k = normal_axis
    if not bool(slab.pbc[0, k]) or not bool(slab.cell[0, k].any()):
        return slab
    normal, period = _normal(slab, k)
    heights = slab.positions @ normal
    gap, bottom = _largest_gap(slab, k)
    if period - float(heights.max() - heights.min()) >= gap - ROUNDING * period:
        return slab
    steps = ((heights - bottom) / period + ROUNDING).floor()
    return replace(slab, positions=slab.positions - steps.unsqueeze(-1) * slab.cell[0, k])


def widen_hint(
    slab: Structures, normal_axis: int, bond_length: float, height: float, contact: float
) -> str:
    """Return the sentence that says how to make room above a slab.

    Args:
        slab: one structure, in a cell that ends above it.
        normal_axis: index of the lattice vector that leaves the plane.
        bond_length: length of the longest bond in the slab, Å.
        height: height above the slab that is wanted, Å.
        contact: distance that atoms keep from the next slab, Å.
    """
    periodic = bool(slab.pbc[0, normal_axis])
    if not periodic:
        gaps = {axis: _largest_gap(slab, axis)[0] for axis in plane_vectors(normal_axis)}
        if max(gaps.values()) >= MIN_VACUUM_FACTOR * bond_length:
            axis = max(gaps, key=lambda axis: gaps[axis])
            return (
                f"Its vacuum lies along lattice vector {axis}, counted from 0: set slab.pbc = True."
            )
    needed = (height + contact) / 2 if periodic else height
    vacuum = max(DEFAULT_VACUUM, math.ceil(needed + ROUNDING))
    center = f"slab.center(vacuum={vacuum:g}, axis={normal_axis})."
    if not periodic:
        return f"Try {center}"
    normal, period = _normal(slab, normal_axis)
    fractions = slab.positions @ normal / period
    if bool(((fractions >= -ROUNDING) & (fractions < 1)).all()):
        return f"Try {center}"
    # a wider cell would tear apart a slab that a border of the cell cuts
    middle = ["0.5"] * 3
    middle[normal_axis] = f"{float(fractions.max() + fractions.min()) / 2:.3f}"
    return f"Try slab.wrap(center=({', '.join(middle)})); {center}"


def check_one_piece(
    slab: Structures, normal_axis: int, bond_length: float, max_gap_factor: float | None
) -> None:
    """Raise an error if a gap divides a slab into parts above each other.

    Args:
        slab: one structure, unwrapped.
        normal_axis: index of the lattice vector that leaves the plane.
        bond_length: length of the longest bond in the slab, Å.
        max_gap_factor: largest distance of connected atoms as the user gave it, in bond lengths.

    Raises:
        InputError: the slab has a gap.
    """
    normal, _ = _normal(slab, normal_axis)
    heights, order = (slab.positions @ normal).sort()
    if len(heights) < 2:
        return
    gap, index = (float(value) for value in heights.diff().max(0))
    if gap <= max(MAX_LAYER_GAP_FACTOR, max_gap_factor or 0.0) * bond_length:
        return
    lower, upper = (int(order[int(index) + step]) for step in (0, 1))
    value = f"a gap of {gap:.2f} Å between its atoms {lower} and {upper}"
    factor = math.ceil(10 * gap / bond_length) / 10
    cut = (
        "If the border of the cell cuts it, set slab.pbc = True; if"
        if not bool(slab.pbc[0, normal_axis]) and bool(slab.cell[0, normal_axis].any())
        else "If"
    )
    hint = (
        f"{cut} atoms above it do not belong to it, delete them; "
        f"if it is to be so, give max_gap_factor={factor + 0.1:.1f}."
    )
    raise InputError(error_message("slab", "be in one piece", value, hint))


def check_fixed_side(slab: Structures, normal_axis: int, bond_length: float) -> None:
    """Raise an error if the fixed atoms of a slab are above the free ones.

    Args:
        slab: one structure, unwrapped.
        normal_axis: index of the lattice vector that leaves the plane.
        bond_length: length of the longest bond in the slab, Å.

    Raises:
        SpaceError: the topmost atoms are fixed and the lowest ones are free.
    """
    normal, _ = _normal(slab, normal_axis)
    heights = slab.positions @ normal
    fixed, free = heights[slab.fixed], heights[~slab.fixed]
    if not len(fixed) or not len(free):
        return
    margin = bond_length / 4
    if fixed.max() > free.max() + margin and free.min() < fixed.min() - margin:
        top = int((heights + torch.where(slab.fixed, 0.0, -torch.inf)).argmax())
        condition = "have its free atoms on the side of the vacuum, above the fixed ones"
        value = f"a fixed atom {top} on top, and free ones at the bottom"
        hint = "Fix the other side, or turn the slab: slab.positions *= -1."
        raise SpaceError(error_message("slab", condition, value, hint))


def _normal(slab: Structures, axis: int) -> tuple[Tensor, float]:
    """Return the normal `[3]` of the other two lattice vectors, and the period along it in Å.

    It points to the side of the lattice vector `axis`; where there is none the period is infinite.
    """
    cell = plane_cell(slab.cell[0], axis)
    normal = PeriodicPlane.from_cell(cell).axes[:, 2]
    period = float(cell[2] @ normal)
    return normal, period if period > 0 else math.inf


def _largest_gap(slab: Structures, axis: int) -> tuple[float, float]:
    """Return the largest gap along a lattice vector, and the height at which it ends, in Å.

    The slab counts as periodic along it; of equal gaps the outermost one is meant.
    """
    normal, period = _normal(slab, axis)
    heights = slab.positions @ normal
    if math.isinf(period):
        return math.inf, float(heights.min())
    inside = (heights / period - (heights / period).floor()).sort().values * period
    gaps = torch.cat((inside[:1] + period - inside[-1:], inside.diff()))
    index = int((gaps > gaps.max() - ROUNDING * period).nonzero()[0])
    return float(gaps[index]), float(inside[index])

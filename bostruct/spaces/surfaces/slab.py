"""Slabs and regions as a user gives them, read and checked."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, error_message
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms, is_self_pair
from bostruct.structures import Structures, from_ase
from bostruct.structures.structure_file import read_structure_file

if TYPE_CHECKING:
    from ase import Atoms

N_POSITION_DIGITS = 6
"""Number of decimals of positions in Å that enter the digest of a slab."""


def read_slab(slab: Atoms | str | os.PathLike[str]) -> Structures:
    """Return the slab as one structure, without energies.

    Without any constraint all of its atoms are fixed. Of a file the last structure is taken.

    Raises:
        InputError: `slab` is no slab, cannot be read, has no atoms, or has other constraints than
            `FixAtoms`.
    """
    from ase import Atoms

    if isinstance(slab, str | os.PathLike):
        *_, (_, slab) = read_structure_file("slab", slab)
    if not isinstance(slab, Atoms):
        raise InputError(error_message("slab", "be ase.Atoms or the path of a file", repr(slab)))
    if len(slab) == 0:
        raise InputError(error_message("slab", "have atoms", "none"))
    structure = from_ase(slab).without_results()
    if not slab.constraints:
        structure.fixed.fill_(True)
    return structure


def check_region(region: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest height of a region.

    Raises:
        InputError: `region` is not two finite numbers in order, or all below the surface.
    """
    condition = "be two heights in Å above the slab, the lower first, the upper positive"
    numbers = isinstance(region, Sequence) and [
        float(value) for value in region if isinstance(value, int | float) and math.isfinite(value)
    ]
    if not numbers or len(region) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1] > 0:
        raise InputError(error_message("region", condition, repr(region), "Try (0, 6)."))
    return numbers[0], numbers[1]


def available_height(
    slab: Structures, plane: PeriodicPlane, normal_axis: int, contact_distance: float
) -> float:
    """Return how far above the slab its cell allows atoms to be, Å.

    The lattice vector that leaves the plane ends the cell or, where the slab repeats along it,
    leads to the next slab, which atoms should not touch; without one there is no limit.
    """
    height = (slab.positions @ plane.axes)[:, 2]
    top, bottom = float(height.max()), float(height.min())
    end = float(slab.cell[0, normal_axis] @ plane.axes[:, 2])
    if slab.pbc[0, normal_axis]:
        return bottom + end - contact_distance - top
    return end - top if end > 0 else math.inf


def check_images(plane: PeriodicPlane, normal_axis: int, min_distance: float) -> None:
    """Raise an error if atoms are closer than `min_distance` Å to their own images.

    Raises:
        SpaceError: a lattice translation is shorter.
    """
    lengths = torch.linalg.vector_norm(plane.translations(min_distance)[1:], dim=-1)
    if len(lengths) and lengths.min() < min_distance:
        condition = f"keep atoms {min_distance:.2f} Å from their own images"
        value = f"a lattice translation of {float(lengths.min()):.2f} Å"
        numbers = [str(math.ceil(min_distance / float(lengths.min())))] * 3
        numbers[normal_axis] = "1"
        hint = f"Repeat it: slab = slab.repeat(({', '.join(numbers)}))."
        raise SpaceError(error_message("slab", condition, value, hint))


def check_slab_overlaps(slab: Structures, plane: PeriodicPlane, min_distances: Tensor) -> None:
    """Raise an error if two atoms of a slab are closer than `min_distances` `[a, a]` Å.

    Raises:
        InputError: two atoms are closer.
    """
    Q = slab.positions @ plane.axes
    shifts = plane.translations(float(min_distances.max()))
    D = displacement_norms(plane.displacements(Q, Q, shifts))
    D = D.masked_fill(is_self_pair(len(Q), len(Q), shifts), torch.inf).amin(-1)
    close = (min_distances > D).nonzero()
    if len(close):
        i, j = close[0].tolist()
        first, second = (f"{k} ({slab.symbols()[k]})" for k in (i, j))
        condition = f"have its atoms {first} and {second} {float(min_distances[i, j]):.2f} Å apart"
        hint = "Mend it, or give a smaller `min_distance` or `min_distance_factor`."
        raise InputError(error_message("slab", condition, f"{float(D[i, j]):.2f} Å", hint))


def slab_digest(slab: Structures) -> str:
    """Return the SHA-256 of the slab's atoms, with positions rounded to six decimals."""
    positions = [
        [round(x, N_POSITION_DIGITS) + 0.0 for x in row] for row in slab.positions.tolist()
    ]
    labels = [slab.numbers.tolist(), slab.fixed.tolist(), slab.tags.tolist()]
    labels += [[name, *map(str, value.tolist())] for name, value in slab.electronic_state.items()]
    return hashlib.sha256(json.dumps([positions, *labels]).encode()).hexdigest()

"""Reading what a user says of a surface: the slab, and the region above it."""

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
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)
from bostruct.structures import Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms

N_POSITION_DIGITS = 6
"""Of positions in Å that count for whether two slabs are the same one."""

WIDEN_HINT = "Try slab.center(vacuum=10, axis=2)."

PERIODIC_CONDITION = "be periodic along its first two lattice vectors"


def read_slab(slab: Atoms | str | os.PathLike[str]) -> Structures:
    """Return the slab as one structure, without energies.

    Without any constraint all of its atoms are fixed.

    Raises:
        InputError: it is no slab, cannot be read, has no atoms or no cell, is not
            periodic in the plane, or has other constraints than `FixAtoms`.
    """
    from ase import Atoms
    from ase.io import read as read_file

    if isinstance(slab, str | os.PathLike):
        path = os.fspath(slab)
        try:
            slab = read_file(path)
        except Exception as error:
            condition = "be a file that ASE can read"
            reason = f"{type(error).__name__}: {error}."
            raise InputError(error_message("slab", condition, repr(path), reason)) from error
    if not isinstance(slab, Atoms):
        condition = "be ase.Atoms or the path of a file"
        raise InputError(error_message("slab", condition, repr(slab)))
    if len(slab) == 0:
        raise InputError(error_message("slab", "have atoms", "none"))
    way_out = "Set slab.pbc = (True, True, False)."
    if not (slab.pbc[0] and slab.pbc[1]):
        raise InputError(
            error_message("slab", PERIODIC_CONDITION, f"pbc {slab.pbc.tolist()}", way_out)
        )
    if not slab.cell[:2].any(axis=1).all():
        raise InputError(error_message("slab", "have a cell", slab.cell.lengths().tolist()))
    found = from_ase(slab).without_results()
    if not slab.constraints:
        found.fixed.fill_(True)
    return found


def check_region(region: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest height of a region that a user gave.

    Raises:
        InputError: it is not two finite numbers in order, or all below the surface.
    """
    condition = "be two heights in Å above the slab, the lower first, the upper positive"
    numbers = isinstance(region, Sequence) and [
        float(value) for value in region if isinstance(value, int | float) and math.isfinite(value)
    ]
    if not numbers or len(region) != 2 or len(numbers) != 2:
        raise InputError(error_message("region", condition, repr(region), "Try (0, 6)."))
    low, high = numbers
    if low >= high or high <= 0:
        raise InputError(error_message("region", condition, repr(region), "Try (0, 6)."))
    return low, high


def available_height(slab: Structures, plane: PeriodicPlane, contact_distance: float) -> float:
    """Return how far above the slab its cell allows atoms to be, Å.

    The last lattice vector ends the cell or, where the slab repeats along it, brings
    the next slab, which atoms should not touch; without one there is no end.
    """
    height = (slab.positions @ plane.axes)[:, 2]
    top, bottom = float(height.max()), float(height.min())
    end = float(slab.cell[0, 2] @ plane.axes[:, 2])
    if slab.pbc[0, 2]:
        return bottom + end - contact_distance - top
    return end - top if end > 0 else math.inf


def check_images(plane: PeriodicPlane, min_distance: float) -> None:
    """Refuse a slab on which atoms are closer than `min_distance` Å to their own images.

    Raises:
        SpaceError: they are.
    """
    images = plane.translations(min_distance)[1:]
    across = torch.linalg.vector_norm(images, dim=-1)
    if len(images) and across.min() < min_distance:
        condition = f"keep atoms {min_distance:.2f} Å from their own images"
        got = f"a lattice translation of {float(across.min()):.2f} Å"
        raise SpaceError(error_message("slab", condition, got, "Repeat it."))


def check_slab_overlaps(slab: Structures, plane: PeriodicPlane, min_distances: Tensor) -> None:
    """Refuse a slab of which two atoms are closer than `min_distances` `[a, a]` Å.

    Raises:
        InputError: they are.
    """
    Q = slab.positions @ plane.axes
    shifts = plane.translations(float(min_distances.max()))
    D = displacement_norms(plane.displacements(Q, Q, shifts))
    D = D.masked_fill(is_self_pair(len(Q), len(Q), shifts), torch.inf).amin(-1)
    close = (min_distances > D).nonzero()
    if len(close):
        i, j = close[0].tolist()
        one, two = (f"{k} ({slab.symbols()[k]})" for k in (i, j))
        condition = f"have its atoms {one} and {two} {float(min_distances[i, j]):.2f} Å apart"
        way_out = "Mend it, or give a smaller `min_distance` or `min_distance_factor`."
        raise InputError(error_message("slab", condition, f"{float(D[i, j]):.2f} Å", way_out))


def slab_digest(slab: Structures) -> str:
    """Return a fingerprint of the slab's atoms; the last digits do not count."""
    places = [[round(x, N_POSITION_DIGITS) + 0.0 for x in row] for row in slab.positions.tolist()]
    labels = [slab.numbers.tolist(), slab.fixed.tolist(), slab.tags.tolist()]
    text = json.dumps([places, *labels])
    return hashlib.sha256(text.encode()).hexdigest()

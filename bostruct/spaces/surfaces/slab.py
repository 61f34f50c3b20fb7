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

from bostruct.errors import InputError, SpaceError, must
from bostruct.spaces.surfaces.periodic_plane import Plane, itself, norm
from bostruct.structures import Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms

DIGITS = 6
"""Of positions in Å that count for whether two slabs are the same one."""

WIDEN = "Try slab.center(vacuum=10, axis=2)."

PERIODIC = "be periodic along its first two lattice vectors"


def read(slab: Atoms | str | os.PathLike[str]) -> Structures:
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
            raise InputError(must("slab", condition, repr(path), reason)) from error
    if not isinstance(slab, Atoms):
        condition = "be ase.Atoms or the path of a file"
        raise InputError(must("slab", condition, repr(slab)))
    if len(slab) == 0:
        raise InputError(must("slab", "have atoms", "none"))
    way_out = "Set slab.pbc = (True, True, False)."
    if not (slab.pbc[0] and slab.pbc[1]):
        raise InputError(must("slab", PERIODIC, f"pbc {slab.pbc.tolist()}", way_out))
    if not slab.cell[:2].any(axis=1).all():
        raise InputError(must("slab", "have a cell", slab.cell.lengths().tolist()))
    found = from_ase(slab).without_results()
    if not slab.constraints:
        found.fixed.fill_(True)
    return found


def heights(given: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest height of a region that a user gave.

    Raises:
        InputError: it is not two finite numbers in order, or all below the surface.
    """
    condition = (
        "be two heights in Å above the slab, the lower first, the upper positive"
    )
    numbers = isinstance(given, Sequence) and [
        float(value)
        for value in given
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    if not numbers or len(given) != 2 or len(numbers) != 2:
        raise InputError(must("region", condition, repr(given), "Try (0, 6)."))
    low, high = numbers
    if low >= high or high <= 0:
        raise InputError(must("region", condition, repr(given), "Try (0, 6)."))
    return low, high


def room(slab: Structures, plane: Plane, touch: float) -> float:
    """Return how far above the slab its cell allows atoms to be, Å.

    The last lattice vector ends the cell or, where the slab repeats along it, brings
    the next slab, which atoms should not touch; without one there is no end.
    """
    height = (slab.positions @ plane.frame)[:, 2]
    top, bottom = float(height.max()), float(height.min())
    end = float(slab.cell[0, 2] @ plane.frame[:, 2])
    if slab.pbc[0, 2]:
        return bottom + end - touch - top
    return end - top if end > 0 else math.inf


def check_images(plane: Plane, least: float) -> None:
    """Refuse a slab on which atoms are closer than `least` Å to their own images.

    Raises:
        SpaceError: they are.
    """
    images = plane.translations(least)[1:]
    across = torch.linalg.vector_norm(images, dim=-1)
    if len(images) and across.min() < least:
        condition = f"keep atoms {least:.2f} Å from their own images"
        got = f"a lattice translation of {float(across.min()):.2f} Å"
        raise SpaceError(must("slab", condition, got, "Repeat it."))


def check_apart(slab: Structures, plane: Plane, least: Tensor) -> None:
    """Refuse a slab of which two atoms are closer than `least` `[a, a]` Å.

    Raises:
        InputError: they are.
    """
    Q = slab.positions @ plane.frame
    shifts = plane.translations(float(least.max()))
    D = norm(plane.gaps(Q, Q, shifts))
    D = D.masked_fill(itself(len(Q), len(Q), shifts), torch.inf).amin(-1)
    close = (least > D).nonzero()
    if len(close):
        i, j = close[0].tolist()
        one, two = (f"{k} ({slab.symbols()[k]})" for k in (i, j))
        condition = f"have its atoms {one} and {two} {float(least[i, j]):.2f} Å apart"
        way_out = "Mend it, or give a smaller `minimum_distance` or `closeness`."
        raise InputError(must("slab", condition, f"{float(D[i, j]):.2f} Å", way_out))


def digest(slab: Structures) -> str:
    """Return a fingerprint of the slab's atoms; the last digits do not count."""
    places = [[round(x, DIGITS) + 0.0 for x in row] for row in slab.positions.tolist()]
    labels = [slab.numbers.tolist(), slab.fixed.tolist(), slab.tags.tolist()]
    text = json.dumps([places, *labels])
    return hashlib.sha256(text.encode()).hexdigest()

"""Symmetries of a parent structure, as permutations of its sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, must
from bostruct.spaces.alloys.parent_lattice import hushed

if TYPE_CHECKING:
    from ase import Atoms

PRECISION = 0.01
"""Å. A site that a symmetry maps this near to another is mapped onto it."""

VACUUM = 15.0
"""Å between a slab and its images, so that it has no symmetry across them."""

Array = np.ndarray[Any, np.dtype[Any]]


def permutations(parent: Atoms, kinds: Array) -> Tensor:
    """Return all permutations of the sites by symmetry, `[g, a]` int64.

    Site p of a permuted structure holds what site P[g, p] held. Translations by less
    than the cell are among them. Crystals and slabs are done by spglib; of a cluster
    all isometries are found, among them those that no crystal has.

    Args:
        parent: positions, cell and pbc; periodic along three axes, two or none.
        kinds: `[a]` int; a symmetry maps a site to one of its kind.

    Raises:
        InputError: the parent repeats along one axis, or two sites coincide.
    """
    periodic = int(parent.pbc.sum())
    if periodic == 1:
        condition = "repeat along three axes, two or none"
        way_out = "Put a chain in a cell that repeats in all directions."
        raise InputError(must("parent", condition, "one", way_out))
    _check_apart(parent)
    if not periodic:
        return torch.from_numpy(_isometries(parent.get_positions(), kinds))
    return torch.from_numpy(_crystal(parent, kinds))


def _check_apart(parent: Atoms) -> None:
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", parent, 10 * PRECISION)
    if len(i):
        condition = "have sites apart from each other"
        found = f"sites {i[0]} and {j[0]} in one place"
        raise InputError(must("parent", condition, found))


def _crystal(parent: Atoms, kinds: Array) -> Array:
    """Return the permutations of a crystal or slab, `[g, a]`."""
    import spglib
    from scipy.spatial import KDTree

    cell = np.array(parent.cell.array)
    if not parent.pbc.all():
        axis = int(np.flatnonzero(~parent.pbc)[0])
        one, two = (cell[i] for i in range(3) if i != axis)
        normal = np.cross(one, two)
        normal /= np.linalg.norm(normal)
        height = np.ptp(parent.get_positions() @ normal)
        cell[axis] = normal * (height + VACUUM)
    F = parent.get_positions() @ np.linalg.inv(cell)  # [a, 3]
    described: Any = (cell, F, kinds)
    with hushed():
        found = spglib.get_symmetry(described, symprec=PRECISION)
    if found is None:
        condition = "have a symmetry that spglib finds"
        raise InputError(must("parent", condition, parent.get_chemical_formula()))
    turned = np.einsum("gij,aj->gai", found["rotations"], F)
    turned += found["translations"][:, None]
    # the nearest in fractions is the nearest, as images lie on sites
    sites = KDTree(_wrapped(F), boxsize=1.0)
    found_at = sites.query(_wrapped(turned).reshape(-1, 3))[1]
    return _whole(found_at.reshape(len(turned), len(F)), kinds)


def _wrapped(F: Array) -> Array:
    """Return fractions from 0 to below 1; rounding may make 1 of what is below 0."""
    inside = F % 1.0
    return np.where(inside < 1.0, inside, 0.0)


def _whole(P: Array, kinds: Array) -> Array:
    """Return each permutation once, without what is none."""
    sound = (np.sort(P, axis=-1) == np.arange(P.shape[-1])).all(-1)
    sound &= (kinds[P] == kinds).all(-1)
    return np.unique(P[sound], axis=0)


def _isometries(R: Array, kinds: Array) -> Array:
    """Return the permutations of a cluster that keep all distances, `[g, a]`.

    Where d + 1 sites that span the cluster go decides where all others go, as they are
    told apart by their distances to these.
    """
    D = np.linalg.norm(R[:, None] - R[None], axis=-1)  # [a, a]
    alike = _lookalikes(D, kinds)  # [a, a]
    frame = _frame(R, alike.sum(-1))
    partial: list[list[int]] = [[]]
    for depth, site in enumerate(frame):
        grown = []
        for images in partial:
            near = np.abs(D[:, images] - D[site, frame[:depth]]) < PRECISION
            fits = alike[site] & near.all(-1)
            grown += [[*images, int(image)] for image in np.flatnonzero(fits)]
        partial = grown
    rows = []
    for images in partial:
        gap = np.abs(D[:, None, images] - D[None, :, frame]).max(-1)  # image, site
        rows.append(np.where(alike, gap, np.inf).argmin(-1))
    P = _whole(np.array(rows), kinds)
    kept = [p for p in P if np.abs(D[np.ix_(p, p)] - D).max() < 4 * PRECISION]
    return np.array(kept)


def _lookalikes(D: Array, kinds: Array) -> Array:
    """Return which sites see the same distances to the same kinds, `[a, a]`."""
    alike = kinds[:, None] == kinds[None]
    for kind in np.unique(kinds):
        seen = np.sort(D[:, kinds == kind], axis=-1)
        alike &= np.abs(seen[:, None] - seen[None]).max(-1) < 4 * PRECISION
    return np.asarray(alike)


def _frame(R: Array, freedom: Array) -> list[int]:
    """Return sites that span the cluster, those with few lookalikes first."""
    frame: list[int] = []
    for site in np.argsort(freedom, kind="stable").tolist():
        trial = R[[*frame, site]] - R[frame[0] if frame else site]
        singular = np.linalg.svd(trial, compute_uv=False)
        if (singular > 10 * PRECISION).sum() == len(frame):
            frame.append(site)
        if len(frame) == 4:
            break
    return frame

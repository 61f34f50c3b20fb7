"""Symmetries of a parent structure, as permutations of its sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces.alloys.parent_lattice import suppress_spglib_warnings

if TYPE_CHECKING:
    from ase import Atoms

SYMMETRY_TOLERANCE = 0.01
"""Å. A site that a symmetry maps this near to another is mapped onto it."""

SLAB_VACUUM = 15.0
"""Å between a slab and its images, so that it has no symmetry across them."""

Array = np.ndarray[Any, np.dtype[Any]]


def symmetry_permutations(parent: Atoms, site_kinds: Array) -> Tensor:
    """Return all permutations of the sites by symmetry, `[g, a]` int64.

    Site p of a permuted structure holds what site P[g, p] held. Translations by less
    than the cell are among them. Crystals and slabs are done by spglib; of a cluster
    all isometries are found, among them those that no crystal has.

    Args:
        parent: positions, cell and pbc; periodic along three axes, two or none.
        site_kinds: `[a]` int; a symmetry maps a site to one of its kind.

    Raises:
        InputError: the parent repeats along one axis, or two sites coincide.
    """
    periodic = int(parent.pbc.sum())
    if periodic == 1:
        condition = "repeat along three axes, two or none"
        way_out = "Put a chain in a cell that repeats in all directions."
        raise InputError(error_message("parent", condition, "one", way_out))
    _check_distinct_sites(parent)
    if not periodic:
        return torch.from_numpy(_isometric_permutations(parent.get_positions(), site_kinds))
    return torch.from_numpy(_crystal_permutations(parent, site_kinds))


def _check_distinct_sites(parent: Atoms) -> None:
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", parent, 10 * SYMMETRY_TOLERANCE)
    if len(i):
        condition = "have sites apart from each other"
        found = f"sites {i[0]} and {j[0]} in one place"
        raise InputError(error_message("parent", condition, found))


def _crystal_permutations(parent: Atoms, site_kinds: Array) -> Array:
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
        cell[axis] = normal * (height + SLAB_VACUUM)
    F = parent.get_positions() @ np.linalg.inv(cell)  # [a, 3]
    described: Any = (cell, F, site_kinds)
    with suppress_spglib_warnings():
        found = spglib.get_symmetry(described, symprec=SYMMETRY_TOLERANCE)
    if found is None:
        condition = "have a symmetry that spglib finds"
        raise InputError(error_message("parent", condition, parent.get_chemical_formula()))
    turned = np.einsum("gij,aj->gai", found["rotations"], F)
    turned += found["translations"][:, None]
    # the nearest in fractions is the nearest, as images lie on sites
    sites = KDTree(_wrap_fractional(F), boxsize=1.0)
    found_at = sites.query(_wrap_fractional(turned).reshape(-1, 3))[1]
    return _valid_permutations(found_at.reshape(len(turned), len(F)), site_kinds)


def _wrap_fractional(F: Array) -> Array:
    """Return fractions from 0 to below 1; rounding may make 1 of what is below 0."""
    inside = F % 1.0
    return np.where(inside < 1.0, inside, 0.0)


def _valid_permutations(P: Array, site_kinds: Array) -> Array:
    """Return each permutation once, without what is none."""
    sound = (np.sort(P, axis=-1) == np.arange(P.shape[-1])).all(-1)
    sound &= (site_kinds[P] == site_kinds).all(-1)
    return np.unique(P[sound], axis=0)


def _isometric_permutations(R: Array, site_kinds: Array) -> Array:
    """Return the permutations of a cluster that keep all distances, `[g, a]`.

    Where d + 1 sites that span the cluster go decides where all others go, as they are
    told apart by their distances to these.
    """
    D = np.linalg.norm(R[:, None] - R[None], axis=-1)  # [a, a]
    alike = _equivalent_sites(D, site_kinds)  # [a, a]
    frame = _spanning_sites(R, alike.sum(-1))
    partial: list[list[int]] = [[]]
    for depth, site in enumerate(frame):
        grown = []
        for images in partial:
            near = np.abs(D[:, images] - D[site, frame[:depth]]) < SYMMETRY_TOLERANCE
            fits = alike[site] & near.all(-1)
            grown += [[*images, int(image)] for image in np.flatnonzero(fits)]
        partial = grown
    rows = []
    for images in partial:
        gap = np.abs(D[:, None, images] - D[None, :, frame]).max(-1)  # image, site
        rows.append(np.where(alike, gap, np.inf).argmin(-1))
    P = _valid_permutations(np.array(rows), site_kinds)
    kept = [p for p in P if np.abs(D[np.ix_(p, p)] - D).max() < 4 * SYMMETRY_TOLERANCE]
    return np.array(kept)


def _equivalent_sites(D: Array, site_kinds: Array) -> Array:
    """Return which sites see the same distances to the same kinds, `[a, a]`."""
    alike = site_kinds[:, None] == site_kinds[None]
    for kind in np.unique(site_kinds):
        seen = np.sort(D[:, site_kinds == kind], axis=-1)
        alike &= np.abs(seen[:, None] - seen[None]).max(-1) < 4 * SYMMETRY_TOLERANCE
    return np.asarray(alike)


def _spanning_sites(R: Array, n_equivalent: Array) -> list[int]:
    """Return sites that span the cluster, those with few lookalikes first."""
    frame: list[int] = []
    for site in np.argsort(n_equivalent, kind="stable").tolist():
        trial = R[[*frame, site]] - R[frame[0] if frame else site]
        singular = np.linalg.svd(trial, compute_uv=False)
        if (singular > 10 * SYMMETRY_TOLERANCE).sum() == len(frame):
            frame.append(site)
        if len(frame) == 4:
            break
    return frame

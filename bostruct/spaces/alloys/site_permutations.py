"""Site permutations: symmetries of a parent structure as permutations of its sites."""

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
"""Largest distance in Å between a site and the image of another that is mapped onto it."""

SLAB_VACUUM = 15.0
"""Distance in Å between a slab and its images, so that no symmetry relates them."""

Array = np.ndarray[Any, np.dtype[Any]]


def symmetry_permutations(parent: Atoms, site_kinds: Array) -> Tensor:
    """Return all permutations of the sites by symmetry, `[g, a]` int64.

    Site p of a permuted structure holds the species of site P[g, p]. Translations by less than the
    cell are included. Crystals and slabs are analyzed by spglib; of a cluster all isometries are
    found, non-crystallographic ones included.

    Args:
        parent: positions, cell and pbc; periodic along three axes, two or none.
        site_kinds: `[a]` int, kind of each site; a symmetry maps a site to one of its kind.

    Raises:
        InputError: the parent is periodic along one axis, or two sites coincide.
    """
    n_periodic = int(parent.pbc.sum())
    if n_periodic == 1:
        condition = "repeat along three axes, two or none"
        hint = "Put a chain in a cell that repeats in all directions."
        raise InputError(error_message("parent", condition, "one", hint))
    _check_distinct_sites(parent)
    if not n_periodic:
        return torch.from_numpy(_isometric_permutations(parent.get_positions(), site_kinds))
    return torch.from_numpy(_crystal_permutations(parent, site_kinds))


def _check_distinct_sites(parent: Atoms) -> None:
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", parent, 10 * SYMMETRY_TOLERANCE)
    if len(i):
        value = f"sites {i[0]} and {j[0]} in one place"
        raise InputError(error_message("parent", "have sites apart from each other", value))


def _crystal_permutations(parent: Atoms, site_kinds: Array) -> Array:
    """Return the permutations of a crystal or slab, `[g, a]`."""
    import spglib
    from scipy.spatial import KDTree

    cell = np.array(parent.cell.array)
    if not parent.pbc.all():
        axis = int(np.flatnonzero(~parent.pbc)[0])
        normal = np.cross(*np.delete(cell, axis, 0))
        normal /= np.linalg.norm(normal)
        height = np.ptp(parent.get_positions() @ normal)
        cell[axis] = normal * (height + SLAB_VACUUM)
    F = parent.get_positions() @ np.linalg.inv(cell)  # [a, 3]
    spglib_cell: Any = (cell, F, site_kinds)
    with suppress_spglib_warnings():
        symmetry = spglib.get_symmetry(spglib_cell, symprec=SYMMETRY_TOLERANCE)
    if symmetry is None:
        condition = "have a symmetry that spglib finds"
        raise InputError(error_message("parent", condition, parent.get_chemical_formula()))
    images = np.einsum("gij,aj->gai", symmetry["rotations"], F)
    images += symmetry["translations"][:, None]
    # images lie on sites, so that the nearest site in fractional coordinates is the nearest
    tree = KDTree(_wrap_fractional(F), boxsize=1.0)
    P = tree.query(_wrap_fractional(images).reshape(-1, 3))[1]
    return _valid_permutations(P.reshape(len(images), len(F)), site_kinds)


def _wrap_fractional(F: Array) -> Array:
    """Return fractions from 0 to below 1, also where rounding makes 1 of a value below 0."""
    wrapped = F % 1.0
    return np.where(wrapped < 1.0, wrapped, 0.0)


def _valid_permutations(P: Array, site_kinds: Array) -> Array:
    """Return each row that is a permutation of sites of the same kinds, once."""
    valid = (np.sort(P, axis=-1) == np.arange(P.shape[-1])).all(-1)
    valid &= (site_kinds[P] == site_kinds).all(-1)
    return np.unique(P[valid], axis=0)


def _isometric_permutations(R: Array, site_kinds: Array) -> Array:
    """Return the permutations of a cluster that keep all distances, `[g, a]`.

    The images of d + 1 sites that span the cluster determine those of all others, which differ in
    their distances to these.
    """
    D = np.linalg.norm(R[:, None] - R[None], axis=-1)  # [a, a]
    equivalent = _equivalent_sites(D, site_kinds)  # [a, a]
    frame = _spanning_sites(R, equivalent.sum(-1))
    frame_images: list[list[int]] = [[]]
    for depth, site in enumerate(frame):
        extended = []
        for images in frame_images:
            near = np.abs(D[:, images] - D[site, frame[:depth]]) < SYMMETRY_TOLERANCE
            fits = equivalent[site] & near.all(-1)
            extended += [[*images, int(image)] for image in np.flatnonzero(fits)]
        frame_images = extended
    rows = []
    for images in frame_images:
        difference = np.abs(D[:, None, images] - D[None, :, frame]).max(-1)  # image, site
        rows.append(np.where(equivalent, difference, np.inf).argmin(-1))
    P = _valid_permutations(np.array(rows), site_kinds)
    return np.array([p for p in P if np.abs(D[np.ix_(p, p)] - D).max() < 4 * SYMMETRY_TOLERANCE])


def _equivalent_sites(D: Array, site_kinds: Array) -> Array:
    """Return which sites have the same distances to the same kinds, `[a, a]`."""
    equivalent = site_kinds[:, None] == site_kinds[None]
    for kind in np.unique(site_kinds):
        distances = np.sort(D[:, site_kinds == kind], axis=-1)
        difference = np.abs(distances[:, None] - distances[None]).max(-1)
        equivalent &= difference < 4 * SYMMETRY_TOLERANCE
    return np.asarray(equivalent)


def _spanning_sites(R: Array, n_equivalent: Array) -> list[int]:
    """Return sites that span the cluster, those with few equivalent ones first."""
    frame: list[int] = []
    for site in np.argsort(n_equivalent, kind="stable").tolist():
        trial = R[[*frame, site]] - R[frame[0] if frame else site]
        singular = np.linalg.svd(trial, compute_uv=False)
        if (singular > 10 * SYMMETRY_TOLERANCE).sum() == len(frame):
            frame.append(site)
        if len(frame) == 4:
            break
    return frame

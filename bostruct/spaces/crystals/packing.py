"""Packing of many crystals at once: heights of cells, overlaps, cells reduced.

Notation
    F   [n, a, 3]        fractional coordinates
    H   [n, 3, 3]   Å    cells, right-handed
    W   [a, a]      Å    minimum distances, those of an atom and its own images on the diagonal

Compiled loops run on the CPU in float64; results are returned on the device and in the dtype given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.crystals.image_distances_numba import (
    closest_ratios,
    nearest_distances,
    push_atoms,
)
from bostruct.spaces.crystals.minkowski_reduction_numba import reduce_all

N_PUSH_STEPS = 40
"""Number of steps that push atoms apart."""


def cell_heights(H: Tensor) -> Tensor:
    """Return the distances of opposite faces of cells `[..., 3, 3]` Å, `[..., 3]` Å."""
    volume = torch.linalg.det(H).abs().unsqueeze(-1)
    areas = torch.linalg.vector_norm(torch.linalg.cross(H.roll(-1, -2), H.roll(-2, -2)), dim=-1)
    heights: Tensor = volume / areas
    return heights


def cell_angles(H: Tensor) -> Tensor:
    """Return the angles alpha, beta, gamma of cells `[..., 3, 3]` Å, `[..., 3]` degrees."""
    unit = H / torch.linalg.vector_norm(H, dim=-1, keepdim=True)
    cosines = (unit.roll(-1, -2) * unit.roll(-2, -2)).sum(-1)
    return torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))


def center_atoms(F: Tensor) -> Tensor:
    """Return fractional coordinates `[..., a, 3]` shifted such that their mean is a half."""
    return F - F.mean(-2, keepdim=True) + 0.5


def wrap_atoms(F: Tensor) -> Tensor:
    """Return fractional coordinates `[..., a, 3]` between 0 and 1, centered afterwards."""
    return center_atoms(F - F.floor())


def reduced(F: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Return crystals in Minkowski-reduced cells, wrapped where a cell was changed."""
    cells = H.detach().cpu().double().contiguous().clone()
    transforms = torch.empty_like(cells)
    reduce_all(cells.numpy(), transforms.numpy())
    changed = (transforms != torch.eye(3, dtype=torch.float64)).any(-1).any(-1)
    inverse = torch.linalg.inv(transforms).round().to(F)
    is_changed = changed.to(F.device).reshape(-1, 1, 1)
    F = torch.where(is_changed, wrap_atoms(F @ inverse), F)
    return F, torch.where(is_changed, cells.to(H), H)


def least_distance_ratios(F: Tensor, H: Tensor, W: Tensor) -> Tensor:
    """Return the least distance over minimum distance of each crystal, at most 1, `[n]`.

    All periodic images count, those of an atom itself too.
    """
    ratios = torch.ones(len(F), dtype=torch.float64)
    f, h = (value.detach().cpu().double().contiguous() for value in (F, H))
    heights = cell_heights(h).numpy()
    closest_ratios(f.numpy(), h.numpy(), heights, W.numpy(), ratios.numpy())
    return ratios.to(F.device)


def push_apart(
    F: Tensor, H: Tensor, W: Tensor, n_steps: int = N_PUSH_STEPS, n_strained_axes: int = 3
) -> tuple[Tensor, Tensor]:
    """Return crystals after atoms that are too close have pushed each other apart.

    The cell is strained along, at constant volume. Symmetric crystals stay symmetric.

    Args:
        F: fractional coordinates.
        H: cells, Å.
        W: minimum distances, Å.
        n_steps: number of steps.
        n_strained_axes: 3 strains cells, 2 strains them in the plane of x and y, 0 keeps them.
    """
    f, h = (value.detach().cpu().double().contiguous().clone() for value in (F, H))
    push_atoms(f.numpy(), h.numpy(), W.numpy(), n_steps, n_strained_axes)
    return f.to(F), h.to(H)


def neighbor_distances(F: Tensor, H: Tensor, species: Tensor, cutoff: float, k: int) -> Tensor:
    """Return the distances to the k nearest atoms of each species, `[n, a, species, k]` Å.

    Args:
        F: fractional coordinates.
        H: cells, Å.
        species: `[a]` int64 index of the species of each atom.
        cutoff: largest distance, Å; all longer ones are set to it.
        k: number of neighbors of each species.
    """
    f, h = (value.detach().cpu().double().contiguous() for value in (F, H))
    nearest = torch.empty(*f.shape[:2], int(species.max()) + 1, k, dtype=torch.float64)
    kinds, heights = species.cpu().numpy(), cell_heights(h).numpy()
    nearest_distances(f.numpy(), h.numpy(), heights, kinds, cutoff, nearest.numpy())
    return nearest.to(F)

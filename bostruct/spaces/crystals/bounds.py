"""Bounds of a crystal that are active: minimum distances, and the thickness of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.bounds import pair_name
from bostruct.structures import Structures
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list


def distance_bounds(structure: Structures, min_distances: Tensor) -> list[ActiveBound]:
    """Return the minimum distances that are active, each with its closest pair.

    An atom and its own image have no force between them: their bound names no atoms.

    Args:
        structure: one crystal.
        min_distances: `[a, a]` Å, those of an atom and its own images on the diagonal.
    """
    cutoff = (1 + 2 * BOUND_TOLERANCE) * float(min_distances.max())
    pairs = build_neighbor_list(structure, cutoff)
    vectors = pairs.vectors(structure.positions, structure.cell)
    distances = torch.linalg.vector_norm(vectors, dim=-1)
    limits = min_distances[pairs.center, pairs.neighbor]
    ratio, numbers = distances / limits, structure.numbers.tolist()
    bounds: dict[str, ActiveBound] = {}
    for k in ratio.argsort(stable=True).tolist():
        if ratio[k] > 1 + BOUND_TOLERANCE:
            break
        i, j = int(pairs.center[k]), int(pairs.neighbor[k])
        pair = pair_name(numbers[i], numbers[j])
        if pair in bounds:
            continue
        towards = vectors[k] / distances[k]
        atoms = torch.tensor([i, j] if i != j else [], dtype=torch.int64)
        outward = torch.stack((towards, -towards))[: len(atoms)]
        bounds[pair] = ActiveBound("min_distance", float(limits[k]), pair, atoms, outward)
    return list(bounds.values())


def thickness_bounds(structure: Structures, thickness: float) -> list[ActiveBound]:
    """Return the bound on the thickness where it is active, with the lowest and highest atoms.

    Args:
        structure: one layer, its normal along z.
        thickness: largest difference of heights, Å.
    """
    z = structure.positions[:, 2]
    if float(z.max() - z.min()) < (1 - BOUND_TOLERANCE) * thickness:
        return []
    margin = BOUND_TOLERANCE * thickness
    is_top, is_bottom = z > z.max() - margin, z < z.min() + margin
    atoms = (is_top | is_bottom).nonzero().flatten()
    outward = torch.zeros(len(atoms), 3).to(z)
    outward[:, 2] = torch.where(is_top[atoms], 1.0, -1.0)
    return [ActiveBound("thickness", thickness, "", atoms, outward)]

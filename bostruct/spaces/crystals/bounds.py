"""Bounds of a crystal that are active: minimum distances."""

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

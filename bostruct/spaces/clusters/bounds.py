"""Bounds of a cluster that are active: the sphere, minimum distances, the largest gap."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.packing import distance_matrix
from bostruct.spaces.connectivity import widest_gap
from bostruct.structures import SYMBOLS


def sphere_bound(P: Tensor, radius: float) -> ActiveBound | None:
    """Return the sphere as a bound, None if no atom is at it.

    Args:
        P: `[a, 3]` Å, positions about its center.
        radius: radius of the sphere, Å.
    """
    distance = torch.linalg.vector_norm(P, dim=-1)
    atoms = (distance >= radius * (1 - BOUND_TOLERANCE)).nonzero().squeeze(-1)
    if not len(atoms):
        return None
    return ActiveBound("radius", radius, "", atoms, P[atoms] / distance[atoms].unsqueeze(-1))


def distance_bounds(P: Tensor, min_distances: Tensor, numbers: Tensor) -> list[ActiveBound]:
    """Return the minimum distances that are active, each with its closest pair.

    Args:
        P: `[a, 3]` Å.
        min_distances: `[a, a]` Å, zero on the diagonal.
        numbers: `[a]` atomic numbers.
    """
    D, a = distance_matrix(P), len(P)
    ratio = torch.where(min_distances > 0, D / min_distances.clamp(min=1e-300), torch.inf)
    bounds = {}
    for index in ratio.flatten().argsort(stable=True).tolist():
        i, j = divmod(index, a)
        if ratio[i, j] > 1 + BOUND_TOLERANCE:
            break
        pair = pair_name(int(numbers[i]), int(numbers[j]))
        if pair not in bounds and D[i, j] > 0:
            limit = float(min_distances[i, j])
            bounds[pair] = _pair_bound("min_distance", limit, pair, P, i, j)
    return list(bounds.values())


def gap_bound(
    P: Tensor, bond_lengths: Tensor, max_gap_factor: float, numbers: Tensor
) -> ActiveBound | None:
    """Return the largest gap as a bound, None if parts of the cluster are not that far apart.

    Args:
        P: `[a, 3]` Å.
        bond_lengths: `[a, a]` Å, zero on the diagonal.
        max_gap_factor: largest distance of connected atoms, in bond lengths, or infinity.
        numbers: `[a]` atomic numbers.
    """
    ratio = distance_matrix(P) / (bond_lengths + torch.eye(len(P)).to(P))
    i, j = widest_gap(ratio)
    if i == j or ratio[i, j] < max_gap_factor * (1 - BOUND_TOLERANCE):
        return None
    limit = max_gap_factor * float(bond_lengths[i, j])
    pair = pair_name(int(numbers[i]), int(numbers[j]))
    return _pair_bound("max_gap_factor", limit, pair, P, i, j, apart=True)


def pair_name(first: int, second: int) -> str:
    """Return the name of a pair of elements, such as "Au-Cu", from their atomic numbers."""
    return "-".join(sorted((SYMBOLS[first], SYMBOLS[second])))


def _pair_bound(
    argument: str, limit: float, pair: str, P: Tensor, i: int, j: int, apart: bool = False
) -> ActiveBound:
    """Return a bound that keeps two atoms apart, or together if they must not move `apart`."""
    towards = (P[j] - P[i]) / torch.linalg.vector_norm(P[j] - P[i])
    towards = -towards if apart else towards
    atoms = torch.tensor([i, j], device=P.device)
    return ActiveBound(argument, limit, pair, atoms, torch.stack((towards, -towards)))

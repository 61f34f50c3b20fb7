"""Bounds of structures on a slab that are active: the range of heights, minimum distances."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.bounds import pair_name
from bostruct.spaces.surfaces.periodic_plane import displacement_norms, is_self_pair
from bostruct.spaces.surfaces.slab_template import SlabTemplate


def height_bounds(
    heights: Tensor, region: tuple[float, float], template: SlabTemplate
) -> list[ActiveBound]:
    """Return the ends of the range of heights at which atoms are.

    Args:
        heights: `[f]` Å, of the atoms that move, above the topmost atom of the slab.
        region: lowest and highest height, Å.
        template: parts that all structures on the slab share.
    """
    tolerance = BOUND_TOLERANCE * float(template.bond_lengths[: len(heights)].mean())
    normal = template.plane.axes[:, 2]
    bounds = []
    for limit, sign in zip(region, (-1, 1), strict=True):
        atoms = (sign * (heights - limit) >= -tolerance).nonzero().squeeze(-1)
        if len(atoms):
            outward = sign * normal.expand(len(atoms), 3)
            indices = template.free_first_order[atoms]
            bounds.append(ActiveBound("region", limit, "", indices, outward))
    return bounds


def distance_bounds(Q: Tensor, template: SlabTemplate) -> list[ActiveBound]:
    """Return the minimum distances that are active, each with its closest pair.

    Args:
        Q: `[a, 3]` Å, positions along the axes of the plane, atoms that move first.
        template: parts that all structures on the slab share.
    """
    f, a = template.min_distances.shape
    shifts = template.contact_translations
    vectors = template.plane.displacements(Q[:f], Q, shifts)
    D = displacement_norms(vectors).masked_fill(is_self_pair(f, a, shifts), torch.inf)
    ratio, image = (D / template.min_distances.unsqueeze(-1)).min(-1)  # [f, a]
    order, numbers = template.free_first_order, template.numbers
    bounds = {}
    for index in ratio.flatten().argsort(stable=True).tolist():
        i, j = divmod(index, a)
        if ratio[i, j] > 1 + BOUND_TOLERANCE:
            break
        pair = pair_name(int(numbers[order[i]]), int(numbers[order[j]]))
        if pair in bounds:
            continue
        k = int(image[i, j])
        from_other = torch.stack([c.expand_as(D)[i, j, k] for c in vectors]) / D[i, j, k]
        towards = -(template.plane.axes @ from_other)
        moves = j < f and i != j
        atoms = order[[i, j]] if moves else order[[i]]
        outward = torch.stack((towards, -towards)) if moves else towards.unsqueeze(0)
        limit = float(template.min_distances[i, j])
        bounds[pair] = ActiveBound("min_distance", limit, pair, atoms, outward)
    return list(bounds.values())

"""What is compared of two structures of a space, and how much it may differ."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.fingerprint_distance import MAX_CHUNK_ELEMENTS
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)

MAX_NEIGHBORS_PER_SPECIES = 16
"""Neighbors of each species that an atom on a surface looks at."""


def environment_fingerprint(
    Q: Tensor, n_free: int, numbers: Tensor, plane: PeriodicPlane, cutoff: float
) -> Tensor:
    """Return the surroundings of atoms that move on a surface, `[..., k]` Å.

    For each pair of species A and B: the distances from an A that moves to its first,
    second, third ... B, periodic images included, each column sorted over the atoms A.
    What maps the surface onto itself leaves them as they are, whatever it is.

    Args:
        Q: `[..., a, 3]` Å along the axes of the plane; the first f atoms move.
        n_free: see Q.
        numbers: `[a]`, the species.
        plane: of the surface.
        cutoff: Å, what is further away counts as there.
    """
    shifts = plane.translations(cutoff)
    a = Q.shape[-2]
    own = is_self_pair(n_free, a, shifts)
    kinds = sorted(set(numbers.tolist()))
    members = [(numbers == kind).nonzero().squeeze(-1).to(Q.device) for kind in kinds]
    flat = Q.reshape(-1, a, 3)
    found = []
    for part in flat.split(max((MAX_CHUNK_ELEMENTS >> 3) // (n_free * a * len(shifts)), 1)):
        D = displacement_norms(plane.displacements(part[:, :n_free], part, shifts)).masked_fill(
            own, torch.inf
        )
        D = D.clamp(max=cutoff)
        columns = []
        for to in members:
            near = D[:, :, to].flatten(-2)  # [n, f, images of B]
            near = near.topk(min(MAX_NEIGHBORS_PER_SPECIES, near.shape[-1]), largest=False).values
            for start in members:
                rows = start[start < n_free]
                columns.append(near[:, rows].sort(1).values.flatten(1))
        found.append(torch.cat(columns, -1))
    made = torch.cat(found)
    return made.reshape(*Q.shape[:-2], made.shape[-1])

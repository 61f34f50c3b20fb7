"""What is compared of two structures of a space, and how much it may differ."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.fingerprint_distance import LARGEST
from bostruct.spaces.surfaces.periodic_plane import Plane, itself, norm

NEAREST = 16
"""Neighbors of each species that an atom on a surface looks at."""


def surroundings(
    Q: Tensor, f: int, numbers: Tensor, plane: Plane, reach: float
) -> Tensor:
    """Return the surroundings of atoms that move on a surface, `[..., k]` Å.

    For each pair of species A and B: the distances from an A that moves to its first,
    second, third ... B, periodic images included, each column sorted over the atoms A.
    What maps the surface onto itself leaves them as they are, whatever it is.

    Args:
        Q: `[..., a, 3]` Å along the axes of the plane; the first f atoms move.
        f: see Q.
        numbers: `[a]`, the species.
        plane: of the surface.
        reach: Å, what is further away counts as there.
    """
    shifts = plane.translations(reach)
    a = Q.shape[-2]
    own = itself(f, a, shifts)
    kinds = sorted(set(numbers.tolist()))
    members = [(numbers == kind).nonzero().squeeze(-1).to(Q.device) for kind in kinds]
    flat = Q.reshape(-1, a, 3)
    found = []
    for part in flat.split(max((LARGEST >> 3) // (f * a * len(shifts)), 1)):
        D = norm(plane.gaps(part[:, :f], part, shifts)).masked_fill(own, torch.inf)
        D = D.clamp(max=reach)
        columns = []
        for to in members:
            near = D[:, :, to].flatten(-2)  # [n, f, images of B]
            near = near.topk(min(NEAREST, near.shape[-1]), largest=False).values
            for start in members:
                rows = start[start < f]
                columns.append(near[:, rows].sort(1).values.flatten(1))
        found.append(torch.cat(columns, -1))
    made = torch.cat(found)
    return made.reshape(*Q.shape[:-2], made.shape[-1])

"""What is compared of two structures of a space, and how much it may differ."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.plane import Plane, itself, norm

ROUNDING = 1e-9
"""Relative. A distance or a limit that is met up to rounding is met."""

SAME = 0.05
"""In bonds: structures whose fingerprints differ by less are the same."""

NEAREST = 16
"""Neighbors of each species that an atom on a surface looks at."""

LARGEST = 1 << 24
"""Numbers compared in one go; bounds the memory to some 100 MB."""


def close(A: Tensor, B: Tensor, tolerance: float) -> Tensor:
    """Return whether A and B `[..., f]`, broadcast, agree everywhere, `[...]`."""
    shape = (A[..., :1] + B[..., :1]).shape[:-1] + A.shape[-1:]
    A, B = A.expand(shape), B.expand(shape)
    if A.numel() <= LARGEST or A.dim() == 1:
        return (A - B).abs().amax(-1) < tolerance
    if len(A) == 1:
        return close(A[0], B[0], tolerance).unsqueeze(0)
    half = len(A) // 2
    first = close(A[:half], B[:half], tolerance)
    return torch.cat([first, close(A[half:], B[half:], tolerance)])


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

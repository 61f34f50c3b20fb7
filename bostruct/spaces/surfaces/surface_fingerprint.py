"""Surface fingerprint: sorted neighbor distances of the atoms that move on a slab."""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.fingerprint_distance import MAX_CHUNK_ELEMENTS
from bostruct.spaces.surfaces.periodic_plane import PeriodicPlane, displacement_norms, is_self_pair

MAX_NEIGHBORS_PER_SPECIES = 16
"""Largest number of neighbors of each species in the fingerprint of an atom."""


def environment_fingerprint(
    Q: Tensor, n_free: int, numbers: Tensor, plane: PeriodicPlane, cutoff: float
) -> Tensor:
    """Return the neighbor distances of atoms that move on a surface, `[..., k]` Å.

    For each pair of species A and B: the distances from a moving A to its first, second, third ...
    B, periodic images included, each column sorted over the atoms A. They are invariant under all
    symmetries of the surface.

    Args:
        Q: `[..., a, 3]` Å along the axes of the plane; the first f atoms move.
        n_free: number f of atoms that move.
        numbers: `[a]` atomic numbers.
        plane: periodic plane of the surface.
        cutoff: largest distance in Å; all longer ones are set to it.
    """
    shifts = plane.translations(cutoff)
    a = Q.shape[-2]
    self_pair = is_self_pair(n_free, a, shifts)
    members = [
        (numbers == number).nonzero().squeeze(-1).to(Q.device)
        for number in sorted(set(numbers.tolist()))
    ]
    chunks = []
    for chunk in Q.reshape(-1, a, 3).split(
        max((MAX_CHUNK_ELEMENTS >> 3) // (n_free * a * len(shifts)), 1)
    ):
        D = displacement_norms(plane.displacements(chunk[:, :n_free], chunk, shifts))
        D = D.masked_fill(self_pair, torch.inf).clamp(max=cutoff)
        columns = []
        for neighbors in members:
            near = D[:, :, neighbors].flatten(-2)  # [n, f, images of B]
            near = near.topk(min(MAX_NEIGHBORS_PER_SPECIES, near.shape[-1]), largest=False).values
            for centers in members:
                columns.append(near[:, centers[centers < n_free]].sort(1).values.flatten(1))
        chunks.append(torch.cat(columns, -1))
    fingerprints = torch.cat(chunks)
    return fingerprints.reshape(*Q.shape[:-2], fingerprints.shape[-1])

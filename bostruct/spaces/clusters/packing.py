"""Packing of many small clusters at once: distances, overlaps, confinement to a sphere.

Notation
    P   [n, a, 3]   Å   positions
    D   [n, a, a]   Å   distances, zero on the diagonal
    W   [a, a]      Å   minimum distances: closer atoms push each other apart
"""

from __future__ import annotations

import torch
from torch import Tensor

DISTANCE_FLOOR = 1e-12
"""Å. Keeps the direction between coincident atoms finite."""

CONFINEMENT_FRACTION = 0.98
"""Fraction of the sphere used while pushing, so that centering leaves no atom outside."""

N_CENTERING_ITERATIONS = 4
"""Number of iterations that center a cluster with atoms outside the sphere."""

N_PUSH_STEPS = 12
"""Number of steps that push atoms apart after a move."""

CONTACT_FACTOR = 0.85
"""Distance to which atoms are pushed apart after a move, in bond lengths."""

MAX_CHUNK_PAIRS = 1 << 16
"""Largest number of distances computed at once."""


def distance_matrix(P: Tensor) -> Tensor:
    """Return the distances between all atoms, `[..., a, a]` Å."""
    # not through matrix products: those lose half of the digits
    D: Tensor = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
    return D


def center_positions(P: Tensor) -> Tensor:
    """Return positions `[..., a, 3]` with their mean at the origin."""
    return P - P.mean(-2, keepdim=True)


def confine(P: Tensor, radius: float | Tensor) -> Tensor:
    """Return positions `[..., a, 3]` with those outside moved onto the sphere."""
    distance: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
    return P * (radius / distance.clamp(min=DISTANCE_FLOOR)).clamp(max=1.0)


def confine_centered(P: Tensor, radius: float) -> Tensor:
    """Return positions `[..., a, 3]` centered, with those outside moved onto the sphere.

    An atom that has flown off must not drag the center along. The center c that leaves the
    confined atoms centered solves

        sum_i confined(p_i - c) = 0

    and minimizes a Huber loss of the distances, so that far atoms count by their direction only.
    Clusters that are centered and inside stay as they are.
    """
    centered = center_positions(P)
    inside = _max_radius(centered) <= radius * (1 + 8 * torch.finfo(P.dtype).eps)
    if P.device.type == "cpu" and inside.all():  # elsewhere this would synchronize
        return centered
    P = P - P.median(-2, keepdim=True).values
    for _ in range(N_CENTERING_ITERATIONS):
        P = P - confine(P, radius).mean(-2, keepdim=True)
    P = center_positions(confine(P, radius))
    # too few iterations leave atoms a little outside: scaling keeps the center
    P = P * (radius / _max_radius(P).clamp(min=DISTANCE_FLOOR)).clamp(max=1.0)
    return torch.where(inside, centered, P)


def _max_radius(P: Tensor) -> Tensor:
    """Return the distance of the farthest atom from the origin, `[..., 1, 1]` Å."""
    distance: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
    return distance.amax(-2, keepdim=True)


def push_apart(P: Tensor, min_distances: Tensor) -> Tensor:
    """Return positions after every pair that is too close has moved apart once.

    Each of the two atoms moves by half of the missing distance; the center stays.
    """
    # w_ij = (W_ij / d_ij - 1)+;  step_i = 1/2 sum_j w_ij (p_i - p_j)
    w = (min_distances / distance_matrix(P).clamp_(min=DISTANCE_FLOOR)).sub_(1).clamp_(min=0)
    scaled = P * (1 + 0.5 * w.sum(-1, keepdim=True))
    return torch.baddbmm(scaled, w, P, alpha=-0.5)


def remove_overlaps(P: Tensor, min_distances: Tensor, radius: float, n_steps: int) -> Tensor:
    """Return positions pushed apart for some steps, centered, inside the sphere."""
    chunks = []
    for chunk in split_chunks(P):
        moved = center_positions(chunk)
        for _ in range(n_steps):
            moved = confine(push_apart(moved, min_distances), CONFINEMENT_FRACTION * radius)
        chunks.append(center_positions(moved))
    return torch.cat(chunks) if chunks else P


def split_chunks(P: Tensor, n_atoms: int | None = None) -> list[Tensor]:
    """Return rows in chunks whose distances fit into a processor's cache.

    Args:
        P: `[n, ...]` any tensor with one row per structure.
        n_atoms: number of atoms a of a structure, by default the second dimension of P.
    """
    rows = max(MAX_CHUNK_PAIRS // (n_atoms or P.shape[1]) ** 2, 1)
    return [P[low : low + rows] for low in range(0, len(P), rows)]

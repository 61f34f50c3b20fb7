"""Geometry of many small clusters at once: distances, pushing apart, gathering.

Notation
    P   [n, a, 3]   Å   positions
    D   [n, a, a]   Å   distances, zero on the diagonal
    W   [a, a]      Å   wanted distances: atoms closer than that push each other away
"""

from __future__ import annotations

import torch
from torch import Tensor

DISTANCE_FLOOR = 1e-12
"""Å. Keeps the direction between coincident atoms finite."""

CONFINEMENT_FRACTION = 0.98
"""Part of the sphere used while pushing, so that centring leaves no atom outside."""

N_CENTERING_ITERATIONS = 4
"""Rounds of finding the centre of a cluster of which some atoms lie outside."""

N_PUSH_STEPS = 12
"""Steps of pushing atoms apart after a move."""

CONTACT_FACTOR = 0.85
"""In bonds: atoms are pushed apart to this distance after a move."""

MAX_CHUNK_PAIRS = 1 << 16
"""Distances worked on at a time."""


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
    far: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
    return P * (radius / far.clamp(min=DISTANCE_FLOOR)).clamp(max=1.0)


def confine_centered(P: Tensor, radius: float) -> Tensor:
    """Return positions `[..., a, 3]` centred, with those outside moved onto the sphere.

    Where to put the sphere is the question: an atom that has flown off must not drag
    it along. The centre c that leaves the confined atoms centred solves

        sum_i confined(p_i - c) = 0

    and minimises a Huber loss of the distances, so that far atoms count by their
    direction only. What is centred and inside already stays as it is.
    """
    middle = center_positions(P)
    brim = radius * (1 + 8 * torch.finfo(P.dtype).eps)
    inside = _max_radius(middle) <= brim
    if P.device.type == "cpu" and inside.all():  # elsewhere it would have to wait
        return middle
    P = P - P.median(-2, keepdim=True).values
    for _ in range(N_CENTERING_ITERATIONS):
        P = P - confine(P, radius).mean(-2, keepdim=True)
    P = center_positions(confine(P, radius))
    # rounds that were too few leave a little outside: shrink, which keeps the centre
    P = P * (radius / _max_radius(P).clamp(min=DISTANCE_FLOOR)).clamp(max=1.0)
    return torch.where(inside, middle, P)


def _max_radius(P: Tensor) -> Tensor:
    """Return how far out the furthest atom is, `[..., 1, 1]` Å."""
    far: Tensor = torch.linalg.vector_norm(P, dim=-1, keepdim=True)
    return far.amax(-2, keepdim=True)


def push_apart(P: Tensor, min_distances: Tensor, fraction: float = 0.5) -> Tensor:
    """Return positions after every pair that is too close has moved apart once.

    Each end moves by `fraction` of what the pair lacks; the centre stays where it is.
    """
    # w_ij = (W_ij / d_ij - 1)+;  step_i = share sum_j w_ij (p_i - p_j)
    w = (min_distances / distance_matrix(P).clamp_(min=DISTANCE_FLOOR)).sub_(1).clamp_(min=0)
    here = P * (1 + fraction * w.sum(-1, keepdim=True))
    return torch.baddbmm(here, w, P, alpha=-fraction)


def remove_overlaps(P: Tensor, min_distances: Tensor, radius: float, n_steps: int) -> Tensor:
    """Return positions pushed apart for some steps, centred, inside the sphere."""
    found = []
    for part in split_chunks(P):
        moved = center_positions(part)
        for _ in range(n_steps):
            moved = confine(push_apart(moved, min_distances), CONFINEMENT_FRACTION * radius)
        found.append(center_positions(moved))
    return torch.cat(found) if found else P


def split_chunks(P: Tensor, n_atoms: int | None = None) -> list[Tensor]:
    """Return rows in portions whose distances fit into a processor's cache.

    Args:
        P: `[n, ...]`.
        n_atoms: a, by default the second dimension of P.
    """
    rows = max(MAX_CHUNK_PAIRS // (n_atoms or P.shape[1]) ** 2, 1)
    return [P[low : low + rows] for low in range(0, len(P), rows)]


def is_connected(D: Tensor, max_bond_lengths: Tensor) -> Tensor:
    """Return whether each cluster is of one piece, `[n]` bool.

    Args:
        D: `[n, a, a]` Å.
        max_bond_lengths: `[a, a]` Å, atoms closer than this hold together.
    """
    reach = (max_bond_lengths >= D).to(torch.float32)
    a = D.shape[-1]
    steps = 1
    while steps < a - 1:  # paths of twice the length each time
        reach = (reach @ reach > 0).to(torch.float32)
        steps *= 2
    return (reach[..., 0, :] > 0).all(-1)

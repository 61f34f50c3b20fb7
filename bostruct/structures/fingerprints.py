"""Fingerprints of structures, and the comparison of structures by them.

A fingerprint consists of nearest-neighbor distances: for each pair of species A and B, the
distances from an A to its first, second, third ... B. Sorted over the atoms of species A, each of
these columns is invariant under rotation, reflection, translation and permutation, and changes by
at most 2 δ where no atom moves further than δ. A changed coordination number shows as a jump
between two shells, of about an Ångström, however large the structure is; in a sorted list of all
distances it would be hidden.

The mean distances to the atoms of species B, sorted likewise, add long-range information for
clusters and molecules.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list
from bostruct.structures.structures import Structures

MAX_NEIGHBORS_PER_SPECIES = 16
"""Number of neighbors of each species: the first shell and more."""

FINGERPRINT_CUTOFF = 6.0
"""Å. Cutoff in periodic structures; missing neighbors count as this far away."""


def distance_fingerprint(D: Tensor, numbers: Tensor) -> Tensor:
    """Return the fingerprint of clusters of one formula from their distances.

    Args:
        D: `[..., a, a]` Å, distances between the atoms of each cluster.
        numbers: `[a]`, atomic numbers, the same for all clusters.

    Returns:
        `[..., f]` Å.
    """
    species = sorted(set(numbers.tolist()))
    atoms = {z: (numbers == z).nonzero().flatten().to(D.device) for z in species}
    diagonal = torch.eye(D.shape[-1], dtype=torch.bool, device=D.device)
    D = D.masked_fill(diagonal, 0.0)
    columns = []
    for b in species:
        to_b = D[..., atoms[b]]  # [..., a, m]
        mean = to_b.mean(-1)
        ranked = to_b.masked_fill(diagonal[:, atoms[b]], torch.inf).sort(-1).values
        for a in species:
            width = min(len(atoms[b]) - (a == b), MAX_NEIGHBORS_PER_SPECIES)
            nearest = ranked[..., atoms[a], :width].sort(-2).values
            columns += [nearest.flatten(-2), mean[..., atoms[a]].sort(-1).values]
    return torch.cat(columns, -1)


def structure_fingerprint(structures: Structures) -> Tensor:
    """Return the fingerprint of structures of one formula, `[b, f]` Å.

    Fingerprints of periodic and of other structures are computed differently and do not compare.

    Raises:
        InputError: the formulas differ, or only some structures are periodic.
    """
    formulas = sorted(set(structures.formulas()))
    if len(formulas) > 1:
        condition = "all have one formula"
        raise InputError(error_message("structures", condition, ", ".join(formulas)))
    periodic = structures.pbc.any(-1)
    if periodic.any() and not periodic.all():
        condition = "all be periodic, or none of them"
        raise InputError(error_message("structures", condition, "some of each"))
    b = len(structures)
    if not b:
        return structures.positions.new_zeros(0, 0)
    a = structures.numbers.numel() // b
    by_number = structures.numbers.argsort(stable=True)
    order = by_number[structures.index[by_number].argsort(stable=True)]  # [n]
    numbers = structures.numbers[order[:a]]
    if periodic.any():
        return _periodic_fingerprint(structures, order, numbers)
    P = structures.positions[order].reshape(b, a, 3)
    D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
    return distance_fingerprint(D, numbers)


def is_same_structure(a: Structures, b: Structures, tolerance: float = 0.1) -> Tensor:
    """Return whether the i-th structures of two batches are the same, `[b]` bool.

    They are if they have one formula and their fingerprints differ by less than `tolerance`
    everywhere. Energies, tags, fixed atoms and the choice of the cell do not matter.

    Args:
        a: first batch.
        b: second batch, of as many structures.
        tolerance: largest difference of fingerprints, Å: twice the displacement of an atom.

    Raises:
        InputError: the batches differ in size, or the tolerance is not positive.
    """
    check_positive("tolerance", tolerance, "It is a distance in Å.")
    if len(a) != len(b):
        condition = f"hold as many structures as the other batch ({len(a)})"
        raise InputError(error_message("b", condition, len(b)))
    keys = [list(zip(s.formulas(), s.pbc.any(-1).tolist(), strict=True)) for s in (a, b)]
    groups: dict[tuple[str, bool], list[int]] = {}
    for i, (key, other_key) in enumerate(zip(*keys, strict=True)):
        if key == other_key:
            groups.setdefault(key, []).append(i)
    equal = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    for indices in groups.values():
        difference = structure_fingerprint(a[indices]) - structure_fingerprint(b[indices])
        equal[indices] = difference.abs().amax(-1) < tolerance
    return equal


def _periodic_fingerprint(structures: Structures, order: Tensor, numbers: Tensor) -> Tensor:
    """Return the fingerprint from neighbors within the cutoff, `[b, f]`."""
    b, a, k = len(structures), numbers.numel(), MAX_NEIGHBORS_PER_SPECIES
    neighbor_list = build_neighbor_list(structures, FINGERPRINT_CUTOFF)
    vectors = neighbor_list.vectors(structures.positions, structures.cell)
    neighbor, _, mask = neighbor_list.to_padded()
    distance = structures.positions.new_full(neighbor.shape, FINGERPRINT_CUTOFF)
    distance[mask] = torch.linalg.vector_norm(vectors, dim=-1)
    neighbor_number = structures.numbers[neighbor]  # [n, k]
    distance, neighbor_number, mask = distance[order], neighbor_number[order], mask[order]
    columns = []
    for to in sorted(set(numbers.tolist())):
        selected = mask & (neighbor_number == to)
        nearest = torch.where(selected, distance, FINGERPRINT_CUTOFF).sort(-1).values
        nearest = torch.nn.functional.pad(nearest, (0, k), value=FINGERPRINT_CUTOFF)
        nearest = nearest[:, :k].reshape(b, a, k)
        for center in sorted(set(numbers.tolist())):
            columns.append(nearest[:, numbers == center].sort(1).values.flatten(1))
    return torch.cat(columns, -1)

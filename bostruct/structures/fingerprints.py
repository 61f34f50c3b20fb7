"""Telling whether two structures are the same.

Each atom looks at its nearest neighbors: for each pair of species A and B, the distances from an A
to its first, second, third ... B. Sorted over the atoms of species A, each of these columns is
independent of how the structure is turned, mirrored, shifted and its atoms are numbered, and
changes by at most 2 δ where no atom moves further than δ. A changed coordination number shows as a
jump between two shells, of about an Ångström, however large the structure is; a sorted list of all
distances would bury it.

The mean distances to the atoms of species B, sorted likewise, add what is far away in
clusters and molecules.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures.neighbor_lists.neighbor_list import build_neighbor_list
from bostruct.structures.structures import Structures

MAX_NEIGHBORS_PER_SPECIES = 16
"""Neighbors of each species that an atom looks at: the first shell and more."""

FINGERPRINT_CUTOFF = 6.0
"""Å. How far an atom of a periodic structure looks; what is further counts as there."""


def distance_fingerprint(D: Tensor, numbers: Tensor) -> Tensor:
    """Return the fingerprint of clusters of one formula from their distances.

    Args:
        D: `[..., a, a]` Å.
        numbers: `[a]`, the species of the atoms of each.

    Returns:
        `[..., f]` Å.
    """
    every = range(D.shape[-1])
    kinds = sorted(set(numbers.tolist()))
    members = {k: (numbers == k).nonzero().flatten().to(D.device) for k in kinds}
    own = torch.eye(len(every), dtype=torch.bool, device=D.device)
    D = D.masked_fill(own, 0.0)
    found = []
    for to in kinds:
        column = D[..., members[to]]  # [..., a, m]
        mean = column.mean(-1)
        itself = own[:, members[to]]
        near = column.masked_fill(itself, torch.inf).sort(-1).values
        for start in kinds:
            rows = members[start]
            width = min(len(members[to]) - (start == to), MAX_NEIGHBORS_PER_SPECIES)
            nearest = near[..., rows, :width].sort(-2).values
            found += [nearest.flatten(-2), mean[..., rows].sort(-1).values]
    return torch.cat(found, -1)


def structure_fingerprint(structures: Structures) -> Tensor:
    """Return the fingerprint of structures of one formula, `[b, f]` Å.

    Periodic and other structures do not mix: what is compared is computed differently.

    Raises:
        InputError: the formulas differ, or only some structures are periodic.
    """
    formulas = sorted(set(structures.formulas()))
    if len(formulas) > 1:
        found = ", ".join(formulas)
        raise InputError(error_message("structures", "all have one formula", found))
    periodic = structures.pbc.any(-1)
    if periodic.any() and not periodic.all():
        condition = "all be periodic, or none of them"
        raise InputError(error_message("structures", condition, "some of each"))
    b = len(structures)
    if not b:
        return structures.positions.new_zeros(0, 0)
    a = structures.numbers.numel() // b
    order = _species_order(structures)
    numbers = structures.numbers[order[:a]]
    if periodic.any():
        return _periodic_fingerprint(structures, order, numbers)
    P = structures.positions[order].reshape(b, a, 3)
    D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
    return distance_fingerprint(D, numbers)


def is_same_structure(a: Structures, b: Structures, tolerance: float = 0.1) -> Tensor:
    """Return whether the i-th structures of two batches are the same, `[b]` bool.

    They are if they have one formula and their fingerprints differ by less than `tolerance`
    everywhere. Energies, tags, fixed atoms, and how the cell is chosen do not matter.

    Args:
        a: a batch.
        b: a batch of as many structures.
        tolerance: Å, about twice what atoms may have moved.

    Raises:
        InputError: the batches differ in size, or the tolerance is not positive.
    """
    check_positive("tolerance", tolerance, "It is a distance in Å.")
    if len(a) != len(b):
        condition = f"hold as many structures as the other batch ({len(a)})"
        raise InputError(error_message("b", condition, len(b)))
    groups: dict[tuple[str, str, bool, bool], list[int]] = {}
    pbc = zip(a.pbc.any(-1).tolist(), b.pbc.any(-1).tolist(), strict=True)
    for i, key in enumerate(zip(a.formulas(), b.formulas(), pbc, strict=True)):
        one, two, (here, there) = key
        groups.setdefault((one, two, here, there), []).append(i)
    equal = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    for (one, two, here, there), members in groups.items():
        if one == two and here == there:
            difference = structure_fingerprint(a[members]) - structure_fingerprint(b[members])
            equal[members] = difference.abs().amax(-1) < tolerance
    return equal


def _species_order(structures: Structures) -> Tensor:
    """Return the atoms sorted by structure, then by species, `[n]`."""
    by_number = structures.numbers.argsort(stable=True)
    return by_number[structures.index[by_number].argsort(stable=True)]


def _periodic_fingerprint(structures: Structures, order: Tensor, numbers: Tensor) -> Tensor:
    """Return the fingerprint from neighbors within a range, `[b, f]`."""
    b, a = len(structures), numbers.numel()
    found = build_neighbor_list(structures, FINGERPRINT_CUTOFF)
    vectors = found.vectors(structures.positions, structures.cell)
    other, _, mask = found.to_padded()
    far = structures.positions.new_full(other.shape, FINGERPRINT_CUTOFF)
    far[mask] = torch.linalg.vector_norm(vectors, dim=-1)
    kind = structures.numbers[other]  # [n, k]
    far, kind, mask = far[order], kind[order], mask[order]
    parts = []
    for to in sorted(set(numbers.tolist())):
        near = torch.where(mask & (kind == to), far, FINGERPRINT_CUTOFF).sort(-1).values
        near = torch.nn.functional.pad(
            near, (0, MAX_NEIGHBORS_PER_SPECIES), value=FINGERPRINT_CUTOFF
        )[:, :MAX_NEIGHBORS_PER_SPECIES]
        near = near.reshape(b, a, MAX_NEIGHBORS_PER_SPECIES)
        for start in sorted(set(numbers.tolist())):
            rows = numbers == start
            parts.append(near[:, rows].sort(1).values.flatten(1))
    return torch.cat(parts, -1)

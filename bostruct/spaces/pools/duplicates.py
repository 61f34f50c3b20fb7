"""Finding the same structure under two names, among many.

Structures are first compared by a few numbers that do not depend on how a structure is
turned, shifted, numbered and which of its cells was taken. Only where those agree it is
looked closely: crystals by pymatgen's StructureMatcher, all else atom by atom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bostruct.structures import (
    Structures,
    build_neighbor_list,
    is_same_structure,
    to_pymatgen,
)

FINGERPRINT_CUTOFF = 5.0
"""Å that an atom sees."""

DECAY_LENGTHS = (0.5, 1.0, 2.0)
"""Å over which what is seen fades."""

FINGERPRINT_SIZE = 8
"""Numbers kept of each structure."""

FINGERPRINT_TOLERANCE = 0.02
"""Those of one structure differ by less; distances may be off by some 0.005 Å."""

LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.005, 0.01, 0.2
"""StructureMatcher's tolerances: of lengths and sites (fractions), and angles (°)."""

TakeStructures = Callable[[Tensor], Structures]


def compute_fingerprints(structures: Structures, elements: Tensor) -> Tensor:
    """Return the numbers that equal structures share, `[b, 8]`.

    For each atom and element, Σ_j w(d_ij) exp(-d_ij / s) over neighbors; these and
    their squares are averaged over the atoms of each element and projected.

    Args:
        structures: with elements that are listed.
        elements: `[k]`, in ascending order.
    """
    b, k, n = len(structures), len(elements), len(structures.positions)
    near = build_neighbor_list(structures, FINGERPRINT_CUTOFF)
    d = near.vectors(structures.positions, structures.cell).norm(dim=-1)
    kind = torch.searchsorted(elements, structures.numbers)
    fade = (1 - (d / FINGERPRINT_CUTOFF).square()).clamp(min=0).square()
    terms = torch.stack([fade * torch.exp(-d / s) * 3 / s for s in DECAY_LENGTHS], -1)
    seen = terms.new_zeros(n * k, len(DECAY_LENGTHS))
    seen.index_add_(0, near.center * k + kind[near.neighbor], terms)
    seen = seen.reshape(n, -1)
    each = torch.cat([torch.ones_like(seen[:, :1]), seen, seen.square()], -1)
    sums = each.new_zeros(b * k, each.shape[-1])
    sums.index_add_(0, structures.index * k + kind, each)
    mean = sums.reshape(b, -1) / structures.counts.unsqueeze(-1)
    mixed = torch.randn(
        mean.shape[-1],
        FINGERPRINT_SIZE,
        generator=torch.Generator().manual_seed(0),
        dtype=mean.dtype,
    )
    found: Tensor = mean @ mixed / mean.shape[-1] ** 0.5
    return found


def first_duplicate(fingerprints: Tensor, take: TakeStructures) -> Tensor:
    """Return for each structure the first that is the same, `[b]` int64.

    Args:
        fingerprints: `[b, 8]` signatures.
        take: returns the structures of some places.
    """
    first = torch.arange(len(fingerprints))
    for one, others in _iter_candidate_pairs(fingerprints):
        if int(first[one]) != one:
            continue
        for other in others:
            if int(first[other]) == other and is_duplicate_pair(take, one, take, other):
                first[other] = one
    return first


def matching_fingerprints(fingerprint: Tensor, fingerprints: Tensor) -> Tensor:
    """Return the places of signatures `[b, 8]` that agree with `fingerprint` `[8]`, `[m]`."""
    return ((fingerprints - fingerprint).abs() < FINGERPRINT_TOLERANCE).all(-1).nonzero().flatten()


def is_duplicate_pair(
    take_a: TakeStructures, index_a: int, take_b: TakeStructures, index_b: int
) -> bool:
    """Return whether two structures are the same, turned, shifted or mirrored."""
    a, b = take_a(torch.tensor([index_a])), take_b(torch.tensor([index_b]))
    if not torch.equal(a.pbc, b.pbc):
        return False
    if not bool(a.pbc.all()):
        alike = sorted(a.numbers.tolist()) == sorted(b.numbers.tolist())
        return alike and bool(is_same_structure(a, b).all())
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(
        LENGTH_TOLERANCE,
        SITE_TOLERANCE,
        ANGLE_TOLERANCE,
        primitive_cell=True,
        scale=False,
    )
    return bool(matcher.fit(*to_pymatgen(Structures.cat([a, b]))))


def _iter_candidate_pairs(fingerprints: Tensor) -> Iterator[tuple[int, list[int]]]:
    """Yield each place and the later ones whose signatures agree with its own."""
    order = fingerprints[:, 0].argsort(stable=True)
    line = fingerprints[order, 0].contiguous()
    stop = torch.searchsorted(line, line + FINGERPRINT_TOLERANCE)
    start = torch.searchsorted(line, line - FINGERPRINT_TOLERANCE)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(fingerprints))
    for one in range(len(fingerprints)):
        place = int(rank[one])
        window = order[int(start[place]) : int(stop[place])]
        window = window[window > one]
        if len(window):
            near = window[matching_fingerprints(fingerprints[one], fingerprints[window])]
            if len(near):
                yield one, sorted(near.tolist())

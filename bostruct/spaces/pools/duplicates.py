"""Duplicates: structures that are the same up to rotation, translation, cell and atom order.

Structures are first compared by a few numbers that do not depend on these, their fingerprints. Only
where these agree they are compared exactly: crystals by pymatgen's StructureMatcher, all others
atom by atom. Structures of one geometry with different initial moments or charges, such as two
magnetic orderings, are not duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.structures import (
    SYMBOLS,
    Structures,
    build_neighbor_list,
    is_same_structure,
    to_pymatgen,
)

FINGERPRINT_CUTOFF = 5.0
"""Cutoff of the neighbors in a fingerprint, Å."""

DECAY_LENGTHS = (0.5, 1.0, 2.0)
"""Decay lengths of the contributions of neighbors, Å."""

FINGERPRINT_SIZE = 8
"""Number of components of a fingerprint."""

FINGERPRINT_TOLERANCE = 0.02
"""Largest difference between fingerprints of one structure, with distances off by 0.005 Å."""

LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.005, 0.01, 0.2
"""StructureMatcher's tolerances: of lengths and sites (fractions), and angles (°)."""

N_STATE_DECIMALS = 1
"""Decimals to which initial moments (μB) and charges (e) of duplicates agree."""

TakeStructures = Callable[[Tensor], Structures]
"""Function of indices `[m]` that returns the structures."""


def compute_fingerprints(structures: Structures, elements: Tensor) -> Tensor:
    """Return the fingerprints of structures, `[b, 8]`.

    For each atom and element, Σ_j w(d_ij) exp(-d_ij / s) over neighbors; these and their squares
    are averaged over the atoms of each element and projected.

    Args:
        structures: structures that contain these elements only.
        elements: `[k]` atomic numbers, in ascending order.
    """
    b, k, n = len(structures), len(elements), len(structures.positions)
    near = build_neighbor_list(structures, FINGERPRINT_CUTOFF)
    d = near.vectors(structures.positions, structures.cell).norm(dim=-1)
    element = torch.searchsorted(elements, structures.numbers)
    window = (1 - (d / FINGERPRINT_CUTOFF).square()).clamp(min=0).square()
    terms = torch.stack([window * torch.exp(-d / s) * 3 / s for s in DECAY_LENGTHS], -1)
    environments = terms.new_zeros(n * k, len(DECAY_LENGTHS))
    environments.index_add_(0, near.center * k + element[near.neighbor], terms)
    environments = environments.reshape(n, -1)
    features = torch.cat(
        [torch.ones_like(environments[:, :1]), environments, environments.square()], -1
    )
    sums = features.new_zeros(b * k, features.shape[-1])
    sums.index_add_(0, structures.index * k + element, features)
    mean = sums.reshape(b, -1) / structures.counts.unsqueeze(-1)
    generator = torch.Generator().manual_seed(0)
    shape = (mean.shape[-1], FINGERPRINT_SIZE)
    projection = torch.randn(shape, generator=generator, dtype=mean.dtype)
    fingerprints: Tensor = mean @ projection / mean.shape[-1] ** 0.5
    return fingerprints


def first_duplicate(fingerprints: Tensor, take: TakeStructures) -> Tensor:
    """Return the index of the first duplicate of each structure, or its own, `[b]` int64.

    Args:
        fingerprints: `[b, 8]` fingerprints.
        take: function that returns the structures with given indices.
    """
    first = torch.arange(len(fingerprints))
    for i, candidates in _iter_candidate_pairs(fingerprints):
        if int(first[i]) != i:
            continue
        for j in candidates:
            if int(first[j]) == j and is_duplicate_pair(
                take(torch.tensor([i])), take(torch.tensor([j]))
            ):
                first[j] = i
    return first


def matching_fingerprints(fingerprint: Tensor, fingerprints: Tensor) -> Tensor:
    """Return the indices of fingerprints `[b, 8]` that agree with `fingerprint` `[8]`, `[m]`."""
    return ((fingerprints - fingerprint).abs() < FINGERPRINT_TOLERANCE).all(-1).nonzero().flatten()


def is_duplicate_pair(a: Structures, b: Structures) -> bool:
    """Return whether two structures are the same, however rotated, shifted or mirrored.

    Initial magnetic moments are the same with all signs changed.
    """
    if not torch.equal(a.pbc, b.pbc):
        return False
    if a.has_electronic_state or b.has_electronic_state:
        if any(not torch.equal(_rounded(a, n), _rounded(b, n)) for n in ("charge", "spin")):
            return False
        pairs = (_atoms_by_state(a, b, sign) for sign in (1, -1))
        return any(pair is not None and _is_same_geometry(*pair) for pair in pairs)
    return _is_same_geometry(a, b)


def _rounded(structures: Structures, name: str) -> Tensor:
    """Return moments or charges to compare; zero where none is given."""
    return structures.value_or_nan(name).nan_to_num(0.0).round(decimals=N_STATE_DECIMALS) + 0.0


def _atoms_by_state(
    a: Structures, b: Structures, sign: int
) -> tuple[Structures, Structures] | None:
    """Return two structures whose atoms have one number for each element, moment and charge.

    None where these are more than there are elements: such structures are not compared.

    Args:
        a: one structure.
        b: another one.
        sign: factor on the moments of `b`.
    """
    signs = (1, sign)
    rows = [
        torch.stack(
            [
                structures.numbers.double(),
                factor * _rounded(structures, "magnetic_moments").double() + 0.0,
                _rounded(structures, "atomic_charges").double(),
            ],
            -1,
        )
        for structures, factor in zip((a, b), signs, strict=True)
    ]
    labels = 1 + torch.cat(rows).unique(dim=0, return_inverse=True)[1]
    if int(labels.max()) >= len(SYMBOLS):
        return None
    first, second = labels.split([len(a.numbers), len(b.numbers)])
    return replace(a, numbers=first), replace(b, numbers=second)


def _is_same_geometry(a: Structures, b: Structures) -> bool:
    """Return whether atoms of the same numbers are in the same places."""
    if not bool(a.pbc.all()):
        same_numbers = sorted(a.numbers.tolist()) == sorted(b.numbers.tolist())
        return same_numbers and bool(is_same_structure(a, b).all())
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(
        LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE, primitive_cell=True, scale=False
    )
    return bool(matcher.fit(*to_pymatgen(Structures.cat([a, b]))))


def _iter_candidate_pairs(fingerprints: Tensor) -> Iterator[tuple[int, list[int]]]:
    """Yield each index and the later ones whose fingerprints agree with its own."""
    order = fingerprints[:, 0].argsort(stable=True)
    values = fingerprints[order, 0].contiguous()
    stop = torch.searchsorted(values, values + FINGERPRINT_TOLERANCE)
    start = torch.searchsorted(values, values - FINGERPRINT_TOLERANCE)
    for i, rank in enumerate(order.argsort().tolist()):
        window = order[int(start[rank]) : int(stop[rank])]
        window = window[window > i]
        if len(window):
            near = window[matching_fingerprints(fingerprints[i], fingerprints[window])]
            if len(near):
                yield i, sorted(near.tolist())

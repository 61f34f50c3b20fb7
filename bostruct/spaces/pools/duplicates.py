"""Finding the same structure under two names, among many.

Structures are first compared by a few numbers that do not depend on how a structure is
turned, shifted, numbered and which of its cells was taken. Only where those agree it is
looked closely: crystals by pymatgen's StructureMatcher, all else atom by atom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bostruct.structures import Structures, neighbors, same, to_pymatgen

RANGE = 5.0
"""Å that an atom sees."""

SCALES = (0.5, 1.0, 2.0)
"""Å over which what is seen fades."""

WIDTH = 8
"""Numbers kept of each structure."""

TOLERANCE = 0.02
"""Those of one structure differ by less; distances may be off by some 0.005 Å."""

LENGTH, SITE, ANGLE = 0.005, 0.01, 0.2
"""StructureMatcher's tolerances: of lengths and sites (fractions), and angles (°)."""

Take = Callable[[Tensor], Structures]


def signatures(structures: Structures, elements: Tensor) -> Tensor:
    """Return the numbers that equal structures share, `[b, 8]`.

    For each atom and element, Σ_j w(d_ij) exp(-d_ij / s) over neighbors; these and
    their squares are averaged over the atoms of each element and projected.

    Args:
        structures: with elements that are listed.
        elements: `[k]`, in ascending order.
    """
    b, k, n = len(structures), len(elements), len(structures.positions)
    near = neighbors(structures, RANGE)
    d = near.vectors(structures.positions, structures.cell).norm(dim=-1)
    kind = torch.searchsorted(elements, structures.numbers)
    fade = (1 - (d / RANGE).square()).clamp(min=0).square()
    terms = torch.stack([fade * torch.exp(-d / s) * 3 / s for s in SCALES], -1)
    seen = terms.new_zeros(n * k, len(SCALES))
    seen.index_add_(0, near.center * k + kind[near.other], terms)
    seen = seen.reshape(n, -1)
    each = torch.cat([torch.ones_like(seen[:, :1]), seen, seen.square()], -1)
    sums = each.new_zeros(b * k, each.shape[-1])
    sums.index_add_(0, structures.index * k + kind, each)
    mean = sums.reshape(b, -1) / structures.counts.unsqueeze(-1)
    mixed = torch.randn(
        mean.shape[-1],
        WIDTH,
        generator=torch.Generator().manual_seed(0),
        dtype=mean.dtype,
    )
    found: Tensor = mean @ mixed / mean.shape[-1] ** 0.5
    return found


def first_of(S: Tensor, take: Take) -> Tensor:
    """Return for each structure the first that is the same, `[b]` int64.

    Args:
        S: `[b, 8]` signatures.
        take: returns the structures of some places.
    """
    first = torch.arange(len(S))
    for one, others in _close(S):
        if int(first[one]) != one:
            continue
        for other in others:
            if int(first[other]) == other and equal(take, one, take, other):
                first[other] = one
    return first


def find(s: Tensor, S: Tensor) -> Tensor:
    """Return the places of signatures `[b, 8]` that agree with `s` `[8]`, `[m]`."""
    return ((S - s).abs() < TOLERANCE).all(-1).nonzero().flatten()


def equal(these: Take, one: int, those: Take, other: int) -> bool:
    """Return whether two structures are the same, turned, shifted or mirrored."""
    a, b = these(torch.tensor([one])), those(torch.tensor([other]))
    if not torch.equal(a.pbc, b.pbc):
        return False
    if not bool(a.pbc.all()):
        alike = sorted(a.numbers.tolist()) == sorted(b.numbers.tolist())
        return alike and bool(same(a, b).all())
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(LENGTH, SITE, ANGLE, primitive_cell=True, scale=False)
    return bool(matcher.fit(*to_pymatgen(Structures.cat([a, b]))))


def _close(S: Tensor) -> Iterator[tuple[int, list[int]]]:
    """Yield each place and the later ones whose signatures agree with its own."""
    order = S[:, 0].argsort(stable=True)
    line = S[order, 0].contiguous()
    stop = torch.searchsorted(line, line + TOLERANCE)
    start = torch.searchsorted(line, line - TOLERANCE)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(S))
    for one in range(len(S)):
        place = int(rank[one])
        window = order[int(start[place]) : int(stop[place])]
        window = window[window > one]
        if len(window):
            near = window[find(S[one], S[window])]
            if len(near):
                yield one, sorted(near.tolist())

"""Bounds of molecules that are active: bonds that a reaction would break, or form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.spaces.active_bounds import BOUND_TOLERANCE, ActiveBound
from bostruct.spaces.clusters.bounds import pair_name
from bostruct.spaces.molecules.fragments import BOND_RANGE, Fragments

REACTIONS = "allow_reactions"
"""Argument of spaces that lets bonds break and form."""


def bond_bounds(P: Tensor, fragments: Fragments, indices: Tensor) -> list[ActiveBound]:
    """Return the longest bond of each pair of elements that is about to break.

    Args:
        P: `[a, 3]` Å, each molecule in one piece.
        fragments: units of the structure.
        indices: `[a]` int64, indices of the atoms in the decoded structure.
    """
    ends = P[fragments.bonds]
    vectors = ends[:, 1] - ends[:, 0]
    length = torch.linalg.vector_norm(vectors, dim=-1)
    ratio = length / (BOND_RANGE[1] * fragments.bond_lengths.to(P))
    found: dict[str, ActiveBound] = {}
    for row in ratio.argsort(descending=True, stable=True).tolist():
        if ratio[row] < 1 - BOUND_TOLERANCE:
            break
        i, j = fragments.bonds[row].tolist()
        pair = pair_name(int(fragments.numbers[i]), int(fragments.numbers[j]))
        outward = vectors[row] / length[row]
        limit = float(BOND_RANGE[1] * fragments.bond_lengths[row])
        atoms = indices[[i, j]]
        bound = ActiveBound(REACTIONS, limit, pair, atoms, torch.stack((-outward, outward)))
        found.setdefault(pair, bound)
    return list(found.values())


def name_reactions(
    bounds: Sequence[ActiveBound], min_distances: dict[str, float]
) -> list[ActiveBound]:
    """Return bounds of which those larger than minimum distances of atoms are bonds to be formed.

    Args:
        bounds: minimum distances that are active.
        min_distances: minimum distances of atoms that may be bonded, Å, by pair.
    """
    return [
        replace(bound, argument=REACTIONS)
        if bound.limit > min_distances.get(bound.pair, bound.limit) * (1 + BOUND_TOLERANCE)
        else bound
        for bound in bounds
    ]

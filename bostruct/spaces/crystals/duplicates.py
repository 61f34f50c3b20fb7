"""Duplicates among crystals of several sizes: a cell and its supercells are the same crystal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bostruct.spaces.crystals.crystal import Crystal
from bostruct.spaces.crystals.crystal_fingerprint import repeat_fingerprint
from bostruct.spaces.crystals.padded_coordinates import PaddedCoordinates
from bostruct.spaces.fingerprint_distance import is_within_tolerance


def composition_keys(members: Sequence[Crystal]) -> list[tuple[tuple[int, int], ...]]:
    """Return what names the composition of each member: elements with smallest whole numbers."""
    keys = []
    for member in members:
        elements, counts = member.numbers.unique(return_counts=True)
        divisor = math.gcd(*counts.tolist())
        reduced = (counts // divisor).tolist()
        keys.append(tuple(zip(elements.tolist(), reduced, strict=True)))
    return keys


def is_same_crystal(
    members: Sequence[Crystal],
    coordinates: PaddedCoordinates,
    A: Tensor,
    B: Tensor,
    tolerance_scale: float,
) -> Tensor:
    """Return whether A and B `[..., d]`, broadcast, are the same crystal, `[...]` bool.

    Each crystal is compared with those of its composition, in supercells of as many atoms.

    Args:
        members: crystals of one formula each.
        coordinates: coordinates of the members in A and B.
        A: crystals.
        B: other crystals.
        tolerance_scale: factor on the tolerance.
    """
    rows = [X.reshape(-1, coordinates.dimension) for X in (A, B)]
    indices = [
        torch.arange(len(x), device=X.device).reshape(X.shape[:-1])
        for x, X in zip(rows, (A, B), strict=True)
    ]
    first, second = torch.broadcast_tensors(*indices)
    same = torch.zeros(first.shape, dtype=torch.bool, device=A.device)
    prints = [_fingerprints(members, coordinates, x) for x in rows]
    index = [coordinates.index(x) for x in rows]
    keys = composition_keys([members[m] for m in prints[0]])
    other_keys = composition_keys([members[m] for m in prints[1]])
    for m, key in zip(prints[0], keys, strict=True):
        for k, other_key in zip(prints[1], other_keys, strict=True):
            pairs = (index[0][first] == m) & (index[1][second] == k)
            if key != other_key or not bool(pairs.any()):
                continue
            sizes = [len(members[i].numbers) for i in (m, k)]
            common = math.lcm(*sizes)
            found = [
                repeat_fingerprint(prints[side][i][0], members[i].numbers, common // size)[
                    prints[side][i][1][selected[pairs]]
                ]
                for side, (i, size, selected) in enumerate(
                    zip((m, k), sizes, (first, second), strict=True)
                )
            ]
            tolerance = tolerance_scale * members[m].fingerprint_tolerance
            same[pairs] = is_within_tolerance(found[0], found[1], tolerance)
    return same


def _fingerprints(
    members: Sequence[Crystal], coordinates: PaddedCoordinates, X: Tensor
) -> Mapping[int, tuple[Tensor, Tensor]]:
    """Return the fingerprints of the rows of each member, and where each row is among them."""
    prints = {}
    for m, rows in coordinates.groups(X):
        place = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        place[rows] = torch.arange(len(rows), device=X.device)
        prints[m] = members[m].fingerprint(coordinates.crop(m, X[rows])), place
    return prints

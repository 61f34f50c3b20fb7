"""Moves of crystals from one member of a chemical system to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.spaces.crystals.crystal import Crystal
from bostruct.spaces.crystals.duplicates import composition_keys
from bostruct.spaces.crystals.packing import push_apart, reduced, wrap_atoms
from bostruct.spaces.crystals.supercells import random_supercells
from bostruct.spaces.crystals.transmutation import transmute


def larger_members(members: Sequence[Crystal]) -> list[list[int]]:
    """Return the members that hold supercells of each member."""
    keys, sizes = composition_keys(members), [len(member.numbers) for member in members]
    every = range(len(members))
    return [
        [k for k in every if keys[k] == keys[m] and sizes[k] % sizes[m] == 0 and k != m]
        for m in every
    ]


def transmuted_members(members: Sequence[Crystal]) -> list[list[int]]:
    """Return the members of as many atoms as each member, those fewest transmutations away."""
    counts = [Counter(member.numbers.tolist()) for member in members]
    found = []
    for own in counts:
        changed = {
            k: (own - other).total()
            for k, other in enumerate(counts)
            if other.total() == own.total() and other != own
        }
        least = min(changed.values(), default=0)
        found.append([k for k, n in changed.items() if n == least])
    return found


def transmuted(old: Crystal, new: Crystal, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return crystals of another member whose atoms are those of given ones, `[n, d]`.

    Args:
        old: member of the crystals.
        new: member of as many atoms.
        x: `[n, d]` coordinates in the old member.
        generator: random number generator.
    """
    F, H = old.coordinates.decode(x)
    scale = (new.volume / old.volume) ** (1 / 3)
    return _packed(new, *transmute(F, H, old.numbers, new.numbers, scale, generator))


def to_supercell(old: Crystal, new: Crystal, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return supercells whose atoms are exchanged, or rattled where there is one species, `[n, d]`.

    Args:
        old: member of the crystals.
        new: larger member of the same composition.
        x: `[n, d]` coordinates in the old member.
        generator: random number generator.
    """
    n_cells = len(new.numbers) // len(old.numbers)
    F, H = random_supercells(*old.coordinates.decode(x), n_cells, generator)
    numbers = old.numbers.repeat(n_cells)
    order = torch.empty_like(numbers)
    order[new.numbers.argsort(stable=True)] = numbers.argsort(stable=True)
    repeated = _packed(new, F[:, order.to(F.device)], H)
    moves = new.moves()
    moved = moves["permute" if "permute" in moves else "rattle"](repeated, generator)
    return torch.where(new.contains(moved).unsqueeze(-1), moved, repeated)


def _packed(member: Crystal, F: Tensor, H: Tensor) -> Tensor:
    """Return X `[n, d_m]` of crystals of a member in reduced cells, overlaps removed."""
    F, H = push_apart(*reduced(F, H), member.contact_distances)
    F, H = reduced(F, H)
    return member.coordinates.encode(wrap_atoms(F), H)

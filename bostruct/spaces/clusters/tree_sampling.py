"""Sampling of random trees of bonds, of atoms that have few neighbors.

Covalent atoms packed like spheres are far too close: those of an element that lacks k electrons of
a noble gas have k bonds (the 8 - N rule; Hume-Rothery, Phil. Mag. 9, 65 (1930)). So atoms are added
one by one, each bonded to one that has a bond left, in a random direction where it is not close to
others. Some clusters are chains and others branch. Rings close when such a tree is relaxed.

Where the bonds do not suffice to hold all atoms together, as in water, there are several trees: of
m atoms with v bonds in all, of which t end at atoms that have a single one, m - (v - t) / 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.spaces.clusters.packing import center_positions
from bostruct.spaces.random_tensors import (
    sample_categorical,
    uniform,
    uniform_between,
    unit_vectors,
)

VALENCES = {
    **{1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1},
    **{14: 4, 15: 3, 16: 2, 17: 1, 32: 4, 33: 3, 34: 2, 35: 1, 51: 3, 52: 2, 53: 1},
}
"""Number of bonds of elements that are bonded covalently, by atomic number."""

MAX_BONDS_RANGE = (2, 4)
"""Smallest and largest number of bonds of an atom in one cluster, where no atom has only one."""

BOND_STRETCH_RANGE = (0.95, 1.1)
"""Range of the bond lengths in a cluster, relative to the sum of the radii."""

MIN_SEPARATION = 1.45
"""Distance, in bond lengths, at which atoms that are not bonded are kept where there is room."""

TREE_SEPARATION = 2.0
"""Distance of two trees, in bond lengths."""

N_DIRECTIONS = 32
"""Number of directions tried for each bond."""

CROWDING = 50.0
"""Decrease of the logarithm of the probability of a direction per missing bond length."""


def has_few_neighbors(numbers: Tensor) -> bool:
    """Return whether all elements are bonded covalently.

    Args:
        numbers: `[a]` atomic numbers.
    """
    return all(number in VALENCES for number in numbers.unique().tolist())


def sample_trees(
    n: int, numbers: Tensor, bond_lengths: Tensor, generator: torch.Generator
) -> Tensor:
    """Return positions `[n, a, 3]` Å of random trees of bonds, centered.

    Args:
        n: number of clusters.
        numbers: `[a]` atomic numbers, of `VALENCES`.
        bond_lengths: `[a, a]` Å, zero on the diagonal.
        generator: random number generator.
    """
    device, a = generator.device, len(numbers)
    rows = torch.arange(n, device=device)
    bonds = bond_lengths.to(device)
    left, n_trees = _valences(n, numbers, generator)
    terminal = torch.tensor([VALENCES[number] == 1 for number in numbers.tolist()], device=device)
    order = (uniform((n, a), generator) + terminal).argsort(-1)
    stretch = uniform_between(BOND_STRETCH_RANGE, (n, 1), generator)
    P = torch.zeros(n, a, 3, dtype=torch.float64, device=device)
    placed = torch.zeros(n, a, dtype=torch.bool, device=device)
    for k in range(a):
        atom = order[:, k]
        if k:
            open_atoms = placed & (left > 0)
            is_bonded = (open_atoms.any(-1) & (k >= n_trees)).unsqueeze(-1)
            weights = torch.where(torch.where(is_bonded, open_atoms, placed), 0.0, -torch.inf)
            parent = sample_categorical(weights, generator)
            length = bonds[atom, parent].unsqueeze(-1) * torch.where(
                is_bonded, stretch, TREE_SEPARATION
            )
            u = unit_vectors((n, N_DIRECTIONS), generator)
            sites = P[rows, parent].unsqueeze(1) + length.unsqueeze(-1) * u  # [n, sites, 3]
            D = torch.cdist(sites, P, compute_mode="donot_use_mm_for_euclid_dist")
            others = placed.clone()
            others[rows, parent] = False
            ratio = D / bonds[atom].clamp(min=1e-300).unsqueeze(1)
            closest = torch.where(others.unsqueeze(1), ratio, torch.inf).amin(-1)
            crowding = CROWDING * (closest - MIN_SEPARATION).clamp(max=0)
            P[rows, atom] = sites[rows, sample_categorical(crowding, generator)]
            for end in (parent, atom):
                left[rows, end] -= is_bonded.squeeze(-1).to(left)
        placed[rows, atom] = True
    return center_positions(P)


def _valences(n: int, numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    """Return the number of bonds of each atom `[n, a]` int64, and the number of trees."""
    device = generator.device
    valence = torch.tensor([VALENCES[number] for number in numbers.tolist()], device=device)
    n_terminal = int((valence == 1).sum())
    n_inner, n_bonds = len(numbers) - n_terminal, int(valence.sum()) - n_terminal
    n_trees = max(1, -((n_bonds - n_terminal) // 2 - n_inner)) if n_inner else 1
    valences = valence.expand(n, -1)
    if not n_terminal:
        low, high = MAX_BONDS_RANGE
        limit = torch.randint(low, high + 1, (n, 1), generator=generator, device=device)
        valences = torch.minimum(valences, limit)
    return valences.clone(), n_trees

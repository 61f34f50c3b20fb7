"""Graph of the bonds of a molecule: parts, rings, equivalent atoms, isomorphic graphs.

Notation
    a, m   atoms, bonds
    bonds  [m, 2]   indices of bonded atoms, the smaller one first
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

BOND_FACTOR = 1.3
"""Largest distance of bonded atoms, in sums of their covalent radii.

Bonds of the molecules in ASE's G2 set reach 1.25 (F2), atoms two bonds apart begin at 1.38.
"""

Neighbors = Sequence[Sequence[int]]
"""Neighbors of each atom."""


def find_bonds(D: Tensor, covalent_radii: Tensor) -> Tensor:
    """Return the pairs of atoms that are close enough to be bonded, `[m, 2]` int64.

    Args:
        D: `[a, a]` Å, distances.
        covalent_radii: `[a]` Å.
    """
    limits = BOND_FACTOR * (covalent_radii.unsqueeze(0) + covalent_radii.unsqueeze(1))
    return (limits >= D).triu(1).nonzero()


def neighbors_of(n_atoms: int, bonds: Tensor) -> list[list[int]]:
    """Return the neighbors of each atom in rising order."""
    neighbors: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in bonds.tolist():
        neighbors[i].append(j)
        neighbors[j].append(i)
    return [sorted(atoms) for atoms in neighbors]


def reachable_atoms(
    start: int, neighbors: Neighbors, without: tuple[int, int] | None = None
) -> list[int]:
    """Return the atoms that bonds connect with one, itself included, in rising order.

    Args:
        start: index of the atom.
        neighbors: neighbors of each atom.
        without: bond that is taken to be broken.
    """
    broken = set() if without is None else {without, without[::-1]}
    seen, stack = {start}, [start]
    while stack:
        i = stack.pop()
        found = [j for j in neighbors[i] if j not in seen and (i, j) not in broken]
        seen.update(found)
        stack.extend(found)
    return sorted(seen)


def connected_parts(neighbors: Neighbors) -> list[list[int]]:
    """Return the atoms of each connected part, by their first atoms."""
    parts, left = [], set(range(len(neighbors)))
    while left:
        parts.append(reachable_atoms(min(left), neighbors))
        left.difference_update(parts[-1])
    return parts


def is_in_ring(bond: tuple[int, int], neighbors: Neighbors) -> bool:
    """Return whether two bonded atoms remain connected without their bond."""
    return bond[1] in reachable_atoms(bond[0], neighbors, bond)


def atom_classes(numbers: Sequence[int], neighbors: Neighbors) -> list[int]:
    """Return the class of each atom; atoms that a symmetry of the graph exchanges share one.

    Atoms are told apart by their element, then by the classes of their neighbors until no class
    divides any more: Morgan, J. Chem. Doc. 5, 107 (1965). The numbers of the classes do not depend
    on the order of the atoms.
    """
    keys: list[tuple[int, tuple[int, ...]]] = [(number, ()) for number in numbers]
    classes = [sorted(set(keys)).index(key) for key in keys]
    while True:
        keys = [
            (classes[i], tuple(sorted(classes[j] for j in atoms)))
            for i, atoms in enumerate(neighbors)
        ]
        ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
        refined = [ranks[key] for key in keys]
        if len(ranks) == len(set(classes)):
            return refined
        classes = refined


def match_graphs(
    numbers: Sequence[int], neighbors: Neighbors, other_numbers: Sequence[int], others: Neighbors
) -> Iterator[list[int]]:
    """Yield which atom of another molecule each atom may be, in every way in which graphs agree.

    Backtracking over atoms of equal classes, each next to one that has been matched.

    Args:
        numbers: atomic numbers of the molecule.
        neighbors: neighbors of its atoms, all connected.
        other_numbers: atomic numbers of the other molecule.
        others: neighbors of the other molecule's atoms.
    """
    classes = atom_classes(numbers, neighbors)
    other_classes = atom_classes(other_numbers, others)
    if sorted(zip(classes, numbers, strict=True)) != sorted(
        zip(other_classes, other_numbers, strict=True)
    ):
        return
    order = [0]
    for i in order:  # breadth first: each atom but the first has a neighbor before it
        order.extend(j for j in neighbors[i] if j not in order)
    found: dict[int, int] = {}

    def extend(depth: int) -> Iterator[list[int]]:
        if depth == len(order):
            yield [found[i] for i in range(len(order))]
            return
        i = order[depth]
        before = [found[j] for j in neighbors[i] if j in found]
        choices = others[before[0]] if before else range(len(others))
        for k in choices:
            if other_classes[k] != classes[i] or k in found.values():
                continue
            if len(others[k]) == len(neighbors[i]) and all(k in others[p] for p in before):
                found[i] = k
                yield from extend(depth + 1)
                del found[i]

    yield from extend(0)

"""Fragments: which atoms of a structure are molecules, and which are free.

Notation
    a, u   atoms, units: a unit is a molecule or one free atom
    P      [..., a, 3]  Å   positions, free atoms first, then one molecule after the other
    D      [..., a, a]  Å   distances
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, groupby, islice, product
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, error_message
from bostruct.spaces.molecules.contact_distances import contact_lengths
from bostruct.spaces.molecules.dihedral_angles import turn_torsions
from bostruct.spaces.molecules.molecular_graph import (
    BOND_FACTOR,
    connected_parts,
    match_graphs,
    neighbors_of,
)
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.molecules.rotations import rotation_matrices
from bostruct.spaces.region import BOND_STRETCH
from bostruct.structures import SYMBOLS, covalent_radii

BOND_RANGE = (0.8, 1.25)
"""Range of the length of a bond that is whole, in its length in the reference conformation."""

ANGLE_FACTOR = 0.85
"""Least distance of atoms of a molecule that are not bonded, in that of the reference."""

MIN_LEVER = 0.1
"""Least distance of rotating atoms from their axis, in covalent radii."""

MAX_FREE_CHOICES = 1000
"""Number of ways to choose the free atoms of a structure that are tried."""

MAX_ORDERS = 64
"""Number of orders of the atoms of a structure among which one that is inside is sought."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Fragments:
    """Molecules, and free atoms beside them, of which structures are made.

    Atoms stand in this order: free ones, then all molecules of the first kind, and so on.

    Attributes:
        free_numbers: `[k]` int64 atomic numbers of the free atoms.
        molecules: kinds of molecules.
        counts: number of molecules of each kind.

    Raises:
        InputError: there is no molecule, or a count is not positive.
    """

    free_numbers: Tensor
    molecules: tuple[Molecule, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.molecules:
            hint = "Pass at least one, as in {'H2O': 6}."
            raise InputError(error_message("molecules", "hold molecules", "none", hint))
        for molecule, count in zip(self.molecules, self.counts, strict=True):
            check_count(f"molecules[{molecule.name!r}]", count)

    def __repr__(self) -> str:
        return f"Fragments({self.name})"

    @classmethod
    def from_counts(cls, molecules: object, free_numbers: Tensor | None = None) -> Self:
        """Return the fragments that an argument names.

        Args:
            molecules: counts by name, `{"H2O": 3, "Na": 1}`, or a list of molecules or of pairs
                of a molecule and its count. A molecule is a `Molecule`, a name in
                `ase.build.molecule`, Atoms, or a file; an element's symbol is a free atom.
            free_numbers: `[k]` int64 atomic numbers of free atoms before these.

        Raises:
            InputError: it names none, or what it names is no molecule.
        """
        free = [] if free_numbers is None else free_numbers.tolist()
        kinds: list[Molecule] = []
        counts: list[int] = []
        for item, count in _pairs(molecules):
            check_count(f"molecules[{item!r}]", count)
            if isinstance(item, str) and item in SYMBOLS[1:]:
                free += [SYMBOLS.index(item)] * count
                continue
            molecule = Molecule.from_any(item)
            if len(molecule) == 1:
                free += molecule.numbers.tolist() * count
                continue
            described = molecule.description()
            same = [k for k, kind in enumerate(kinds) if kind.description() == described]
            if same:
                counts[same[0]] += count
            else:
                kinds.append(molecule)
                counts.append(count)
        return cls(torch.tensor(free, dtype=torch.int64), tuple(kinds), tuple(counts))

    @property
    def name(self) -> str:
        """Molecules and free atoms with their counts, as in "3 H2O + Na"."""
        symbols = [SYMBOLS[number] for number in self.free_numbers.tolist()]
        named = [(kind.name, n) for kind, n in zip(self.molecules, self.counts, strict=True)]
        named += [(symbol, symbols.count(symbol)) for symbol in dict.fromkeys(symbols)]
        return " + ".join(name if n == 1 else f"{n} {name}" for name, n in named)

    @staticmethod
    def free_formula(numbers: Tensor) -> str:
        """Return the formula of free atoms `[k]` in their order."""
        return _run_lengths([SYMBOLS[number] for number in numbers.tolist()])

    @property
    def formula(self) -> str:
        """Formula in which the atoms stand in their order, as in "Na(OH2)3"."""
        parts = [self.free_formula(self.free_numbers)]
        for molecule, count in zip(self.molecules, self.counts, strict=True):
            runs = _run_lengths(molecule.symbols)
            parts.append(runs if count == 1 else f"({runs}){count}")
        return "".join(parts)

    @cached_property
    def units(self) -> tuple[Molecule | None, ...]:
        """The molecule of each unit, None for a free atom."""
        free: list[Molecule | None] = [None] * len(self.free_numbers)
        return (
            *free,
            *(m for m, n in zip(self.molecules, self.counts, strict=True) for _ in range(n)),
        )

    @cached_property
    def numbers(self) -> Tensor:
        """Atomic numbers of all atoms, `[a]` int64."""
        return torch.cat((self.free_numbers, *(m.numbers for m in self.units if m is not None)))

    @cached_property
    def unit_index(self) -> Tensor:
        """The unit of each atom, `[a]` int64."""
        sizes = torch.tensor([1 if unit is None else len(unit) for unit in self.units])
        return torch.arange(len(sizes)).repeat_interleave(sizes)

    @cached_property
    def first_atoms(self) -> list[int]:
        """The index of the first atom of each unit."""
        return [int((self.unit_index == k).nonzero()[0]) for k in range(len(self.units))]

    @cached_property
    def kinds(self) -> Tensor:
        """The kind of each unit, `[u]` int64: equal for equal molecules and for equal atoms."""
        keys = [
            self.molecules.index(unit) if unit is not None else -int(self.numbers[first])
            for unit, first in zip(self.units, self.first_atoms, strict=True)
        ]
        return torch.tensor([sorted(set(keys)).index(key) for key in keys])

    @cached_property
    def is_molecule(self) -> Tensor:
        """Units that are molecules, `[u]` bool."""
        return torch.tensor([unit is not None for unit in self.units])

    @cached_property
    def reference(self) -> Tensor:
        """Positions of each atom in the reference conformation of its unit, `[a, 3]` Å.

        Each unit has its center at the origin, see `centers`.
        """
        P = torch.zeros(len(self.numbers), 3, dtype=torch.float64)
        for unit, first in zip(self.units, self.first_atoms, strict=True):
            if unit is not None:
                P[first : first + len(unit)] = unit.positions
        return P - self.centers(P)[self.unit_index]

    @cached_property
    def neighbors(self) -> list[list[int]]:
        """The atoms that each atom is bonded to."""
        return neighbors_of(len(self.numbers), self.bonds)

    @cached_property
    def bonds(self) -> Tensor:
        """Pairs of bonded atoms, `[m, 2]` int64."""
        return self._per_molecule("bonds", 2)

    @cached_property
    def torsions(self) -> Tensor:
        """Atoms of the dihedrals of all molecules, `[t, 4]` int64."""
        return self._per_molecule("torsions", 4)

    @cached_property
    def sides(self) -> Tensor:
        """Atoms that each torsion moves, `[t, a]` bool."""
        sides = torch.zeros(len(self.torsions), len(self.numbers), dtype=torch.bool)
        row = 0
        for unit, first in zip(self.units, self.first_atoms, strict=True):
            if unit is not None:
                sides[row : row + unit.n_torsions, first : first + len(unit)] = unit.sides
                row += unit.n_torsions
        return sides

    @cached_property
    def is_methyl_rotor(self) -> Tensor:
        """Torsions that turn three equal terminal atoms, `[t]` bool."""
        return torch.cat([unit.is_methyl_rotor for unit in self.units if unit is not None])

    @cached_property
    def bond_lengths(self) -> Tensor:
        """Lengths of the bonds in the reference conformation, `[m]` Å."""
        return self._distances_of(self.reference, self.bonds)

    @cached_property
    def unit_atoms(self) -> Tensor:
        """The atoms of each unit, `[u, w]` int64, padded with -1."""
        sizes = self.unit_index.bincount()
        columns = torch.arange(int(sizes.max()))
        atoms = torch.tensor(self.first_atoms).unsqueeze(-1) + columns
        return atoms.masked_fill(columns >= sizes.unsqueeze(-1), -1)

    @cached_property
    def has_mirror_images(self) -> Tensor:
        """Units that mirroring may change without breaking a bond, `[u] bool`.

        They bend by torsions, and have no stereocenter that would be inverted.
        """
        return torch.tensor(
            [
                unit is not None and unit.n_torsions > 0 and not unit.has_stereocenter
                for unit in self.units
            ]
        )

    @cached_property
    def has_stereocenter(self) -> bool:
        """True if a molecule has a stereocenter, so that structures cannot be mirrored."""
        return any(molecule.has_stereocenter for molecule in self.molecules)

    @cached_property
    def is_same_unit(self) -> Tensor:
        """Pairs of atoms of one unit, `[a, a]` bool."""
        return self.unit_index.unsqueeze(0) == self.unit_index.unsqueeze(1)

    def pair_tables(self, atomic_radii: Tensor, min_distances: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lengths of bonds and contacts, and minimum distances, two `[a, a]` Å.

        Bonds of a molecule keep `BOND_RANGE`, its other atoms do not come as close as bonded ones,
        and atoms of different molecules are at least a contact apart.

        Args:
            atomic_radii: `[a]` Å.
            min_distances: `[a, a]` Å, those of atoms that may be bonded.
        """
        is_free = ~self.is_molecule[self.unit_index]
        lengths, least = contact_lengths(self.numbers, atomic_radii, self.neighbors, is_free)
        sums = atomic_radii.unsqueeze(0) + atomic_radii.unsqueeze(1)
        D = torch.cdist(self.reference, self.reference, compute_mode="donot_use_mm_for_euclid_dist")
        inside = torch.minimum(BOND_FACTOR * sums, ANGLE_FACTOR * D)
        i, j = self.bonds.unbind(-1)
        inside[i, j] = inside[j, i] = BOND_RANGE[0] * self.bond_lengths
        least = torch.where(self.is_same_unit, inside, torch.maximum(least, min_distances))
        lengths = torch.where(self.is_same_unit, sums, torch.maximum(lengths, 1.05 * least))
        return lengths.fill_diagonal_(0.0), least.fill_diagonal_(0.0)

    def chain_length(self, atomic_radii: Tensor) -> float:
        """Return the length of a straight chain of all units that touch, stretched ones, Å.

        Args:
            atomic_radii: `[a]` Å.
        """
        touch = contact_lengths(
            self.numbers, atomic_radii, self.neighbors, ~self.is_molecule[self.unit_index]
        )[0]
        length = 0.0
        for k in range(len(self.units)):
            atoms = (self.unit_index == k).nonzero().squeeze(-1)
            P = self.reference[atoms]
            length += float(torch.cdist(P, P).max()) + float(touch[atoms].max())
        return BOND_STRETCH * length

    @staticmethod
    def _distances_of(P: Tensor, pairs: Tensor) -> Tensor:
        i, j = pairs.to(P.device).unbind(-1)
        length: Tensor = torch.linalg.vector_norm(P[..., i, :] - P[..., j, :], dim=-1)
        return length

    def are_bonds_whole(self, P: Tensor) -> Tensor:
        """Return whether no bond is too long, `[...]` bool.

        Those that are too short are below the minimum distances of `pair_tables`.

        Args:
            P: `[..., a, 3]` Å, each molecule in one piece.
        """
        length = self._distances_of(P, self.bonds)
        return (length <= BOND_RANGE[1] * self.bond_lengths.to(P)).all(-1)

    def centers(self, P: Tensor) -> Tensor:
        """Return the centers of nuclear charge of all units, `[..., u, 3]` Å."""
        return self._center_weights.to(P) @ P

    def rotate(self, P: Tensor, R: Tensor, centers: Tensor | None = None) -> Tensor:
        """Return positions with each unit rotated about its center, and moved to another.

        Args:
            P: `[..., a, 3]` Å.
            R: `[..., u, 3, 3]` orthogonal matrices.
            centers: `[..., u, 3]` Å; by default the units stay where they are.
        """
        index, old = self.unit_index.to(P.device), self.centers(P)
        new = old if centers is None else centers
        arms = P - old[..., index, :]
        turned = (R[..., index, :, :] @ arms.unsqueeze(-1)).squeeze(-1)
        return turned + new[..., index, :]

    def translate(self, P: Tensor, shifts: Tensor) -> Tensor:
        """Return positions with each unit shifted by `[..., u, 3]` Å."""
        return P + shifts[..., self.unit_index.to(P.device), :]

    @property
    def rigid_dimension(self) -> int:
        """The number of coordinates of `rigid_motion`."""
        n_molecules = int(self.is_molecule.sum())
        return 3 * len(self.units) + 3 * n_molecules + len(self.torsions)

    def rigid_motion(self, P: Tensor, q: Tensor) -> Tensor:
        """Return positions after a motion that keeps bond lengths and angles, `[..., a, 3]` Å.

        Differentiable; at q = 0 it returns P. All coordinates are displacements in Å: those of the
        units, then of rotating atoms of the molecules by rotation vectors about their centers, then
        of the atoms that torsions turn, both by the root mean square distance from the axis.

        Args:
            P: `[..., a, 3]` Å.
            q: `[..., rigid_dimension]` Å.
        """
        u, lever = len(self.units), self._levers.to(P)
        molecules = self.is_molecule.to(P.device)
        n_turns = 3 * int(self.is_molecule.sum())
        shifts, turns, twists = q.split([3 * u, n_turns, len(self.torsions)], -1)
        if len(self.torsions):
            angles = twists / self._torsion_levers.to(P)
            P = turn_torsions(P, self.torsions, self.sides, angles)
        vectors = q.new_zeros(*q.shape[:-1], u, 3)
        turns = turns.unflatten(-1, (-1, 3)) / lever[molecules].unsqueeze(-1)
        vectors = vectors.index_copy(-2, molecules.nonzero().squeeze(-1), turns)
        R = rotation_matrices(vectors)
        return self.translate(self.rotate(P, R), shifts.unflatten(-1, (u, 3)))

    def move_names(self) -> list[str]:
        """Return the names of the moves of units among themselves that can change something."""
        names = []
        if len(self.kinds.unique()) > 1:
            names.append("exchange")
        if len(self.torsions):
            names.append("bend")
        if bool(self.has_mirror_images.any()):
            names.append("mirror")
        return names

    @cached_property
    def strained_pairs(self) -> tuple[Tensor, Tensor]:
        """Pairs one or two bonds apart `[k, 2]`, and their distances in the reference `[k]` Å."""
        pairs = {(i, j) for i, j in self.bonds.tolist()}
        for atoms in self.neighbors:
            pairs |= {(i, j) for i in atoms for j in atoms if i < j}
        table = torch.tensor(sorted(pairs))
        return table, self._distances_of(self.reference, table)

    def strains(self, P: Tensor) -> Tensor:
        """Return relative changes of the distances of `strained_pairs`, `[..., k]`.

        Args:
            P: `[..., a, 3]` Å, each molecule in one piece.
        """
        pairs, lengths = self.strained_pairs
        return self._distances_of(P, pairs) / lengths.to(P) - 1

    def violation(self, P: Tensor, D: Tensor, limits: Tensor) -> str | None:
        """Return which bond of one structure is broken or new, as in "a bond H-O of 1.61 Å".

        Args:
            P: `[a, 3]` Å.
            D: `[a, a]` Å, distances, of the nearest images.
            limits: `[a, a]` Å, minimum distances, as from `pair_tables`.
        """
        symbols = [SYMBOLS[number] for number in self.numbers.tolist()]
        length = self._distances_of(P, self.bonds)
        ratio = length / self.bond_lengths
        low, high = BOND_RANGE
        worst = int((ratio.log() / torch.where(ratio > 1, high, low).log()).argmax())
        if not low <= float(ratio[worst]) <= high:
            names = "-".join(sorted(symbols[k] for k in self.bonds[worst].tolist()))
            return f"a bond {names} of {float(length[worst]):.2f} Å"
        closeness = torch.where(limits > 0, D / limits.clamp(min=1e-9), torch.inf)
        i, j = divmod(int(closeness.argmin()), len(D))
        if float(closeness[i, j]) >= 1:
            return None
        names = " and ".join(sorted((symbols[i], symbols[j])))
        return f"{names} that are not bonded {float(D[i, j]):.2f} Å apart"

    def match_atoms(self, numbers: Sequence[int], D: Tensor) -> Iterator[list[int]]:
        """Yield which atom of a structure each atom may be, none if it is of other molecules.

        Equal molecules are taken in the order of the structure. Free atoms may be bonded to
        molecules: atoms of their elements with the fewest and longest bonds are taken first.
        Which of them are free bonds alone may leave open; atoms may then be too close or far.

        Args:
            numbers: atomic numbers of the structure.
            D: `[a, a]` Å, distances in it, of the nearest images.
        """
        radii = covalent_radii(torch.tensor(numbers))
        sums = radii.unsqueeze(0) + radii.unsqueeze(1)
        bonded = (BOND_FACTOR * sums >= D).fill_diagonal_(False)
        for free in self._choose_free(numbers, bonded, D / sums):
            order = self._match_molecules(numbers, bonded, free)
            if order is not None:
                yield order

    def _choose_free(
        self, numbers: Sequence[int], bonded: Tensor, ratios: Tensor
    ) -> Iterator[list[int]]:
        """Yield choices of the atoms that are free, in the order of the free atoms.

        Args:
            numbers: atomic numbers of the structure.
            bonded: `[a, a]` bool, atoms close enough to be bonded.
            ratios: `[a, a]` distances in sums of the covalent radii.
        """
        ours = self.free_numbers.tolist()
        in_molecules = {z for molecule in self.molecules for z in molecule.numbers.tolist()}
        may_bond = torch.tensor([z in in_molecules for z in numbers])
        bonded = bonded & may_bond
        degree, least = bonded.sum(-1).tolist(), ratios.masked_fill(~bonded, torch.inf).amin(-1)
        elements = sorted(set(ours))
        choices = []
        for z in elements:
            atoms = [k for k, number in enumerate(numbers) if number == z]
            atoms.sort(key=lambda k: (degree[k], -float(least[k]), k))
            choices.append(islice(combinations(atoms, ours.count(z)), MAX_FREE_CHOICES))
        for chosen in islice(product(*choices), MAX_FREE_CHOICES):
            left = {z: sorted(atoms) for z, atoms in zip(elements, chosen, strict=True)}
            yield [left[z].pop(0) for z in ours]

    def _match_molecules(
        self, numbers: Sequence[int], bonded: Tensor, free: Sequence[int]
    ) -> list[int] | None:
        """Return which atom each atom is for a choice of those that are free, None if none fits."""
        is_bound = torch.ones(len(numbers), dtype=torch.bool)
        is_bound[list(free)] = False
        pairs = bonded & is_bound.unsqueeze(0) & is_bound.unsqueeze(1)
        neighbors = neighbors_of(len(numbers), pairs.triu(1).nonzero())
        parts = [part for part in connected_parts(neighbors) if bool(is_bound[part[0]])]
        order = list(free)
        for unit in self.units[len(free) :]:
            assert unit is not None
            for part in parts:
                local = {atom: k for k, atom in enumerate(part)}
                theirs = [numbers[atom] for atom in part]
                graph = [[local[j] for j in neighbors[atom]] for atom in part]
                ways = match_graphs(unit.numbers.tolist(), unit.neighbors, theirs, graph)
                if (found := next(ways, None)) is not None:
                    order += [part[k] for k in found]
                    parts.remove(part)
                    break
            else:
                return None
        return order

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """Return the fragments of a description.

        Raises:
            InputError: it describes no molecules.
        """
        items = description["molecules"]
        return cls(
            torch.tensor(description["free_atoms"], dtype=torch.int64),
            tuple(Molecule.from_description(item) for item in items),
            tuple(item["count"] for item in items),
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the fragments, as JSON values."""
        return {
            "free_atoms": self.free_numbers.tolist(),
            "molecules": [
                {**molecule.description(), "count": count}
                for molecule, count in zip(self.molecules, self.counts, strict=True)
            ],
        }

    def _per_molecule(self, name: str, width: int) -> Tensor:
        """Return a table of atoms of all molecules, `[rows, width]` int64."""
        rows = [
            getattr(unit, name) + first
            for unit, first in zip(self.units, self.first_atoms, strict=True)
            if unit is not None
        ]
        return torch.cat([row.reshape(-1, width) for row in rows])

    @cached_property
    def _center_weights(self) -> Tensor:
        """Share of each atom in the center of each unit, `[u, a]`."""
        member = self.unit_index.unsqueeze(0) == torch.arange(len(self.units)).unsqueeze(-1)
        weights = member * self.numbers.to(torch.float64)
        return weights / weights.sum(-1, keepdim=True)

    @cached_property
    def _levers(self) -> Tensor:
        """Root mean square distance of the atoms of each unit from its center, `[u]` Å."""
        member = (self._center_weights > 0).to(torch.float64)
        squares = member @ self.reference.square().sum(-1) / member.sum(-1)
        return squares.sqrt().clamp(min=MIN_LEVER * float(covalent_radii(self.numbers).min()))

    @cached_property
    def _torsion_levers(self) -> Tensor:
        """Root mean square distance of the atoms of each torsion from its bond, `[t]` Å."""
        levers = []
        for (_, j, k, _), side in zip(self.torsions.tolist(), self.sides, strict=True):
            axis = torch.nn.functional.normalize(self.reference[k] - self.reference[j], dim=0)
            arms = self.reference[side] - self.reference[k]
            square = arms.square().sum(-1) - (arms @ axis).square()
            levers.append(square.clamp(min=0).mean().sqrt())
        least = MIN_LEVER * float(covalent_radii(self.numbers).min())
        return torch.stack(levers).clamp(min=least) if levers else self.reference.new_zeros(0)


def _pairs(molecules: object) -> list[tuple[object, int]]:
    """Return molecules with their counts.

    Raises:
        InputError: the argument is no mapping, list or molecule.
    """
    if isinstance(molecules, Mapping):
        return list(molecules.items())
    if isinstance(molecules, str | Molecule) or not isinstance(molecules, Sequence):
        condition = "be counts by name or a list of molecules"
        hint = "Such as {'H2O': 6}, ['CO'] or [(molecule, 2)]."
        raise InputError(error_message("molecules", condition, repr(molecules), hint))
    is_pair = [isinstance(item, tuple) and len(item) == 2 for item in molecules]
    return [item if pair else (item, 1) for item, pair in zip(molecules, is_pair, strict=True)]


def _run_lengths(symbols: Sequence[str]) -> str:
    """Return symbols in their order, equal ones in a row counted: "OH2"."""
    runs = ((symbol, len(list(group))) for symbol, group in groupby(symbols))
    return "".join(symbol if n == 1 else f"{symbol}{n}" for symbol, n in runs)

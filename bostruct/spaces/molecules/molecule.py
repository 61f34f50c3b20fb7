"""Molecules: atoms with bonds, and the torsions by which they bend.

Notation
    a, m, t   atoms, bonds, torsions
    P         [..., a, 3]  Å   positions in any conformation
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message
from bostruct.spaces.molecules.dihedral_angles import dihedral_angles, turn_torsions
from bostruct.spaces.molecules.molecular_graph import (
    atom_classes,
    connected_parts,
    find_bonds,
    is_in_ring,
    neighbors_of,
    reachable_atoms,
)
from bostruct.structures import SYMBOLS, Structures, covalent_radii, from_ase, from_pymatgen
from bostruct.structures.elements import formula
from bostruct.structures.structure_file import read_structure_file

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Molecule as PymatgenMolecule

MULTIPLE_BOND_FACTOR = 0.91
"""Length below which a bond is a multiple one, in sums of the covalent radii.

C=C has 0.88 and C=N 0.87, an amide's C-N 0.93, an ester's C-O 0.94, butadiene's C-C 0.96.
"""

MIN_BOND_FACTOR = 0.5
"""Least distance of two atoms of a molecule, in sums of the covalent radii; in ASE's G2 set it
is 0.77, that of CN."""

COLLINEAR_COSINE = 0.9962
"""Cosine of 5°: about bonds between atoms in line no dihedral is defined."""

DESCRIPTION_DECIMALS = 6
"""Decimals of positions in Å."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Molecule:
    """A molecule: atoms, the bonds between them, and one conformation.

    Positions are rounded to 10⁻⁶ Å and centered, so that a molecule and one that is built from its
    description are equal.

    Attributes:
        name: name by which messages call it, by default its formula.
        numbers: `[a]` int64 atomic numbers.
        positions: `[a, 3]` Å, with the geometric center at the origin.
        bonds: `[m, 2]` int64 pairs of bonded atoms, the smaller index first, sorted.
        is_multiple: `[m]` bool, bonds of higher order than one, about which nothing rotates.

    Raises:
        InputError: the atoms are not those of one molecule.
    """

    name: str
    numbers: Tensor
    positions: Tensor
    bonds: Tensor
    is_multiple: Tensor

    def __post_init__(self) -> None:
        a = len(self.numbers)
        check_shape("positions", self.positions, [a, 3], "Cartesian, in Å.")
        check_shape("bonds", self.bonds, [None, 2], "Two indices of atoms for each bond.")
        check_shape("is_multiple", self.is_multiple, [len(self.bonds)], "One for each bond.")
        numbers = self.numbers.tolist()
        if not all(0 < number < len(SYMBOLS) for number in numbers):
            condition = f"be atomic numbers from 1 to {len(SYMBOLS) - 1}"
            raise InputError(error_message("numbers", condition, numbers))
        if not bool(self.positions.isfinite().all()):
            raise InputError(error_message("positions", "be finite", "NaN or infinity"))
        pairs = self.bonds.sort(-1).values.to(torch.int64)
        valid = (pairs[:, 0] >= 0) & (pairs[:, 1] < a) & (pairs[:, 0] < pairs[:, 1])
        rows = [tuple(pair) for pair in pairs.tolist()]
        if not bool(valid.all()) or len(set(rows)) < len(rows):
            condition = f"be different pairs of atoms from 0 to {a - 1}"
            raise InputError(error_message("bonds", condition, rows))
        order = sorted(range(len(rows)), key=lambda k: rows[k])
        P = self.positions.to(torch.float64)
        P = (P - P.mean(0)).round(decimals=DESCRIPTION_DECIMALS) + 0.0
        for field, value in {
            "name": self.name or formula(numbers),
            "numbers": self.numbers.to(torch.int64),
            "positions": P,
            "bonds": pairs[order],
            "is_multiple": self.is_multiple[order].to(torch.bool),
        }.items():
            object.__setattr__(self, field, value)
        parts = connected_parts(self.neighbors)
        if len(parts) != 1:
            first = ", ".join(formula(numbers[i] for i in part) for part in parts[:4])
            value = f"{len(parts)} parts ({first}{', …' if len(parts) > 4 else ''})"
            hint = "Pass each molecule by itself, with a geometry in which its atoms are bonded."
            raise InputError(error_message("molecule", "be one whole molecule", value, hint))
        self._check_distances()

    def _check_distances(self) -> None:
        """Refuse atoms on top of each other, between which no bond has a length."""
        radii = covalent_radii(self.numbers)
        least = MIN_BOND_FACTOR * (radii.unsqueeze(0) + radii.unsqueeze(1))
        close = (self.distances.to(least) < least).triu(1).nonzero().tolist()
        if close:
            i, j = close[0]
            value = f"{self.symbols[i]} {i} and {self.symbols[j]} {j} "
            value += f"{float(self.distances[i, j]):.2g} Å apart"
            hint = "Are the lengths in Å, and is every atom there once?"
            raise InputError(error_message("molecule", "hold atoms that are apart", value, hint))

    def __repr__(self) -> str:
        return f"Molecule({self.name!r}, {len(self)} atoms)"

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Return a molecule by its name in `ase.build.molecule`: "H2O", "CH3CH2OH", "CO".

        Raises:
            InputError: ASE has no molecule of this name.
        """
        from ase.build import molecule

        try:
            atoms = molecule(name)
        except (KeyError, NotImplementedError) as error:
            condition = "be the name of a molecule that ase.build.molecule knows"
            hint = (
                "Pass Atoms, a file, or Molecule.from_smiles('CCO'); "
                "names are in ase.collections.g2.names."
            )
            raise InputError(error_message("molecule", condition, repr(name), hint)) from error
        return cls.from_structures(from_ase(atoms), name)

    @classmethod
    def from_ase(cls, atoms: Atoms, name: str = "") -> Self:
        """Return the molecule that ASE's atoms are, with bonds between atoms that are close.

        Raises:
            InputError: they are not one molecule, or periodic.
        """
        unconstrained = atoms.copy()
        unconstrained.set_constraint()
        return cls.from_structures(from_ase(unconstrained), name)

    @classmethod
    def from_pymatgen(cls, molecule: PymatgenMolecule, name: str = "") -> Self:
        """Return the molecule that a `Molecule` of pymatgen is, with bonds between close atoms.

        Raises:
            InputError: it is not one molecule.
        """
        return cls.from_structures(from_pymatgen(molecule), name)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Return the molecule in a file that ASE reads, of several structures the last one.

        Raises:
            InputError: the file cannot be read, or holds no whole molecule.
        """
        *_, (name, atoms) = read_structure_file("molecule", path)
        return cls.from_ase(atoms, name)

    @classmethod
    def from_smiles(cls, smiles: str, seed: int = 0) -> Self:
        """Return the molecule of a SMILES, with a conformation and bonds as RDKit gives them.

        The conformation is embedded by ETKDG and relaxed in RDKit's force field; it needs the
        extra `smiles`.

        Args:
            smiles: the molecule, as "CCO" or "OC(=O)C".
            seed: seed of the random embedding.

        Raises:
            InputError: RDKit is missing, or cannot read or embed the molecule.
        """
        try:
            from rdkit import Chem
            from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
        except ImportError as error:
            hint = "Run pip install 'bostruct[smiles]', or pass Atoms or a file."
            condition, value = "come with RDKit installed", "no module rdkit"
            raise InputError(error_message("smiles", condition, value, hint)) from error
        parsed = Chem.MolFromSmiles(smiles) if isinstance(smiles, str) else None
        if parsed is None or not parsed.GetNumAtoms():
            condition = "be a SMILES that RDKit reads"
            raise InputError(error_message("smiles", condition, repr(smiles), "Such as 'CCO'."))
        molecule = Chem.AddHs(parsed)
        if rdDistGeom.EmbedMolecule(molecule, randomSeed=seed) != 0:
            hint = "Pass Atoms or a file with its geometry."
            condition = "be a molecule that RDKit can embed"
            raise InputError(error_message("smiles", condition, repr(smiles), hint))
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=2000)
        bonds = list(molecule.GetBonds())
        pairs = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
        return cls(
            name=smiles,
            numbers=torch.tensor([atom.GetAtomicNum() for atom in molecule.GetAtoms()]),
            positions=torch.from_numpy(molecule.GetConformer().GetPositions()),
            bonds=torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2),
            is_multiple=torch.tensor(
                [bond.GetBondTypeAsDouble() > 1 for bond in bonds], dtype=torch.bool
            ),
        )

    @classmethod
    def from_structures(cls, structures: Structures, name: str = "") -> Self:
        """Return the molecule that one structure is, with bonds between atoms that are close.

        Bonds are at most `BOND_FACTOR` sums of the covalent radii long; those shorter than
        `MULTIPLE_BOND_FACTOR` sums are multiple ones.

        Raises:
            InputError: there are several structures, it is periodic, or not one molecule.
        """
        if len(structures) != 1:
            raise InputError(error_message("molecule", "be one structure", len(structures)))
        if bool(structures.pbc.any()):
            hint = "Set atoms.pbc = False and unwrap it."
            raise InputError(error_message("molecule", "not be periodic", "pbc", hint))
        P = structures.positions.detach().cpu().double()
        radii = covalent_radii(structures.numbers.cpu())
        D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
        bonds = find_bonds(D, radii)
        ratio = D[bonds[:, 0], bonds[:, 1]] / radii[bonds].sum(-1)
        numbers = structures.numbers.cpu()
        return cls(name, numbers, P, bonds, ratio < MULTIPLE_BOND_FACTOR)

    @classmethod
    def from_any(cls, molecule: object) -> Self:
        """Return the molecule that an argument means.

        Args:
            molecule: a `Molecule`, a name as in `from_name`, ASE's `Atoms`, a `Molecule` of
                pymatgen, or a path of a file.

        Raises:
            InputError: it is none of them, or no whole molecule.
        """
        from ase import Atoms

        if isinstance(molecule, cls):
            return molecule
        if isinstance(molecule, Atoms):
            return cls.from_ase(molecule)
        if isinstance(molecule, str):
            path = os.path.expanduser(molecule)
            is_path = os.sep in molecule or os.path.isfile(path) or os.path.splitext(path)[1]
            return cls.from_file(molecule) if is_path else cls.from_name(molecule)
        if isinstance(molecule, os.PathLike):
            return cls.from_file(molecule)
        if type(molecule).__module__.startswith("pymatgen."):
            return cls.from_pymatgen(molecule)
        condition = "be a name, Atoms, a Molecule or a file"
        raise InputError(error_message("molecule", condition, repr(molecule), "Such as 'H2O'."))

    @property
    def symbols(self) -> list[str]:
        """The chemical symbol of each atom."""
        return [SYMBOLS[number] for number in self.numbers.tolist()]

    @property
    def formula(self) -> str:
        """The formula, as ASE writes it."""
        return formula(self.numbers.tolist())

    @cached_property
    def neighbors(self) -> list[list[int]]:
        """The atoms that each atom is bonded to."""
        return neighbors_of(len(self.numbers), self.bonds)

    @cached_property
    def atom_classes(self) -> list[int]:
        """The class of each atom: equivalent ones share it."""
        return atom_classes(self.numbers.tolist(), self.neighbors)

    @cached_property
    def distances(self) -> Tensor:
        """Distances in the reference conformation, `[a, a]` Å."""
        P = self.positions
        D: Tensor = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
        return D

    def fragments(self, bond: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the atoms on either side of a bond, two masks `[a]` bool.

        Args:
            bond: two bonded atoms; the first mask holds the side of the first one.

        Raises:
            InputError: they are not bonded, or the bond belongs to a ring.
        """
        i, j = bond
        ways_out = f"Bonds are {[tuple(pair) for pair in self.bonds.tolist()]}."
        if not 0 <= i < len(self) or j not in self.neighbors[i]:
            raise InputError(error_message("bond", "be two bonded atoms", (i, j), ways_out))
        if is_in_ring((i, j), self.neighbors):
            condition = "divide the molecule, outside of rings"
            raise InputError(error_message("bond", condition, (i, j)))
        side = torch.zeros(len(self), dtype=torch.bool)
        side[reachable_atoms(j, self.neighbors, (i, j))] = True
        return ~side, side

    @cached_property
    def torsions(self) -> Tensor:
        """Atoms i, j, k, l of the dihedral of each rotatable bond j - k, `[t, 4]` int64.

        Rotatable are single bonds outside of rings, not to terminal atoms and not to atoms whose
        bonds are in line. Rotors of three equal terminal atoms, as methyl, come last. The side of
        k, which turns, is the one with fewer atoms.
        """
        return torch.tensor(self._torsions[0], dtype=torch.int64).reshape(-1, 4)

    @property
    def n_torsions(self) -> int:
        """The number t of torsions."""
        return len(self._torsions[0])

    @cached_property
    def is_methyl_rotor(self) -> Tensor:
        """Torsions that turn three equal terminal atoms, `[t]` bool; they come last."""
        return torch.tensor(self._torsions[1], dtype=torch.bool)

    @cached_property
    def sides(self) -> Tensor:
        """Atoms that each torsion moves, `[t, a]` bool."""
        masks = [self.fragments((j, k))[1] for _, j, k, _ in self.torsions.tolist()]
        empty = torch.zeros(0, len(self), dtype=torch.bool)
        return torch.stack(masks) if masks else empty

    @cached_property
    def has_stereocenter(self) -> bool:
        """True if an atom has four neighbors of different classes."""
        return any(
            len(atoms) == 4 and len({self.atom_classes[j] for j in atoms}) == 4
            for atoms in self.neighbors
        )

    def dihedral_angles(self, P: Tensor) -> Tensor:
        """Return the dihedral angles at P `[..., a, 3]` Å, `[..., t]` in radians from -π to π."""
        return dihedral_angles(P, self.torsions)

    def set_dihedral_angles(self, P: Tensor, angles: Tensor) -> Tensor:
        """Return positions P `[..., a, 3]` Å with other dihedral angles, differentiable in both.

        Args:
            P: `[..., a, 3]` Å.
            angles: `[..., t]` radians.
        """
        change = angles - self.dihedral_angles(P)
        return turn_torsions(P, self.torsions, self.sides, change)

    def turn_torsions(self, P: Tensor, changes: Tensor) -> Tensor:
        """Return positions P `[..., a, 3]` Å with angles `[..., t]` added to the dihedrals."""
        return turn_torsions(P, self.torsions, self.sides, changes)

    def with_torsions(self, angles: Tensor) -> Tensor:
        """Return the conformation with these dihedral angles, `[..., a, 3]` Å.

        Bond lengths and angles are those of `positions`, the centre is not kept. Differentiable.

        Args:
            angles: `[..., t]` radians.

        Raises:
            ShapeError: there is another number of angles.
        """
        check_shape("angles", angles.reshape(-1, angles.shape[-1]), [None, self.n_torsions])
        P = self.positions.to(angles).expand(*angles.shape[:-1], len(self), 3)
        return self.set_dihedral_angles(P, angles)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """Return the molecule of a description.

        Raises:
            InputError: it does not describe a molecule.
        """
        bonds = torch.tensor(description["bonds"], dtype=torch.int64).reshape(-1, 2)
        is_multiple = torch.zeros(len(bonds), dtype=torch.bool)
        is_multiple[torch.tensor(description["multiple_bonds"], dtype=torch.int64)] = True
        return cls(
            name=str(description["name"]),
            numbers=torch.tensor(description["numbers"], dtype=torch.int64),
            positions=torch.tensor(description["positions"], dtype=torch.float64),
            bonds=bonds,
            is_multiple=is_multiple,
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the molecule, as JSON values."""
        return {
            "name": self.name,
            "numbers": self.numbers.tolist(),
            "positions": self.positions.tolist(),
            "bonds": self.bonds.tolist(),
            "multiple_bonds": self.is_multiple.nonzero().flatten().tolist(),
        }

    @cached_property
    def _torsions(self) -> tuple[list[tuple[int, int, int, int]], list[bool]]:
        """The torsions, and which of them are methyl rotors."""
        rows = []
        for (i, j), is_multiple in zip(self.bonds.tolist(), self.is_multiple.tolist(), strict=True):
            if is_multiple or is_in_ring((i, j), self.neighbors):
                continue
            sides = [len(reachable_atoms(k, self.neighbors, (i, j))) for k in (i, j)]
            first, second = (j, i) if sides[0] < sides[1] else (i, j)
            ends = [self._bent_neighbors(first, second), self._bent_neighbors(second, first)]
            if all(ends):
                is_rotor = any(self._is_methyl(k, m) for k, m in ((first, second), (second, first)))
                rows.append((is_rotor, (ends[0][0], first, second, ends[1][0])))
        rows.sort(key=lambda row: row[0])
        return [row[1] for row in rows], [row[0] for row in rows]

    def _bent_neighbors(self, atom: int, partner: int) -> list[int]:
        """Return the neighbors of an atom not in line with a partner, the heaviest first."""
        P, numbers = self.positions, self.numbers.tolist()
        axis = torch.nn.functional.normalize(P[partner] - P[atom], dim=0)
        others = [k for k in self.neighbors[atom] if k != partner]
        bent = [
            k
            for k in others
            if abs(float(torch.nn.functional.normalize(P[k] - P[atom], dim=0) @ axis))
            < COLLINEAR_COSINE
        ]
        return sorted(bent, key=lambda k: (-numbers[k], k))

    def _is_methyl(self, atom: int, partner: int) -> bool:
        """Return whether an atom bears three equal terminal atoms beside a partner."""
        others = [k for k in self.neighbors[atom] if k != partner]
        terminal = all(len(self.neighbors[k]) == 1 for k in others)
        return len(others) == 3 and terminal and len({int(self.numbers[k]) for k in others}) == 1

"""Conformers of one molecule: X are dihedral angles, all else stays as in its reference geometry.

Notation
    a, t   atoms, torsions
    X      [..., t]      dihedral angles in radians, -π included to π excluded
    P      [..., a, 3]   positions, Å
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Self, SupportsIndex, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_positive, check_shape, error_message
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, in_described_order
from bostruct.spaces.coordinates.sampling import moves_inside, sample_inside
from bostruct.spaces.fingerprint_distance import FingerprintedStructures, is_within_tolerance
from bostruct.spaces.molecules.dihedral_angles import dihedral_angles, turn_torsions
from bostruct.spaces.molecules.molecular_graph import (
    BOND_FACTOR,
    find_bonds,
    is_in_ring,
    match_graphs,
    neighbors_of,
)
from bostruct.spaces.molecules.molecule import COLLINEAR_COSINE, Molecule
from bostruct.spaces.molecules.superposition import superposed_rmsd
from bostruct.spaces.space import Move
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import Structures, covalent_radii, distance_fingerprint

RMSD_THRESHOLD = 0.125
"""Å. Default RMSD of positions below which conformers are one: CREST's, Pracht, Bohle and Grimme,
Phys. Chem. Chem. Phys. 22, 7169 (2020)."""

TORSION_THRESHOLD = 0.26
"""Radians, 15°. Largest difference of dihedral angles of one conformer: turning a hydroxyl group
changes the RMSD of a large molecule little."""

CONTACT_FACTOR = 0.55
"""Least distance of atoms three bonds apart and more, in sums of their van der Waals radii."""

VAN_DER_WAALS_EXCESS = 0.9
"""Å. Mean excess of van der Waals radii over covalent ones: S. Alvarez, Dalton Trans. 42, 8617
(2013)."""

REFERENCE_SLACK = 0.95
"""Part of a distance in the reference geometry that never is too close."""

RIGID_TOLERANCE = 0.02
"""Å. RMSD from the rigid conformer up to which a structure is one."""

MAX_ORDERS = 1 << 15
"""Number of orders of the atoms of a structure that are tried; a methyl group alone has six."""

ORDERS_PER_CHUNK = 512
"""Number of them that are compared at once."""

ROUNDING = 1e-9
"""Radians. Difference of angles that are equal."""


@final
class Conformers(FingerprintedStructures):
    """All conformers of a molecule with rigid bond lengths and angles.

    The coordinates X `[..., t]` are dihedral angles in radians with the sign of IUPAC, periodic, in
    the order of `torsions`. Bond lengths, bond angles and other dihedrals are those of the given
    geometry. A final relaxation moves all atoms, see `FinalRelaxation`.

    Args:
        molecule: the molecule with its reference geometry: a `Molecule`, a name in
            `ase.build.molecule`, Atoms or a file.
        torsions: "rotatable" for all bonds about which parts of the molecule turn, but rotors of
            three equal atoms as methyl; "all" for these too; or torsions of four atoms i, j, k, l
            or bonds j, k, as a list or with names, `{"phi": (4, 6, 8, 14)}`. Atoms count from 0.
        rmsd_threshold: RMSD of positions after superposition below which conformers are the same,
            Å, if no dihedral angle differs by 15°.

    Attributes:
        molecule: the molecule.
        torsions: `[t, 4]` int64 atoms of each dihedral.
        domain: names, bounds and periods of the dihedral angles.
        numbers: `[a]` int64 atomic numbers.
        atomic_radii: `[a]` Å, covalent ones.

    Raises:
        InputError: an argument is invalid, or there is no torsion.
        SpaceError: atoms clash in nearly every conformer.
    """

    numbers: Tensor
    atomic_radii: Tensor

    def __init__(
        self,
        molecule: object,
        torsions: str | Sequence[Sequence[int]] | Mapping[str, Sequence[int]] = "rotatable",
        *,
        rmsd_threshold: float = RMSD_THRESHOLD,
    ) -> None:
        self.molecule = Molecule.from_any(molecule)
        hint = f"In Å; {RMSD_THRESHOLD} is the default."
        self.rmsd_threshold = float(check_positive("rmsd_threshold", rmsd_threshold, hint))
        named = _named_torsions(self.molecule, torsions)
        self.torsions = torch.tensor(list(named.values()), dtype=torch.int64)
        self.numbers = self.molecule.numbers
        self.atomic_radii = covalent_radii(self.numbers).double()
        t = len(named)
        pi = torch.full((t,), torch.pi, dtype=torch.float64)
        self.domain = CoordinateDomain(tuple(named), -pi, pi, torch.ones(t, dtype=torch.bool))
        self.sample(1, torch.Generator().manual_seed(0))

    def __repr__(self) -> str:
        return f"Conformers({self.molecule.name!r}, {', '.join(self.domain.names)})"

    @property
    def dimension(self) -> int:
        """The number of torsions."""
        return len(self.torsions)

    @cached_property
    def sides(self) -> Tensor:
        """Atoms that each torsion moves, `[t, a]` bool."""
        return torch.stack(
            [self.molecule.fragments((j, k))[1] for _, j, k, _ in self.torsions.tolist()]
        )

    @cached_property
    def reference_angles(self) -> Tensor:
        """Dihedral angles of the reference geometry, `[t]` radians."""
        return self.domain.wrap(dihedral_angles(self.molecule.positions, self.torsions))

    @cached_property
    def min_distances(self) -> Tensor:
        """The least distance of each pair of atoms, `[a, a]` Å; 0 for fewer than three bonds."""
        a, neighbors = len(self.numbers), self.molecule.neighbors
        sums = self.atomic_radii.unsqueeze(0) + self.atomic_radii.unsqueeze(1)
        least = CONTACT_FACTOR * (sums + 2 * VAN_DER_WAALS_EXCESS)
        least = torch.maximum(least, BOND_FACTOR * sums)
        least = torch.minimum(least, REFERENCE_SLACK * self.molecule.distances)
        for i in range(a):
            for j in neighbors[i]:
                least[i, j] = 0.0
                least[i, list(neighbors[j])] = 0.0
        return least.fill_diagonal_(0.0)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random conformers, uniform in the angles, `[n, t]` float64 on the CPU.

        Raises:
            SpaceError: atoms clash in nearly all of them.
        """
        X = sample_inside(self.domain, self.contains, n, generator)
        if len(X) < n:
            condition = "have conformers in which atoms do not clash"
            hint = "Give fewer `torsions`, or a geometry that is less crowded."
            value = f"{len(X)} of {n} random ones"
            raise SpaceError(error_message("molecule", condition, value, hint))
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the conformers at X `[..., t]`, row-major, centered, differentiable in X."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        a = len(self.numbers)
        P = self._positions(X).reshape(-1, 3)
        b, device = P.shape[0] // a, X.device
        return Structures.unchecked(
            positions=P,
            numbers=self.numbers.to(device).repeat(b),
            cell=X.new_zeros(b, 3, 3),
            pbc=torch.zeros(b, 3, dtype=torch.bool, device=device),
            index=torch.arange(b, device=device).repeat_interleave(a),
            fixed=torch.zeros(b * a, dtype=torch.bool, device=device),
            tags=torch.zeros(b * a, dtype=torch.int64, device=device),
        )

    def encode(self, structures: Structures) -> Tensor:
        """Return the dihedral angles of conformers of the molecule, `[b, t]` radians.

        They may be shifted and rotated, and mirrored if the molecule has no stereocenter. Their
        atoms may stand in any order, which bonds tell, that of the molecule being tried first.

        Raises:
            InputError: a structure is another molecule, or has other bond lengths or angles.
        """
        rows = [self._encode_one(structures[i]) for i in range(len(structures))]
        return torch.stack(rows) if rows else structures.positions.new_zeros(0, self.dimension)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether no atoms of X `[..., t]` clash or form new bonds, `[...]` bool."""
        inside = self.domain.contains(X)
        P = self._positions(X.detach().nan_to_num(0.0, 0.0, 0.0))
        D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
        apart = (self.min_distances.to(X) * (1 - 8 * torch.finfo(X.dtype).eps) <= D).flatten(-2)
        allowed: Tensor = inside & apart.all(-1)
        return allowed

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., t]` with angles between -π and π."""
        return self.domain.wrap(X)

    def fingerprint(self, X: Tensor) -> Tensor:
        """Return the fingerprint at X `[..., t]`, `[..., f]` Å.

        It is that of mirrored conformers, too, and of those with equal atoms exchanged. From a
        conformer of a molecule with one stereocenter none of these leads to its mirror image, which
        is another molecule.
        """
        P = self._positions(X.detach())
        D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist")
        return distance_fingerprint(D, self.numbers)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., t]`, broadcast, are the same conformer, `[...]`.

        They are if their positions differ by less than `rmsd_threshold` and no angle by 15°, or if
        their fingerprints are equal: mirrored, or with equal atoms exchanged.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "It multiplies the tolerance.")
        turned = self.domain.difference(A, B).abs().amax(-1)  # [...]
        same: Tensor = turned <= ROUNDING
        near = (turned <= tolerance_scale * TORSION_THRESHOLD) & ~same
        if bool(near.any()):
            pairs = (points.expand(*near.shape, self.dimension)[near] for points in (A, B))
            rmsd = superposed_rmsd(*(self._positions(points.detach()) for points in pairs))
            same = same.masked_scatter(near, rmsd <= tolerance_scale * self.rmsd_threshold)
        tolerance = tolerance_scale * self.fingerprint_tolerance
        return same | is_within_tolerance(self.fingerprint(A), self.fingerprint(B), tolerance)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "crossover", "displace" and "redraw" of angles."""
        return moves_inside(self.domain, self.contains)

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        molecule = Molecule.from_description(description["molecule"])
        torsions = in_described_order(description, "torsions")
        return cls(molecule, torsions, rmsd_threshold=description["rmsd_threshold"])

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        named = zip(self.domain.names, self.torsions.tolist(), strict=True)
        return {
            "type": "Conformers",
            "molecule": self.molecule.description(),
            "torsions": dict(named),
            "rmsd_threshold": self.rmsd_threshold,
            **self.domain.order_description(),
        }

    def _positions(self, X: Tensor) -> Tensor:
        """Return the positions at X `[..., t]`, `[..., a, 3]` Å, differentiable."""
        reference = self.molecule.positions.to(X).expand(*X.shape[:-1], len(self.numbers), 3)
        change = X - self.reference_angles.to(X)
        P = turn_torsions(reference, self.torsions, self.sides, change)
        return P - P.mean(-2, keepdim=True)

    def _encode_one(self, structure: Structures) -> Tensor:
        """Return the angles `[t]` of one structure."""
        P, condition = structure.positions, f"be conformers of {self.molecule.name}"
        numbers = structure.numbers.cpu()
        if not torch.equal(numbers.sort().values, self.numbers.sort().values):
            value = ", ".join(structure.formulas())
            raise InputError(error_message("structures", condition, value))
        if torch.equal(numbers, self.numbers):
            angles, rmsd = self._closest(P.unsqueeze(0))
            if rmsd <= RIGID_TOLERANCE:
                return angles
        radii = covalent_radii(numbers)
        D = torch.cdist(P, P, compute_mode="donot_use_mm_for_euclid_dist").cpu()
        theirs = neighbors_of(len(numbers), find_bonds(D, radii))
        ours = (self.numbers.tolist(), self.molecule.neighbors)
        orders = list(islice(match_graphs(*ours, numbers.tolist(), theirs), MAX_ORDERS))
        if not orders:
            hint = "Relax it with the bonds of that molecule, or make the space of this one."
            raise InputError(error_message("structures", condition, "one with other bonds", hint))
        Q = P[torch.tensor(orders, device=P.device)]
        angles, rmsd = self._closest(Q)
        if rmsd <= RIGID_TOLERANCE:
            return angles
        angles, mirrored_rmsd = self._closest(Q * Q.new_tensor([1.0, 1.0, -1.0]))
        if mirrored_rmsd <= RIGID_TOLERANCE and not self.molecule.has_stereocenter:
            return angles
        value = f"one with other bond lengths, bond angles or dihedrals, {rmsd:.2g} Å away"
        hint = "For another geometry make the space with that one."
        if mirrored_rmsd <= RIGID_TOLERANCE:
            value = "its mirror image, another molecule as there is a stereocenter"
            hint = "Mirror it, or make the space with that molecule."
        raise InputError(error_message("structures", condition, value, hint))

    def _closest(self, P: Tensor) -> tuple[Tensor, float]:
        """Return the angles `[t]` of the most rigid of positions `[n, a, 3]`, and its RMSD, Å."""
        angles, rmsds = [], []
        for part in P.split(ORDERS_PER_CHUNK):
            x = self.domain.wrap(dihedral_angles(part, self.torsions))
            angles.append(x)
            rmsds.append(superposed_rmsd(self._positions(x), part))
        rmsd = torch.cat(rmsds)
        best = int(rmsd.argmin())
        return torch.cat(angles)[best], float(rmsd[best])


def _named_torsions(molecule: Molecule, torsions: object) -> dict[str, tuple[int, int, int, int]]:
    """Return the torsions that an argument means, by name.

    Raises:
        InputError: it means none, or one about which nothing turns.
    """
    if isinstance(torsions, str):
        if torsions not in ("rotatable", "all"):
            raise _no_torsions(torsions)
        keeps = torsions == "all"
        rows = [
            row
            for row, is_methyl in zip(
                molecule.torsions.tolist(), molecule.is_methyl_rotor.tolist(), strict=True
            )
            if keeps or not is_methyl
        ]
        named = {"-".join(map(str, row)): row for row in rows}
    else:
        named = _given_torsions(torsions)
    if not named:
        hint = "Give a molecule with a rotatable bond, or torsions='all' for methyl groups too."
        raise InputError(error_message("torsions", "hold a torsion", "none", hint))
    found = {name: _torsion(molecule, name, row) for name, row in named.items()}
    bonds = [frozenset(row[1:3]) for row in found.values()]
    if len(set(bonds)) < len(bonds):
        raise InputError(error_message("torsions", "turn about different bonds", list(named)))
    return found


def _given_torsions(torsions: object) -> dict[str, list[int]]:
    """Return the atoms of each torsion in a list or a mapping, by name.

    Raises:
        InputError: it is neither, or a torsion is no list of atoms.
    """
    if isinstance(torsions, Mapping):
        items = {str(name): row for name, row in torsions.items()}
    elif isinstance(torsions, Sequence | np.ndarray):
        rows = list(torsions)
        if not all(isinstance(row, Sequence | np.ndarray) and len(row) for row in rows):
            raise _no_torsions(torsions)
        items = {"-".join(map(str, row)): row for row in rows}
    else:
        raise _no_torsions(torsions)
    named = {}
    for name, row in items.items():
        try:
            named[name] = [_index(atom) for atom in row]
        except TypeError as error:
            hint = "Such as (4, 6, 8, 14); atoms count from 0."
            condition = "be two or four indices of atoms"
            raise InputError(
                error_message(f"torsions[{name!r}]", condition, repr(row), hint)
            ) from error
    return named


def _index(atom: object) -> int:
    """Return an index of any integer type.

    Raises:
        TypeError: it is none, or a truth value.
    """
    if isinstance(atom, bool | np.bool_) or not isinstance(atom, SupportsIndex):
        raise TypeError(f"{atom!r} is no index")
    return operator.index(atom)


def _no_torsions(torsions: object) -> InputError:
    condition = "be 'rotatable', 'all' or a list of torsions"
    hint = "Such as [(4, 6, 8, 14)] or {'phi': (4, 6, 8, 14)}; atoms count from 0."
    return InputError(error_message("torsions", condition, repr(torsions), hint))


def _torsion(molecule: Molecule, name: str, atoms: list[int]) -> tuple[int, int, int, int]:
    """Return the torsion of four atoms, or about a bond of two.

    Raises:
        InputError: they are no torsion of the molecule.
    """
    label = f"torsions[{name!r}]"
    bonds = f"Bonds are {[tuple(pair) for pair in molecule.bonds.tolist()]}."

    def weigh(atom: int) -> tuple[int, int]:
        return int(molecule.numbers[atom]), -atom

    if len(atoms) not in (2, 4) or not all(0 <= i < len(molecule) for i in atoms):
        condition = f"be two or four atoms from 0 to {len(molecule) - 1}"
        raise InputError(error_message(label, condition, atoms, bonds))
    if len(atoms) == 2:
        j, k = atoms
        ends = [
            max(set(molecule.neighbors[q]) - {p}, default=-1, key=weigh)
            for p, q in ((k, j), (j, k))
        ]
        if -1 in ends:
            condition = "be a bond between atoms that have other neighbors"
            raise InputError(error_message(label, condition, atoms))
        atoms = [ends[0], j, k, ends[1]]
    i, j, k, m = atoms
    neighbors = molecule.neighbors
    if len(set(atoms)) < 4 or j not in neighbors[i] or m not in neighbors[k]:
        condition = "be four atoms in a chain of bonds"
        raise InputError(error_message(label, condition, atoms, bonds))
    if k not in neighbors[j] or is_in_ring((j, k), neighbors):
        condition = "turn about a bond outside of rings"
        raise InputError(error_message(label, condition, f"{atoms}, about {(j, k)}", bonds))
    for first, middle, last in ((i, j, k), (j, k, m)):
        arms = molecule.positions[[first, last]] - molecule.positions[middle]
        cosine = torch.nn.functional.cosine_similarity(arms[0], arms[1], dim=0)
        if float(cosine.abs()) > COLLINEAR_COSINE:
            condition = "have no three atoms in line"
            raise InputError(error_message(label, condition, atoms))
    return i, j, k, m

"""Conformers of a molecule by its dihedral angles."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Conformers, Molecule
from bostruct.spaces.molecules.conformers import Conformers as ConformersClass
from bostruct.spaces.molecules.superposition import superposed_rmsd
from bostruct.structures import from_ase
from bostruct.testing import SpaceContract


class TestOfEthanol(SpaceContract):
    @pytest.fixture
    def space(self) -> Conformers:
        return Conformers("CH3CH2OH")


class TestOfButane(SpaceContract):
    @pytest.fixture
    def space(self) -> Conformers:
        return Conformers("trans-butane", "all")


@pytest.fixture
def butane() -> Conformers:
    return Conformers("trans-butane", {"CCCC": central_torsion("trans-butane")})


def central_torsion(name: str) -> tuple[int, ...]:
    """Return the torsion of the chain."""
    molecule = Molecule.from_name(name)
    return tuple(molecule.torsions[~molecule.is_methyl_rotor][0].tolist())


def samples(space: Conformers, n: int = 4) -> Tensor:
    return space.sample(n, torch.Generator().manual_seed(0))


def test_decoded_angles_are_the_coordinates(butane: Conformers) -> None:
    """Dihedrals measured by ASE are X, and bond lengths are those of the molecule."""
    from bostruct.structures import to_ase

    X = samples(butane)
    for x, atoms in zip(X, to_ase(butane.decode(X)), strict=True):
        measured = math.radians(atoms.get_dihedral(*butane.torsions[0].tolist()))
        assert math.cos(measured - float(x)) == pytest.approx(1.0, abs=1e-12)
        for i, j in butane.molecule.bonds.tolist():
            length = float(butane.molecule.distances[i, j])
            assert atoms.get_distance(i, j) == pytest.approx(length, abs=1e-9)


def test_the_reference_geometry_is_a_conformer(butane: Conformers) -> None:
    """Encoded and decoded, the molecule is what it was."""
    (x,) = butane.encode(butane.decode(butane.reference_angles))
    P = butane.decode(x).positions
    torch.testing.assert_close(P, butane.molecule.positions, rtol=0, atol=1e-6)


def test_encodes_moved_conformers(butane: Conformers) -> None:
    """A rotation and a shift leave the angles."""
    X = samples(butane, 1)
    structures = butane.decode(X)
    R = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()).Q
    R = R * torch.linalg.det(R).sign()
    moved = replace(structures, positions=structures.positions @ R.T + 1.0)
    torch.testing.assert_close(butane.encode(moved), X)


def test_refuses_other_structures(butane: Conformers) -> None:
    """Another molecule, or one that is bent otherwise, is no conformer."""
    structures = butane.decode(samples(butane, 1))
    stretched = replace(structures, positions=1.05 * structures.positions)
    with pytest.raises(InputError, match="one with other bond lengths, bond angles or dihedrals"):
        butane.encode(stretched)
    from ase.build import molecule

    with pytest.raises(InputError, match="be conformers of trans-butane, got C2H6O"):
        butane.encode(from_ase(molecule("CH3CH2OH")))


def test_mirror_images_of_an_achiral_molecule_are_one(butane: Conformers) -> None:
    """Butane at 60° and at -60° is one conformer; of two that differ neither is."""
    X = torch.tensor([[1.05], [-1.05], [1.35], [math.pi]], dtype=torch.float64)
    assert butane.is_duplicate(X[0], X).tolist() == [True, True, False, False]
    around = torch.tensor([math.pi - 0.01]), torch.tensor([-math.pi + 0.01])
    assert butane.is_duplicate(around[0].double(), around[1].double())


def test_conformers_within_the_threshold_are_one(butane: Conformers) -> None:
    """The RMSD by which conformers are pruned is that after superposition."""
    X = torch.tensor([[2.0], [2.2]], dtype=torch.float64)
    P = butane.decode(X).positions.reshape(2, -1, 3)
    rmsd = float(superposed_rmsd(P[0], P[1]))
    for factor, same in ((1.01, True), (0.99, False)):
        torsions = {"CCCC": butane.torsions[0].tolist()}
        space = Conformers("trans-butane", torsions, rmsd_threshold=factor * rmsd)
        assert bool(space.is_duplicate(X[0], X[1])) is same


def test_no_conformers_have_no_duplicates(butane: Conformers) -> None:
    """An empty batch compares to an empty answer."""
    X = samples(butane)
    assert butane.is_duplicate(X[:0].unsqueeze(1), X).shape == (0, len(X))


def test_clashing_conformers_are_outside() -> None:
    """Where atoms meet, a conformer is outside; a bond that turns back does not count."""
    pentane = Molecule.from_smiles("CCCCC")
    space = Conformers(pentane)
    # both dihedrals near 0: the ends of the chain meet
    assert not space.contains(torch.tensor([0.3, 0.3], dtype=torch.float64))
    assert space.contains(torch.full((2,), math.pi, dtype=torch.float64))


def test_bonds_and_torsions_mean_the_same() -> None:
    """A bond of two atoms takes the heaviest neighbors of its ends."""
    i, j, k, m = central_torsion("trans-butane")
    first, second = (Conformers("trans-butane", [row]) for row in ([j, k], [i, j, k, m]))
    assert set(first.torsions[0].tolist()) == {i, j, k, m}
    assert second.domain.names == (f"{i}-{j}-{k}-{m}",)


@pytest.mark.parametrize("torsions", ["all", "rotatable"])
def test_log_has_the_molecule(torsions: str) -> None:
    """The space is built from its description, whose keys a log sorts."""
    space = Conformers("trans-butane", torsions)
    logged = json.loads(json.dumps(space.description(), sort_keys=True))
    read = ConformersClass.from_description(logged)
    X = samples(space)
    assert read.description() == space.description()
    assert read.domain.names == space.domain.names
    assert torch.equal(read.decode(X).positions, space.decode(X).positions)


@pytest.mark.parametrize(
    ("torsions", "message"),
    [
        ("some", "`torsions` must be 'rotatable', 'all' or a list of torsions, got 'some'"),
        (3, "`torsions` must be 'rotatable', 'all' or a list of torsions, got 3"),
        ([], "`torsions` must hold a torsion, got none"),
        ([(0, 1, 2)], "be two or four atoms from 0 to 13"),
        ([(0, 99)], "be two or four atoms from 0 to 13"),
        (
            {"a": central_torsion("trans-butane"), "b": central_torsion("trans-butane")[::-1]},
            "turn about different bonds",
        ),
        ([central_torsion("trans-butane")[2:] * 2], "be four atoms in a chain of bonds"),
        ([(0, 13)], "turn about a bond outside of rings.*Bonds are|other neighbors"),
        ((0, 1, 2, 3), "`torsions` must be 'rotatable', .*Such as"),
        ({"phi": 3}, r"`torsions\['phi'\]` must be two or four indices of atoms, got 3"),
        ({"phi": (False, True)}, r"indices of atoms, got \(False, True\)"),
        ({"phi": "01"}, "indices of atoms, got '01'"),
    ],
)
def test_refuses_other_torsions(torsions: object, message: str) -> None:
    """Errors name the torsion and the way out."""
    with pytest.raises(InputError, match=message):
        Conformers("trans-butane", torsions)


def test_refuses_molecules_without_torsions() -> None:
    """A molecule that does not bend has no conformers, nor a bond to a terminal atom."""
    with pytest.raises(InputError, match="`torsions` must hold a torsion, got none"):
        Conformers("H2O")
    with pytest.raises(InputError, match="be a bond between atoms that have other neighbors"):
        Conformers("H2O", [(0, 1)])
    with pytest.raises(InputError, match="`rmsd_threshold` must be positive"):
        Conformers("CH3CH2OH", rmsd_threshold=0.0)
    space = Conformers("CH3CH2OH")
    X = samples(space)
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(X, X, -1.0)


@pytest.mark.parametrize("name", ["trans-butane", "CH3CH2OH", "CH3CONH2"])
def test_conformers_are_found_in_any_order_and_mirrored(name: str) -> None:
    """Bonds tell which atom is which; one order that they allow has the lengths and angles."""
    space = Conformers(name, "all")
    X = samples(space)
    order = torch.randperm(len(space.numbers), generator=torch.Generator().manual_seed(1))
    for x, structure in zip(X, space.decode(X).split(), strict=True):
        P = structure.positions[order] * torch.tensor([1.0, 1.0, -1.0])
        given = replace(structure, positions=P, numbers=structure.numbers[order])
        assert space.is_duplicate(space.encode(given)[0], x)


def test_a_stereocenter_is_not_inverted() -> None:
    """A mirrored alanine is another molecule, whatever the order of its atoms."""
    pytest.importorskip("rdkit")
    space = Conformers(Molecule.from_smiles("C[C@H](N)C(=O)O"))
    structure = space.decode(samples(space)[:1])
    order = torch.arange(len(space.numbers)).flip(0)
    shuffled = replace(
        structure, positions=structure.positions[order], numbers=structure.numbers[order]
    )
    back = space.decode(space.encode(shuffled))
    rmsd = superposed_rmsd(back.positions, structure.positions)
    assert float(rmsd) < 0.02
    mirrored = replace(shuffled, positions=-shuffled.positions)
    with pytest.raises(InputError, match="mirror image, another molecule as there is a stereo"):
        space.encode(mirrored)


def test_says_what_is_not_a_conformer(butane: Conformers) -> None:
    """Other bonds, or bonds of other lengths."""
    structures = butane.decode(samples(butane)[:1])
    P = structures.positions.clone()
    P[0] += 5.0
    with pytest.raises(InputError, match="got one with other bonds"):
        butane.encode(replace(structures, positions=P))
    with pytest.raises(InputError, match="other bond lengths, bond angles or dihedrals"):
        butane.encode(replace(structures, positions=1.05 * structures.positions))


def test_refuses_bonds_in_rings() -> None:
    """The message says which torsion it is."""
    with pytest.raises(InputError, match=r"torsions\['ring'\]` must turn about a bond outside of"):
        Conformers("C6H6", {"ring": (0, 1)})


def test_indices_may_be_of_numpy() -> None:
    """Torsions read from a file or computed are like those that are typed."""
    row = central_torsion("trans-butane")
    typed = Conformers("trans-butane", [row]).description()
    assert Conformers("trans-butane", np.array([row])).description() == typed
    assert Conformers("trans-butane", [np.array(row)]).description() == typed


def test_refuses_atoms_in_line() -> None:
    """About atoms in line no dihedral is defined."""
    butyne = Molecule.from_smiles("CC#CCO")
    with pytest.raises(InputError, match="have no three atoms in line"):
        Conformers(butyne, [(0, 1, 2, 3)])


def test_says_where_everything_clashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space without conformers is refused."""
    monkeypatch.setattr("bostruct.spaces.molecules.conformers.CONTACT_FACTOR", 30.0)
    monkeypatch.setattr("bostruct.spaces.molecules.conformers.REFERENCE_SLACK", 30.0)
    with pytest.raises(SpaceError, match="have conformers in which atoms do not clash"):
        Conformers("trans-butane")

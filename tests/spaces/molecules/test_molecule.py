import builtins
import json
import math
import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule as ase_molecule
from ase.collections import g2

from bostruct.errors import InputError, ShapeError
from bostruct.spaces.molecules import Molecule
from bostruct.structures import from_ase, to_pymatgen
from bostruct.testing.central_differences import assert_gradient


@pytest.fixture(scope="module")
def ethanol():
    return Molecule.from_name("CH3CH2OH")


def test_every_molecule_of_ase_is_one():
    for name in g2.names:
        if len(ase_molecule(name)) > 1:
            molecule = Molecule.from_name(name)
            assert molecule.name == name
            assert molecule.positions.mean(0).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["H2O", "CO", "CH3CH2OH", "C6H6", "H2O2", "CH3CONH2"])
def test_a_description_gives_the_same_molecule(name):
    molecule = Molecule.from_name(name)
    description = json.loads(json.dumps(molecule.description(), allow_nan=False))
    again = Molecule.from_description(description)
    assert again.description() == molecule.description()
    assert torch.equal(again.positions, molecule.positions)
    assert torch.equal(again.torsions, molecule.torsions)


def test_it_travels_to_other_processes(ethanol):
    copy = pickle.loads(pickle.dumps(ethanol))
    assert copy.description() == ethanol.description()


def test_rotatable_bonds():
    # bonds, and how many of them are methyl rotors
    counts = {"H2O": (0, 0), "CO": (0, 0), "C6H6": (0, 0), "C2H4": (0, 0), "cyclobutane": (0, 0)}
    counts |= {"CH3CH2OH": (2, 1), "H2O2": (1, 0), "trans-butane": (3, 2), "CH3COOH": (2, 1)}
    counts |= {"CH3CONH2": (2, 1), "butadiene": (1, 0), "C3H4_C3v": (0, 0), "2-butyne": (0, 0)}
    for name, (n_torsions, n_methyl) in counts.items():
        molecule = Molecule.from_name(name)
        assert molecule.n_torsions == n_torsions, name
        assert (
            molecule.is_methyl_rotor.tolist()
            == [False] * (n_torsions - n_methyl) + [True] * n_methyl
        ), name


def test_the_smaller_side_turns(ethanol):
    _, _, k, _ = ethanol.torsions[0].tolist()
    assert ethanol.symbols[k] == "O"
    assert ethanol.sides.sum(-1).tolist() == [2, 4]


def test_dihedrals_are_set_and_read_back(ethanol):
    angles = torch.tensor([[-3.0, 0.5], [1.0, 2.0], [0.0, 3.1]], dtype=torch.float64)
    P = ethanol.with_torsions(angles)
    torch.testing.assert_close(ethanol.dihedral_angles(P), angles)
    bonds = ethanol.bonds
    lengths = torch.linalg.vector_norm(P[:, bonds[:, 0]] - P[:, bonds[:, 1]], dim=-1)
    reference = ethanol.distances[bonds[:, 0], bonds[:, 1]]
    torch.testing.assert_close(lengths, reference.expand_as(lengths))


def test_reference_angles_give_the_reference(ethanol):
    P = ethanol.with_torsions(ethanol.dihedral_angles(ethanol.positions))
    torch.testing.assert_close(P, ethanol.positions)
    turned = ethanol.turn_torsions(P, torch.full((2,), 2 * math.pi, dtype=torch.float64))
    torch.testing.assert_close(turned, P)


def test_conformations_are_differentiable_in_the_angles(ethanol):
    angles = torch.tensor([[0.4, 0.5], [1.0, -2.0]], dtype=torch.float64)
    assert_gradient(lambda a: ethanol.with_torsions(a).sin().sum(), angles)


def test_a_wrong_number_of_angles_is_refused(ethanol):
    with pytest.raises(ShapeError, match=r"angles.*\[\*, 2\]"):
        ethanol.with_torsions(torch.zeros(3))


def test_fragments_of_a_bond(ethanol):
    j = ethanol.symbols.index("O")
    bond = next((i, j) for i in (0, 1) if j in ethanol.neighbors[i])
    carbon_side, oxygen_side = ethanol.fragments(bond)
    assert int(oxygen_side.sum()) == 2
    assert torch.equal(carbon_side, ~oxygen_side)
    with pytest.raises(InputError, match=r"bond.*two bonded atoms"):
        ethanol.fragments((0, 0))
    benzene = Molecule.from_name("C6H6")
    ring = next(pair for pair in benzene.bonds.tolist() if benzene.numbers[pair].sum() == 12)
    with pytest.raises(InputError, match="outside of rings"):
        benzene.fragments(ring)


def test_stereocenters():
    assert not any(Molecule.from_name(name).has_stereocenter for name in ("CH4", "CH3CH2OH"))
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    lengths = np.array([[1.09], [1.36], [1.76], [1.94]])
    positions = np.concatenate(([[0, 0, 0]], lengths * corners))
    assert Molecule.from_ase(Atoms("CHFClBr", positions=positions)).has_stereocenter
    assert not Molecule.from_ase(Atoms("CHFCl2", positions=positions)).has_stereocenter


def test_all_ways_to_give_a_molecule(tmp_path):
    atoms = ase_molecule("CH3OH")
    path = tmp_path / "methanol.xyz"
    atoms.write(path)
    pymatgen = to_pymatgen(from_ase(atoms))[0]
    expected = Molecule.from_name("CH3OH")
    for given in (atoms, "CH3OH", str(path), path, pymatgen, expected):
        molecule = Molecule.from_any(given)
        assert molecule.bonds.tolist() == expected.bonds.tolist()
        torch.testing.assert_close(molecule.positions, expected.positions, rtol=0, atol=1e-6)


def test_constraints_do_not_matter():
    from ase.constraints import FixBondLength

    atoms = ase_molecule("CO")
    atoms.set_constraint(FixBondLength(0, 1))
    assert Molecule.from_ase(atoms).formula == "CO"


def test_what_is_no_molecule_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ase.build.molecule knows, got 'caffein'"):
        Molecule.from_name("caffein")
    with pytest.raises(InputError, match=r"be a name, Atoms.*got 3"):
        Molecule.from_any(3)
    apart = ase_molecule("H2O")
    apart.positions[1, 1] += 3
    with pytest.raises(InputError, match=r"one whole molecule, got 2 parts \(HO, H\)"):
        Molecule.from_ase(apart)
    periodic = ase_molecule("H2O", vacuum=4, pbc=True)
    with pytest.raises(InputError, match="not be periodic"):
        Molecule.from_ase(periodic)
    with pytest.raises(InputError, match="be one structure, got 2"):
        Molecule.from_structures(from_ase([ase_molecule("H2O")] * 2))


def test_atoms_on_top_of_each_other_are_refused():
    for length in (0.0, 0.074):
        with pytest.raises(InputError, match=r"atoms that are apart, got H 0 and H 1 .* Å"):
            Molecule.from_ase(Atoms("H2", [(0, 0, 0), (0, 0, length)]))


def test_a_name_with_a_suffix_is_a_file():
    with pytest.raises(InputError, match=r"got water.xyz, which is no file"):
        Molecule.from_any("water.xyz")


def test_wrong_tensors_are_refused():
    def make(**changes):
        arguments = {
            "numbers": torch.tensor([8, 1]),
            "positions": torch.eye(3, dtype=torch.float64)[:2],
            "bonds": torch.tensor([[0, 1]]),
            "is_multiple": torch.tensor([False]),
        }
        return Molecule("OH", **{**arguments, **changes})

    assert make().formula == "HO"
    with pytest.raises(InputError, match=r"atomic numbers from 1"):
        make(numbers=torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"positions.*finite"):
        make(positions=torch.full((2, 3), torch.nan))
    for bonds in ([[0, 0]], [[0, 2]]):
        with pytest.raises(InputError, match="different pairs of atoms from 0 to 1"):
            make(bonds=torch.tensor(bonds))


def test_smiles_give_whole_molecules_with_their_bond_orders():
    pytest.importorskip("rdkit")
    molecule = Molecule.from_smiles("CC(N)C(=O)O")
    assert molecule.formula == "C3H7NO2"
    assert molecule.has_stereocenter
    assert int(molecule.is_multiple.sum()) == 1
    assert molecule.n_torsions == 4
    assert molecule.is_methyl_rotor.tolist() == [False, False, False, True]
    assert molecule.description() == Molecule.from_smiles("CC(N)C(=O)O").description()
    benzene = Molecule.from_smiles("c1ccccc1")
    assert int(benzene.is_multiple.sum()) == 6


def test_smiles_that_rdkit_cannot_read_are_refused():
    pytest.importorskip("rdkit")
    with pytest.raises(InputError, match="SMILES that RDKit reads"):
        Molecule.from_smiles("C(")
    for smiles in ("", 3, None):
        with pytest.raises(InputError, match="SMILES that RDKit reads"):
            Molecule.from_smiles(smiles)
    with pytest.raises(InputError, match="one whole molecule, got 2 parts"):
        Molecule.from_smiles("O.O")


def test_smiles_without_rdkit(monkeypatch):
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("rdkit"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"RDKit installed.*pip install 'bostruct\[smiles\]'"):
        Molecule.from_smiles("CCO")

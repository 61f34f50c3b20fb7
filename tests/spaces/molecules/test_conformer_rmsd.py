"""RMSD by which conformers are pruned."""

from __future__ import annotations

import pytest
import torch

from bostruct.spaces import Conformers, Molecule
from bostruct.spaces.molecules.conformer_rmsd import ConformerRMSD
from bostruct.spaces.molecules.rotations import random_rotations
from bostruct.testing import seeded_generator


def positions(molecule: Molecule, n: int) -> torch.Tensor:
    space = Conformers(molecule, "all")
    X = space.sample(n, seeded_generator(0))
    return space.decode(X).positions.reshape(n, -1, 3)


def test_rotations_mirrors_and_hydrogen_atoms_do_not_count() -> None:
    """Of an achiral molecule; the turn of a methyl group changes hydrogen atoms only."""
    molecule = Molecule.from_name("trans-butane")
    rmsd = ConformerRMSD.from_molecule(molecule)
    P, Q = positions(molecule, 2)
    R = random_rotations((), seeded_generator(1))
    assert rmsd(P, P @ R.T + 3.0) == pytest.approx(0.0, abs=1e-6)
    assert rmsd(P, -P) == pytest.approx(0.0, abs=1e-6)
    assert rmsd(P, Q) == pytest.approx(rmsd(Q, P))
    space = Conformers(molecule, "all")
    is_methyl = molecule.is_methyl_rotor[[0, 1, 2]]
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1, is_methyl] = 1.0
    first, second = space.decode(x).positions.reshape(2, -1, 3)
    assert rmsd(first, second) == pytest.approx(0.0, abs=1e-6)
    assert len(rmsd.orders) == 2  # the chain and its reverse


def test_agrees_with_rdkit() -> None:
    """GetBestRMS of RDKit, of a chiral molecule with equal atoms."""
    chem = pytest.importorskip("rdkit.Chem")
    align = pytest.importorskip("rdkit.Chem.rdMolAlign")
    smiles = "CC(C)[C@H](N)C(=O)O"
    molecule = Molecule.from_smiles(smiles)
    rmsd = ConformerRMSD.from_molecule(molecule)
    assert not rmsd.is_mirrored
    P, Q = positions(molecule, 2)
    known = chem.AddHs(chem.MolFromSmiles(smiles))
    assert [atom.GetAtomicNum() for atom in known.GetAtoms()] == molecule.numbers.tolist()
    copies = []
    for R in (P, Q):
        copy = chem.Mol(known)
        conformer = chem.Conformer(copy.GetNumAtoms())
        for i, xyz in enumerate(R.tolist()):
            conformer.SetAtomPosition(i, xyz)
        copy.AddConformer(conformer)
        copies.append(chem.RemoveHs(copy))
    assert rmsd(P, Q) == pytest.approx(align.GetBestRMS(*copies), abs=1e-4)

"""Space in which all atoms of a structure move."""

from __future__ import annotations

import torch

from bostruct.campaign.relaxation.all_atoms import all_atoms_space, relaxes_in_other_space
from bostruct.spaces import Cluster
from tests.campaign.molecular_mechanics import conformers


def test_conformers_are_inside() -> None:
    """Every conformer is one whole molecule, its atoms in their order."""
    space = conformers()
    assert relaxes_in_other_space(space)
    atoms = all_atoms_space(space)
    structures = space.decode(space.sample(8, torch.Generator().manual_seed(0)))
    X = atoms.encode(structures)
    assert atoms.contains(X).all()
    assert torch.equal(atoms.numbers, space.numbers)
    torch.testing.assert_close(atoms.decode(X).positions, structures.positions)


def test_atoms_move_already() -> None:
    """A space of positions is its own."""
    space = Cluster("Cu3")
    assert all_atoms_space(space) is space
    assert not relaxes_in_other_space(space)

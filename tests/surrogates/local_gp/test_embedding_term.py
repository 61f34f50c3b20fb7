"""The embedding process itself: what its features say of atoms."""

import math

import numpy as np
import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import EmbeddingTerm

RADII = torch.tensor([1.32], dtype=torch.float64)


def test_an_isolated_atom_has_an_embedding_energy_of_its_own():
    """It has little to do with that of an atom in a crystal, and that is as uncertain."""
    term = EmbeddingTerm().build(RADII)
    atoms = [Atoms("Cu"), Atoms("Cu", cell=2.55 * (np.ones((3, 3)) - np.eye(3)) / math.sqrt(2))]
    atoms[1].pbc = True
    structures, species = from_ase(atoms), torch.zeros(2, dtype=torch.int64)
    F = term.features(structures, species, structures.index, 2)
    K = F @ F.T
    assert (K.diagonal() - 1).abs().max() < 0.15
    assert K[0, 1].abs() < 0.05

"""Compiled loops over pairs, against tensor operations."""

import numpy as np
import pytest
import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import EmbeddingTerm, PairTerm
from bostruct.surrogates.local_gp.embedding_term import FittedEmbeddingTerm
from bostruct.surrogates.local_gp.energy_terms import find_pairs

RADII = torch.tensor([1.32, 1.36], dtype=torch.float64)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("description", [PairTerm(), EmbeddingTerm()])
def test_loops_do_what_tensors_do(description, periodic):
    rng = np.random.default_rng(0)
    structures = from_ase(
        [
            Atoms(name, rng.uniform(0, 5, (5, 3)), cell=[5, 5.5, 6], pbc=periodic)
            for name in ("Cu2Au3", "Cu4Au")
        ]
    )
    species, term = (structures.numbers == 79).to(torch.int64), description.build(RADII)
    pairs = find_pairs(structures, term.cutoff)
    arguments = structures.positions, pairs, species, structures.index
    if isinstance(term, FittedEmbeddingTerm):
        arguments += (torch.zeros(10, dtype=torch.float64),)
    expected = term.differentiable_sums(*arguments, 2) @ term.root
    found = term.features(structures, species, structures.index, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    expected = term.tensor_forces(*arguments[:3]) @ term.root
    found = term.force_features(structures, species)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("description", [PairTerm(), EmbeddingTerm()])
def test_positions_that_are_no_numbers_show(description):
    """In the structure that has them."""
    structures = from_ase([Atoms("Cu2", [(0, 0, 0), (0, 0, z)]) for z in (2.0, 2.5)])
    species, term = torch.zeros(4, dtype=torch.int64), description.build(RADII[:1])
    structures.positions[1, 2] = torch.nan
    found = term.features(structures, species, structures.index, 2)
    assert not found[0].isfinite().all()
    assert found[1].isfinite().all()

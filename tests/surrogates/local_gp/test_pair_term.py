"""The pair process itself: what its features say of two atoms."""

import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import PairTerm

RADII = torch.tensor([1.32], dtype=torch.float64)


def dimer_features(term, r):
    dimers = from_ase([Atoms("Cu2", [(0, 0, 0), (0, 0, float(x))]) for x in r])
    species = torch.zeros(2 * len(r), dtype=torch.int64)
    return term.features(dimers, species, dimers.index, len(r))


def test_a_dimer_is_one_value_of_the_pair_process():
    """Its features at two distances correlate as the kernel says, times the cutoff function."""
    term = PairTerm(power=1e-9).build(RADII)
    r = torch.tensor([2.0, 2.2, 2.6, 4.0], dtype=torch.float64)
    F = dimer_features(term, r)
    F = F / (1 - (r / term.cutoff) ** 2).pow(3).unsqueeze(-1)
    u = torch.log(r**2 + float(term.core) ** 2) / 2
    expected = torch.exp(-(u - u.unsqueeze(-1)).square() / (2 * 0.18**2 * (1 + 0.45**2 * 2 / 3)))
    torch.testing.assert_close(F @ F.T, expected, rtol=0, atol=0.03)


def test_pairs_vary_less_the_farther_they_are():
    term = PairTerm(power=2.0).build(RADII)
    r = 2.64 * torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64)
    F = dimer_features(term, r)
    std = F.norm(dim=-1) / (1 - (r / term.cutoff) ** 2).pow(3)
    expected = 1 / (r**2 / 2.64**2 + 0.35**2)
    torch.testing.assert_close(std, expected, rtol=0.1, atol=0)
    assert (dimer_features(term, [1.001 * term.cutoff]) == 0).all()

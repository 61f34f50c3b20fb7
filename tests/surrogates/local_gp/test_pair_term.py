"""The pair process itself: what its features say of two atoms."""

import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import PairTerm
from bostruct.surrogates.local_gp.pair_term import ROUGH_FRACTION

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
    square = (u - u.unsqueeze(-1)).square() / 0.18**2
    smooth, rough = torch.exp(-square / 2), torch.exp(-2 * square)
    expected = (1 - ROUGH_FRACTION) * smooth + ROUGH_FRACTION * rough
    torch.testing.assert_close(F @ F.T, expected, rtol=0, atol=0.03)


def test_pairs_vary_less_the_farther_they_are():
    term = PairTerm(power=2.0).build(RADII)
    r = 2.64 * torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64)
    F = dimer_features(term, r)
    std = F.norm(dim=-1) / (1 - (r / term.cutoff) ** 2).pow(3)
    expected = 1 / (r**2 / 2.64**2 + 0.35**2)
    torch.testing.assert_close(std, expected, rtol=0.1, atol=0)
    assert (dimer_features(term, [1.001 * term.cutoff]) == 0).all()


def test_the_wall_of_a_stiff_potential_is_no_rougher_than_the_splines():
    """A Morse potential of ρ0 = 14, from 50 times the depth of its well on, to a hundredth."""
    term = PairTerm().build(RADII)
    r = 2.64 * torch.linspace(0.85, 2.0, 400, dtype=torch.float64)
    x = torch.exp(-14 * (r / 2.64 - 1))
    energy = x**2 - 2 * x
    weight = 1 / (1 + energy.abs())
    F = dimer_features(term, r) * weight.unsqueeze(-1)
    residual = energy * weight - F @ (torch.linalg.pinv(F, rcond=1e-10) @ (energy * weight))
    assert residual.abs().max() < 0.01

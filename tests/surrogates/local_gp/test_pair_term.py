"""The pair process itself: what its features say of two atoms."""

import torch
from ase import Atoms

from bostruct.structures import from_ase
from bostruct.surrogates import PairTerm
from bostruct.surrogates.local_gp.spline_process import matern_5_2, squared_exponential

RADII = torch.tensor([1.32], dtype=torch.float64)


def dimer_features(term, r):
    dimers = from_ase([Atoms("Cu2", [(0, 0, 0), (0, 0, float(x))]) for x in r])
    species = torch.zeros(2 * len(r), dtype=torch.int64)
    return term.features(dimers, species, dimers.index, len(r))


def process_features(term, r):
    """Return u, and the features of g and of h without the cutoff function."""
    F = dimer_features(term, r) / (1 - (r / term.cutoff) ** 2).pow(3).unsqueeze(-1)
    u = torch.log((r**2 + float(term.core) ** 2) / 2.64**2) / 2
    return u, F[:, : term.n_short], F[:, term.n_short :]


def test_a_dimer_is_one_value_of_each_process():
    """Its features at two distances correlate as the kernels say."""
    r = torch.tensor([2.0, 2.2, 2.6, 4.0], dtype=torch.float64)
    u, short, long = process_features(PairTerm().build(RADII), r)
    gap = (u - u.unsqueeze(-1)).abs()
    for F, kernel in ((short, matern_5_2(gap / 0.36)), (long, squared_exponential(gap / 0.5))):
        std = F.norm(dim=-1)
        torch.testing.assert_close(F @ F.T / std / std.unsqueeze(-1), kernel, rtol=0, atol=0.03)


def test_pairs_vary_less_the_farther_they_are():
    term = PairTerm().build(RADII)
    r = 2.64 * torch.tensor([0.5, 0.8, 1.0, 1.5, 2.0], dtype=torch.float64)
    u, short, long = process_features(term, r)
    expected = 2 / (torch.exp(2 * u) + torch.exp(6 * u))
    torch.testing.assert_close(short.norm(dim=-1), expected, rtol=0.1, atol=0.003)
    torch.testing.assert_close(long.norm(dim=-1), torch.exp(-u), rtol=0.05, atol=0)
    assert (dimer_features(term, [1.001 * term.cutoff]) == 0).all()

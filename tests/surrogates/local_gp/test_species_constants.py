"""Priors of the energies of the species."""

import math

import pytest
import torch

from bostruct.surrogates import SpeciesConstants


def test_constants_that_the_data_leave_open_have_the_deviation_of_the_means():
    """Pt12O and Pt24O2 do not tell platinum from oxygen; PtO does."""
    means = torch.tensor([-600.0, -50.0], dtype=torch.float64)
    alike = torch.tensor([[12.0, 1.0], [24.0, 2.0]])
    term = SpeciesConstants(width=5.0).build(alike, means, 2.0)
    along = torch.tensor([12.0, 1.0]).double() / math.sqrt(145)
    variance = (term.directions * term.weight_std) @ (term.directions * term.weight_std).T
    assert float((along @ variance @ along).sqrt()) == pytest.approx(10.0)
    across = torch.tensor([1.0, -12.0]).double() / math.sqrt(145)
    assert float((across @ variance @ across).sqrt()) == pytest.approx(600.0)
    told = torch.tensor([[12.0, 1.0], [1.0, 1.0]])
    term = SpeciesConstants(width=5.0).build(told, means, 2.0)
    assert float(term.weight_std.min()) == pytest.approx(10.0)
    assert 10 < float(term.weight_std.max()) < 600
    moved = SpeciesConstants(width=5.0).build(told, 1e6 * means, 2.0)
    assert torch.equal(moved.weight_std, term.weight_std)

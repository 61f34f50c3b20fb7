"""Residual variances of rows, written out and estimated from a few of them."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp import row_statistics as module
from bostruct.surrogates.training_data import prepare_observations
from tests.surrogates.dense import Dense

DEVIATIONS = (2.0, 0.02, 0.05)  # signal eV, energy noise eV per root atom, force noise eV/Å


@pytest.fixture(params=["one species", "two species"])
def both(request, data, mixed):
    return data if request.param == "one species" else mixed


def radii_of(model, structures):
    return model.fitted.radii[model.soap.species_index(structures.numbers)]


def test_what_is_not_seen_goes_with_the_statistics(both):
    """Its mean over the rows, of which each is written out; some are trusted less."""
    train = both[:9]
    model = LocalGP(max_inducing=12, hyperparameters=DEVIATIONS).fit(train)
    data = prepare_observations(train, model.pair_repulsion, radii_of(model, train))
    data = replace(data, noise_factor=torch.linspace(1, 3, 9, dtype=torch.float64))
    energies, forces = module.sufficient_statistics(
        model.soap, model.inducing, data, with_residual=True
    )
    dense = Dense(model, train)
    rest = dense.kernel(dense.train, dense.train).diagonal()
    rest = rest - dense.features(train, forces=True).square().sum(-1)  # terms have none
    trust = data.noise_factor.square()
    of_energies = rest[:9] / (trust * train.counts)
    of_forces = rest[9:].view(9, -1) / trust.unsqueeze(-1)
    for found, expected in ((energies, of_energies), (forces, of_forces)):
        torch.testing.assert_close(found.mean_residual_variance, expected.mean(), rtol=1e-8, atol=0)
    assert energies.mean_residual_variance > 0


def test_a_few_forces_tell_what_is_not_seen_of_all(data, monkeypatch):
    """Of 10 of 40 structures, and of 3 of 6 atoms of each."""
    model = LocalGP(max_inducing=12, hyperparameters=DEVIATIONS).fit(data[:10])
    known = prepare_observations(data, model.pair_repulsion, radii_of(model, data))
    arguments = (model.soap, model.inducing, known)
    _, every = module.sufficient_statistics(*arguments, with_residual=True)
    monkeypatch.setattr(module, "N_PROBE_STRUCTURES", 10)
    monkeypatch.setattr(module, "N_PROBE_ATOMS", 3)
    _, some = module.sufficient_statistics(*arguments, with_residual=True)
    assert some.mean_residual_variance != every.mean_residual_variance
    assert float(some.mean_residual_variance) == pytest.approx(
        float(every.mean_residual_variance), rel=0.3
    )
    assert torch.equal(some.gram, every.gram)


def test_witnesses_are_spread_evenly(data, monkeypatch):
    monkeypatch.setattr(module, "N_PROBE_STRUCTURES", 4)
    monkeypatch.setattr(module, "N_PROBE_ATOMS", 2)
    known = torch.ones(len(data.numbers), dtype=torch.bool)
    known[:6] = False  # nothing of the first of 40 structures, half of the second
    known[9:12] = False
    found = module.probe_atoms(data, known).view(40, 6)
    assert found.any(1).nonzero().flatten().tolist() == [1, 11, 21, 31]
    assert found[1].nonzero().flatten().tolist() == [0, 2]
    assert found[11].nonzero().flatten().tolist() == [0, 3]
    assert not module.probe_atoms(data, torch.zeros_like(known)).any()

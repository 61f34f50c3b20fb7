"""Exact covariances of some rows against the dense process of all of them."""

from dataclasses import replace

import pytest
import torch

from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.dot_product_kernel import ExponentialKernel, PowerKernel
from bostruct.surrogates.local_gp.energy_terms import NO_TERMS
from bostruct.surrogates.local_gp.exact_covariance import ExactRows, ForceRows
from bostruct.surrogates.local_gp.marginal_likelihood import (
    StandardDeviations,
    log_marginal_likelihood,
)
from bostruct.surrogates.training_data import prepare_observations
from tests.surrogates.dense import Dense, labelled

EXPONENTIALS = ExponentialKernel((0.2, 0.8), (0.05, 0.5))


@pytest.fixture(scope="module")
def train(mixed, space):
    """Return structures of two sizes and species, one with a force missing, one without any."""
    small = labelled(space.sample(1, torch.Generator().manual_seed(3)), space)
    forces = mixed.forces.clone()
    forces[3, 1] = torch.nan
    forces[12:18] = torch.nan
    return Structures.cat([replace(mixed, forces=forces)[:3], small])


@pytest.mark.parametrize("kernel", [PowerKernel(3), PowerKernel(1), EXPONENTIALS])
@pytest.mark.parametrize("chunk", [1, 8192])
def test_are_those_of_the_dense_process(train, kernel, chunk, monkeypatch):
    monkeypatch.setattr("bostruct.surrogates.training_data.PAIRS_PER_CHUNK", chunk)
    soap = LocalGP(n_max=3, l_max=2).descriptor(train)[0]
    soap = replace(soap, species_similarity=0.5)
    model = LocalGP(max_inducing=4).fit(train)
    model.soap, model.kernel, model.terms = soap, kernel, NO_TERMS
    whole = replace(train, forces=train.forces.nan_to_num())
    dense = Dense(model, whole)
    data = prepare_observations(train, None, torch.ones(len(train.numbers)))
    rows = ForceRows.draw(data, 40)
    found = ExactRows.compute(soap, data, rows).covariance(kernel)
    kept = torch.cat((torch.arange(4), 4 + 3 * rows.atom + rows.axis))
    expected = dense.kernel(dense.train, dense.train)[kept][:, kept]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_likelihood_is_that_of_a_gaussian(train):
    soap = LocalGP(n_max=3, l_max=2).descriptor(train)[0]
    data = prepare_observations(train, None, torch.ones(len(train.numbers)))
    data = replace(data, noise_factor=torch.linspace(1, 2, 4, dtype=torch.float64))
    rows = ForceRows.draw(data, 30)
    exact = ExactRows.compute(soap, data, rows)
    statistics = rows.statistics(exact.features_of(EXPONENTIALS), data)
    s, e, f = (torch.tensor(x, dtype=torch.float64) for x in (2.0, 0.1, 0.2))
    y = torch.cat((data.energy, data.forces[rows.atom, rows.axis]))
    structure = data.structures.index[rows.atom]
    noise = torch.cat(
        (
            e**2 * data.structures.counts * data.noise_factor**2,
            (f * data.noise_factor[structure]) ** 2,
        )
    )
    C = s**2 * exact.covariance(EXPONENTIALS) + torch.diag(noise)
    expected = torch.distributions.MultivariateNormal(torch.zeros_like(y), C).log_prob(y)
    found = log_marginal_likelihood(statistics, StandardDeviations(s, e, f))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_rows_are_known_forces_and_the_same_again(train):
    data = prepare_observations(train, None, torch.ones(len(train.numbers)))
    rows, again = (ForceRows.draw(data, 400) for _ in range(2))
    assert torch.equal(rows.atom, again.atom)
    assert torch.equal(rows.axis, again.axis)
    assert data.forces[rows.atom, rows.axis].isfinite().all()
    assert len(rows.atom) == int(data.forces.isfinite().sum())
    assert (rows.atom.diff() >= 0).all()
    few = ForceRows.draw(data, 40)
    counts = torch.bincount(data.structures.index[few.atom], minlength=4)
    assert counts.tolist() == [10, 10, 0, 10]


def test_energies_alone_are_rows(train):
    alone = replace(train, forces=None)
    soap = LocalGP(n_max=3, l_max=2).descriptor(alone)[0]
    data = prepare_observations(alone, None, torch.ones(len(alone.numbers)))
    rows = ForceRows.draw(data, 40)
    exact = ExactRows.compute(soap, data, rows)
    assert exact.covariance(PowerKernel(3)).shape == (4, 4)
    energies, forces = rows.statistics(exact.features_of(PowerKernel(3)), data)
    assert (energies.n_rows, forces.n_rows) == (4, 0)

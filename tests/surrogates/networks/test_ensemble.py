"""What all surrogates of networks have in common."""

from dataclasses import replace

import pytest
import torch
from ase.calculators.emt import EMT
from safetensors.torch import load, save

import bostruct as bo
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import InputError
from bostruct.surrogates import (
    Committee,
    DeepEnsemble,
    Dropout,
    LastLayer,
    MeanVariance,
    ShallowEnsemble,
)
from tests.surrogates.small import SMALL

FAMILY = {
    "last layer": LastLayer(SMALL, n_members=3),
    "committee": Committee(SMALL, n_members=3),
    "dropout": Dropout(SMALL, n_members=3),
    "mean and variance": MeanVariance(SMALL),
    "deep ensemble": DeepEnsemble(SMALL, n_members=2),
    "shallow ensemble": ShallowEnsemble(SMALL, n_members=3),
}


@pytest.fixture(scope="module", params=list(FAMILY))
def case(request, mixed, alloy):
    surrogate = FAMILY[request.param]
    return surrogate, surrogate.fit(mixed[:6], alloy)


def test_state_survives_a_file_to_the_last_bit(case, mixed, alloy):
    surrogate, model = case
    again = surrogate.restore(load(save(model.state())), alloy)
    found, expected = again.predict(mixed[6:9]), model.predict(mixed[6:9])
    for name, value in vars(expected).items():
        same = getattr(found, name)
        assert same is value if value is None else torch.equal(same, value), name
    X = alloy.encode(mixed[6:8])
    first, second = again.posterior(X), model.posterior(X)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.variance, second.variance)
    assert again.hyperparameters() == model.hyperparameters()


def test_fitting_twice_gives_the_same(case, mixed, alloy):
    surrogate, model = case
    again = surrogate.fit(mixed[:6], alloy)
    for name, value in model.state().items():
        assert torch.equal(again.state()[name], value), name


def test_forces_are_minus_the_slopes(case, mixed):
    _, model = case
    one = mixed[7]
    generator = torch.Generator().manual_seed(0)
    along = torch.randn(one.positions.shape, generator=generator, dtype=torch.float64)
    up, down = (
        model.predict(replace(one, positions=one.positions + h * along)).mean for h in (1e-4, -1e-4)
    )
    secant = ((up - down) / 2e-4).squeeze()
    found = model.predict(one).forces
    torch.testing.assert_close(-(found * along).sum(), secant, rtol=1e-4, atol=1e-6)


def test_posterior_slopes_match_central_differences(case, mixed, alloy):
    _, model = case
    X = alloy.encode(mixed[6:8]).requires_grad_()

    def value(X):
        posterior = model.posterior(X)
        C = posterior.distribution.covariance_matrix
        return posterior.mean.sum() + 1e3 * (C[0, 1] + C.diagonal().sum())

    (slope,) = torch.autograd.grad(value(X), X)
    generator = torch.Generator().manual_seed(1)
    along = torch.randn(X.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        secant = (value(X + 1e-4 * along) - value(X - 1e-4 * along)) / 2e-4
    torch.testing.assert_close((slope * along).sum(), secant, rtol=1e-4, atol=1e-5)


def test_energies_ignore_turns_and_the_order_of_atoms(case, mixed):
    _, model = case
    one = mixed[8]
    generator = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(6, generator=generator)
    moved = replace(one, positions=(one.positions @ turn)[order], numbers=one.numbers[order])
    first, second = model.predict(one), model.predict(moved)
    torch.testing.assert_close(first.mean, second.mean)
    torch.testing.assert_close(first.variance, second.variance)
    torch.testing.assert_close(first.atomic_energies[order], second.atomic_energies)
    torch.testing.assert_close(first.atomic_energies.sum(), first.mean[0] - _wall(model, one))


def _wall(model, one):
    encoder = model.predictor.featurizer
    return encoder.pair_repulsion(one, encoder.radii[encoder.soap.species_index(one.numbers)])[0]


def test_numbers_for_people(case):
    surrogate, model = case
    found = model.hyperparameters()
    assert all(torch.tensor(list(found.values())).isfinite())
    assert {"log_marginal_likelihood", "cutoff_angstrom"} <= found.keys()
    assert surrogate.description()["type"] == type(surrogate).__name__
    assert surrogate.description()["network"]["width"] == 8


def test_unknown_species_are_refused(case, data):
    model = FAMILY["committee"].fit(data[:3])
    gold = replace(data[0], numbers=torch.full((6,), 79))
    with pytest.raises(InputError, match="`numbers` must be among the descriptor's"):
        model.predict(gold)


@pytest.mark.parametrize("name", list(FAMILY))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_its_data(name, dtype, data, space, device):
    known = data[:6].to(device, dtype)
    model = FAMILY[name].fit(known, space)
    X = space.encode(data[6:8]).to(device, dtype)
    posterior = model.posterior(X)
    posterior.rsample()
    said = [value for value in vars(model.predict(known)).values() if value is not None]
    for tensor in (posterior.mean, posterior.variance, *said):
        assert tensor.dtype == dtype
        assert tensor.device.type == device.type
        assert tensor.isfinite().all()


@pytest.mark.parametrize("name", list(FAMILY))
def test_a_campaign_runs_and_can_be_verified(name, tmp_path):
    campaign = bo.Campaign(
        bo.spaces.Cluster("Cu4"),
        bo.evaluators.Calculator(EMT),
        surrogate=FAMILY[name],
        search=bo.candidates.BasinHopping(n_candidates=4, n_rounds=1, max_steps=3),
        stop=bo.stop.Evaluations(4),
        n_initial=3,
    )
    campaign.run(tmp_path / "run")
    found = verify_log(open_log(tmp_path / "run"))
    assert found.is_valid, found.problems
    assert found.n_rebuilt == 1

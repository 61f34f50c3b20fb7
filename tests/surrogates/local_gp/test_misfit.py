"""The share of noise-free energies that no weights represent."""

import json
from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP, condition_on_observations
from bostruct.surrogates.local_gp.misfit import (
    label_noise_variance,
    misfit_covariance,
    misfit_variance,
)

SMALL = LocalGP(n_max=3, l_max=2, max_inducing=40)
EXACT = 1e-9


@pytest.fixture(scope="module")
def fitted(data, space):
    return SMALL.fit(data[:15], space)


@pytest.mark.parametrize("fraction", [0.0, 0.5, None])
def test_an_observed_energy_is_the_same_whatever_is_noise(data, space, fitted, fraction):
    fitted_noise = float(fitted.fitted.energy_noise_std)
    label_noise = None if fraction is None else fraction * fitted_noise
    model = replace(SMALL, label_noise=label_noise).fit(data[:15], space)
    found, free = model.predict(data[15:]), fitted.predict(data[15:])
    torch.testing.assert_close(found.mean, free.mean, rtol=0, atol=0)
    torch.testing.assert_close(found.predictive_variance, free.predictive_variance)
    total = 6 * float(model.fitted.energy_noise_std) ** 2
    noise = total if label_noise is None else 6 * label_noise**2
    torch.testing.assert_close(found.noise_variance, torch.full((25,), noise).double())
    X = space.encode(data[15:])
    latent, observed = model.posterior(X), model.posterior(X, observation_noise=True)
    torch.testing.assert_close(
        (observed.variance - latent.variance).flatten(), found.noise_variance, atol=1e-12, rtol=1e-6
    )


def test_labels_that_are_noisier_than_the_fit_have_no_misfit():
    e, counts = torch.tensor(0.01).double(), torch.tensor([4, 9])
    assert misfit_variance(e, 0.02, counts).tolist() == [0, 0]
    assert misfit_variance(e, None, counts).tolist() == [0, 0]
    torch.testing.assert_close(misfit_variance(e, 0.006, counts), 6.4e-5 * counts.double())
    torch.testing.assert_close(label_noise_variance(e, 0.02, counts), 4e-4 * counts.double())
    torch.testing.assert_close(label_noise_variance(e, None, counts), 1e-4 * counts.double())


def test_copies_share_their_misfit_and_other_structures_do_not(data, space, fitted):
    one = data[20]
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turned = replace(one, positions=one.positions @ rotation.double())
    order = torch.tensor([3, 1, 0, 5, 2, 4])
    renumbered = replace(one, positions=one.positions[order])
    batch = Structures.cat([one, turned, renumbered, data[21]]).without_results()
    plain = replace(SMALL, label_noise=None).fit(data[:15], space)
    whole, rest = (m.predict(batch, covariance=True).covariance for m in (fitted, plain))
    variance = 6 * fitted.fitted.energy_noise_std**2
    expected = variance * torch.block_diag(torch.ones(3, 3), torch.ones(1, 1)).double()
    torch.testing.assert_close(whole - rest, expected, rtol=1e-6, atol=1e-9)


def test_a_known_structure_is_not_unknown_again(data, space, fitted):
    """Neither after an observation of it, nor as another one of the same batch."""
    X = space.encode(data[20:23])
    misfit = 6 * float(fitted.fitted.energy_noise_std) ** 2
    Y = data.energy[20:21].view(1, 1)
    after = condition_on_observations(fitted, X[:1], Y).posterior(X.unsqueeze(-2))
    assert float(after.variance[0]) < 1e-3 * misfit
    assert float(after.mean[0]) == pytest.approx(float(Y), abs=1e-4)
    assert (after.variance[1:] > misfit).all()
    twice = fitted.posterior(X[[0, 0]]).distribution.covariance_matrix
    assert float(twice[0, 0] + twice[1, 1] - 2 * twice[0, 1]) < 1e-3 * misfit
    near = X[:1] + 1e-4
    moved = condition_on_observations(fitted, X[:1], Y).posterior(near)
    assert float(moved.variance) < 0.1 * misfit


def test_a_noise_free_observation_leaves_no_negative_variance(data, space, fitted):
    X = space.encode(data[20:24])
    after = condition_on_observations(fitted, X, data.energy[20:24].unsqueeze(-1)).posterior(X)
    assert (after.variance > 0).all()  # a warning of rounding is an error of this suite
    torch.testing.assert_close(after.mean.flatten(), data.energy[20:24], rtol=0, atol=1e-4)


def test_the_covariance_is_one_and_has_a_slope():
    generator = torch.Generator().manual_seed(0)
    F = torch.randn(2, 4, 7, generator=generator, dtype=torch.float64)
    F[:, 1] = F[:, 0] + 2e-3 * F[:, 1]
    variance = torch.rand(2, 4, generator=generator, dtype=torch.float64)

    def value(F):
        return misfit_covariance(F @ F.mT, variance)

    C = value(F)
    assert (torch.linalg.eigvalsh(C) > -1e-12).all()
    torch.testing.assert_close(C.diagonal(dim1=-2, dim2=-1), variance)
    assert torch.autograd.gradcheck(lambda F: value(F)[:, 0, 1], F.requires_grad_())


def test_latent_variance_covers_noise_free_energies_that_the_model_cannot_represent(data):
    """A function of the structure that no neighbor of it tells is an error, without any noise."""
    rough = replace(data, energy=data.energy + 0.5 * torch.sin(1e4 * data.energy))
    train, test = rough[::2], rough[1::2]
    calm = test.energy < test.energy.median()
    z2 = {}
    for label_noise in (0.0, None):
        found = LocalGP(label_noise=label_noise).fit(train).predict(test)
        z2[label_noise] = ((test.energy - found.mean)[calm].square() / found.variance[calm]).mean()
    assert 0.4 < z2[0.0] < 2.5
    assert z2[None] > 4 * z2[0.0]


def test_it_is_kept_and_absent_in_what_was_stored_before(data, space, fitted):
    again = LocalGP(label_noise=0.5).restore(fitted.state(), space)
    assert again.label_noise == 0.0
    X = space.encode(data[20:23])
    assert torch.equal(again.posterior(X).variance, fitted.posterior(X).variance)
    old = replace(SMALL, label_noise=None)
    assert "label_noise" not in old.fit(data[:15], space).state()
    assert "label_noise" not in SMALL.description()  # campaigns from before it continue
    described = (replace(SMALL, label_noise=noise).description() for noise in (None, 0.1))
    assert [each["label_noise"] for each in json.loads(json.dumps([*described]))] == [None, 0.1]
    state = {name: value for name, value in fitted.state().items() if name != "label_noise"}
    assert LocalGP().restore(state, space).label_noise is None


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_noise_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="`label_noise` must be finite and not negative, got"):
        LocalGP(label_noise=value)

"""The last layer's posterior, stretched, as a model of structures."""

from dataclasses import replace

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import LastLayer
from bostruct.uncertainty import BayesianLinearModel
from tests.surrogates.rows import explicit, rows
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def fitted(mixed, alloy):
    return LastLayer(SMALL, n_members=64).fit(mixed[:8], alloy)


@pytest.mark.parametrize("inputs", [0, 5, 96])
def test_mean_and_variance_are_those_of_the_metric(mixed, inputs):
    """U7 by U1: rows over their deviations, z2 = 1 / sigma², a2 = alpha²."""
    fitted = LastLayer(SMALL, n_inputs=inputs).fit(mixed[:8])
    laplace = fitted.predictor
    F, y = rows(laplace, mixed[:8])
    assert laplace.n_inputs == min(inputs, 12)
    metric = BayesianLinearModel.fit(F, y, ridge=float(1 / laplace.readout.signal_std**2))
    asked = mixed[8:12]
    f, _ = explicit(laplace, asked)
    found = fitted.predict(asked, covariance=True)
    encoder = laplace.featurizer
    prior = encoder.prior_mean(asked, encoder.soap.species_index(asked.numbers))
    torch.testing.assert_close(found.mean, prior + metric.mean(f))
    expected = laplace.alpha**2 * metric.covariance(f)
    torch.testing.assert_close(found.covariance, expected, rtol=1e-5, atol=3e-8)


def test_members_are_drawn_around_the_mean(fitted, mixed):
    """64 draws: the variance is known to 18 %; here the mean over 10 structures."""
    found = fitted.predict(mixed[8:18])
    torch.testing.assert_close(found.members.mean(0), found.mean)
    ratio = (found.members.var(0) / found.variance).mean()
    assert 0.5 < ratio < 1.7


def test_all_variance_is_latent(fitted, mixed):
    found = fitted.predict(mixed[:2])
    assert not found.noise_variance.any()
    torch.testing.assert_close(found.predictive_variance, found.variance)


def test_force_variances_are_those_of_the_rows(fitted, mixed):
    one = mixed[9]
    found = fitted.predict(one, force_variance=True).force_variance
    _, slopes = explicit(fitted.predictor, one)
    factor = fitted.predictor.readout.hessian_cholesky
    root = torch.linalg.solve_triangular(factor, slopes.T, upper=False)
    expected = fitted.predictor.alpha**2 * root.square().sum(0)
    torch.testing.assert_close(found.flatten(), expected)


def test_it_is_not_sure_of_what_lies_far_from_its_data(fitted, mixed):
    near = fitted.predict(mixed[:8]).variance
    wide = replace(mixed[:8], positions=1.2 * mixed[:8].positions)
    assert float(fitted.predict(wide).variance.mean()) > 2 * float(near.mean())


def test_energies_alone_are_enough(data):
    model = LastLayer(SMALL).fit(replace(data[:6], forces=None))
    found = model.predict(data[:3])
    assert found.members is None
    assert found.variance.min() > 0


@pytest.mark.parametrize("members", [1, -1, 2.0, True])
def test_refusals(members):
    with pytest.raises(InputError, match="`n_members` must be 0, or an integer of"):
        LastLayer(n_members=members)


def test_inputs_are_counted():
    with pytest.raises(InputError, match="`n_inputs` must be an integer of at least 0"):
        LastLayer(n_inputs=-1)

"""What surrogates share on their way to a posterior, against its definition."""

import pytest
import torch
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from gpytorch.distributions import MultitaskMultivariateNormal

from bostruct.errors import NotFittedError
from bostruct.surrogates.botorch_models.posterior import (
    MIN_RELATIVE_VARIANCE,
    RELATIVE_JITTER,
    ROUNDING_EPSILONS,
    add_noise,
    decode_structures,
    flat_noise,
    jitter,
    joint_posterior,
)

C = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
OWN = torch.tensor(0.25, dtype=torch.float64)


def test_shapes_of_noise():
    for shape in ((), (1,), (3,), (3, 1)):
        assert flat_noise(torch.ones(shape), 3).shape == (3,)
    assert flat_noise(torch.ones(5, 1), 1).shape == (5, 1)
    for shape in ((5, 1, 1), (5, 3, 1), (5, 3)):
        assert flat_noise(torch.ones(shape), 3).shape == (5, 3)
    several = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(flat_noise(several, 2, 2), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert torch.equal(flat_noise(several[0], 2, 2), torch.tensor([1.0, 2.0, 1.0, 2.0]))


def test_noise_is_none_or_the_models_own_or_what_is_given():
    given = torch.tensor([0.1, 0.2], dtype=torch.float64)
    assert torch.equal(add_noise(C, False, OWN), C)
    assert torch.equal(add_noise(C, True, OWN), C + 0.25 * torch.eye(2))
    assert torch.equal(add_noise(C, given, OWN), C + torch.diag(given))
    assert torch.equal(add_noise(C, given.unsqueeze(-1), OWN), C + torch.diag(given))


def test_slack_covers_rounding_and_lifts_what_vanishes():
    """A variance that was lost altogether is lifted to the least."""
    own, lossy = torch.tensor([4.0, -1e-12]).double(), torch.tensor([9.0, 9.0]).double()
    lost = ROUNDING_EPSILONS * torch.finfo(torch.float64).eps * 9.0
    large, lifted = jitter(own, lossy, torch.tensor(4.0))
    assert float(large) == pytest.approx(4 * RELATIVE_JITTER + lost, rel=1e-12)
    assert float(own[1] + lifted) == pytest.approx(4 * MIN_RELATIVE_VARIANCE + lost, rel=1e-9)


def test_without_a_space_nothing_is_decoded():
    with pytest.raises(NotFittedError, match="must have a space to decode X with"):
        decode_structures(None, torch.zeros(1, 3))


def test_the_posterior_has_mean_and_covariance_and_is_transformed():
    mean = torch.tensor([1.0, -1.0], dtype=torch.float64)
    found = joint_posterior(mean.unsqueeze(-1), C, None)
    assert torch.equal(found.mean.squeeze(-1), mean)
    assert torch.equal(found.distribution.covariance_matrix, C)
    halved = ScalarizedPosteriorTransform(torch.tensor([0.5], dtype=torch.float64))
    found = joint_posterior(mean.unsqueeze(-1), C, halved)
    assert torch.equal(found.mean.squeeze(-1), mean / 2)


def covariance(size, scale=1.0):
    draw = torch.randn(
        2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return scale * (draw @ draw.mT + torch.eye(size, dtype=torch.float64))


def test_several_properties_are_gpytorchs():
    mean, C = torch.rand(2, 3, 2, dtype=torch.float64), covariance(6)
    found = joint_posterior(mean, C, None, unclamped=True)
    wanted = MultitaskMultivariateNormal(mean, C)
    assert torch.equal(found.mean, wanted.mean)
    torch.testing.assert_close(found.variance, wanted.variance)
    torch.testing.assert_close(found.distribution.covariance_matrix, C)
    assert found.rsample(torch.Size([4])).shape == (4, 2, 3, 2)


def test_small_variances_stay():
    """Warnings are errors in these tests: GPyTorch would warn where it raises a variance."""
    for k in (1, 2):
        C = covariance(3 * k, 1e-16)
        mean = torch.rand(2, 3, k, dtype=torch.float64)
        variance = joint_posterior(mean, C, None, unclamped=True).variance
        wanted = C.diagonal(dim1=-2, dim2=-1).reshape(2, 3, k)
        torch.testing.assert_close(variance, wanted, rtol=1e-12, atol=0)


def test_rounding_below_zero_is_zero():
    C = -1e-20 * torch.eye(2, dtype=torch.float64)
    variance = joint_posterior(
        torch.zeros(2, 1, dtype=torch.float64), C, None, unclamped=True
    ).variance
    assert (variance > 0).all()
    assert (variance < 1e-300).all()


def test_a_transform_comes_last():
    mean, C = torch.rand(2, 3, 2, dtype=torch.float64), covariance(6)
    weights = torch.tensor([1.0, -1.0], dtype=torch.float64)
    found = joint_posterior(mean, C, ScalarizedPosteriorTransform(weights), unclamped=True)
    torch.testing.assert_close(found.mean.squeeze(-1), mean[..., 0] - mean[..., 1])


def test_some_outputs_alone():
    mean, C = torch.rand(2, 3, 2, dtype=torch.float64), covariance(6)
    found = joint_posterior(mean, C, None, [1], unclamped=True)
    assert torch.equal(found.mean, mean[..., 1:])
    assert torch.equal(found.distribution.covariance_matrix, C[:, 1::2, 1::2])

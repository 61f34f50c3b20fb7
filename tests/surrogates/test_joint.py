"""What surrogates share on their way to a posterior, against its definition."""

import pytest
import torch
from botorch.acquisition.objective import ScalarizedPosteriorTransform

from bostruct.errors import NotFittedError
from bostruct.surrogates.joint import (
    JITTER,
    LEAST,
    ROUNDING,
    decoded,
    joint,
    noisy,
    slack,
    variances,
)

C = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
OWN = torch.tensor(0.25, dtype=torch.float64)


def test_shapes_of_noise():
    assert variances(torch.ones(()), 3).shape == (1,)
    assert variances(torch.ones(3), 3).shape == (3,)
    assert variances(torch.ones(3, 1), 3).shape == (3,)
    assert variances(torch.ones(5, 1), 1).shape == (5, 1)
    assert variances(torch.ones(5, 1, 1), 3).shape == (5, 1)
    assert variances(torch.ones(5, 3, 1), 3).shape == (5, 3)
    assert variances(torch.ones(5, 3), 3).shape == (5, 3)


def test_noise_is_none_or_the_models_own_or_what_is_given():
    given = torch.tensor([0.1, 0.2], dtype=torch.float64)
    assert torch.equal(noisy(C, False, OWN), C)
    assert torch.equal(noisy(C, True, OWN), C + 0.25 * torch.eye(2))
    assert torch.equal(noisy(C, given, OWN), C + torch.diag(given))
    assert torch.equal(noisy(C, given.unsqueeze(-1), OWN), C + torch.diag(given))


def test_slack_covers_rounding_and_lifts_what_vanishes():
    """A variance that was lost altogether is lifted to the least."""
    own, lossy = torch.tensor([4.0, -1e-12]).double(), torch.tensor([9.0, 9.0]).double()
    lost = ROUNDING * torch.finfo(torch.float64).eps * 9.0
    large, lifted = slack(own, lossy)
    assert float(large) == pytest.approx(4 * JITTER + lost, rel=1e-12)
    assert float(own[1] + lifted) == pytest.approx(LEAST + lost, rel=1e-9)


def test_without_a_space_nothing_is_decoded():
    with pytest.raises(NotFittedError, match="must have a space to decode X with"):
        decoded(None, torch.zeros(1, 3))


def test_the_posterior_has_mean_and_covariance_and_is_transformed():
    mean = torch.tensor([1.0, -1.0], dtype=torch.float64)
    found = joint(mean, C, None)
    assert torch.equal(found.mean.squeeze(-1), mean)
    assert torch.equal(found.distribution.covariance_matrix, C)
    halved = ScalarizedPosteriorTransform(torch.tensor([0.5], dtype=torch.float64))
    found = joint(mean, C, halved)
    assert torch.equal(found.mean.squeeze(-1), mean / 2)

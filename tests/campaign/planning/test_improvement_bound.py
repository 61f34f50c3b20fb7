"""Candidates that are certainly higher than the best energy."""

import torch
from ase.build import bulk
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal

from bostruct.acquisition import AcquisitionContext
from bostruct.campaign.planning.improvement_bound import MAX_SIGMAS, cannot_improve
from bostruct.spaces import Cluster, Pool

SPACE = Cluster("Cu2")


class Given(Model):
    """The first coordinate is the mean, the second the standard deviation."""

    num_outputs, batch_shape = 1, torch.Size()

    def posterior(self, X, observation_noise=False, **_):
        variance = X[..., 1].square().unsqueeze(-1) * torch.eye(X.shape[-2]).to(X)
        return GPyTorchPosterior(MultivariateNormal(X[..., 0], variance))


def test_three_standard_deviations_below_the_mean_decide():
    means, stds = [2.0, 2.0, 0.5, torch.nan, 2.0], [0.32, 0.34, 1e-3, 1.0, 10.0]
    X = torch.tensor(list(zip(means, stds, strict=True)), dtype=torch.float64)
    context = AcquisitionContext(Given(), best_f=1.0)
    assert MAX_SIGMAS == 3
    assert cannot_improve(context, SPACE, X).tolist() == [True, False, False, False, False]


def test_every_member_has_its_turn_and_objectives_have_no_best_energy():
    X = torch.tensor([[2.0, 0.1]], dtype=torch.float64)
    pool = Pool([bulk("Cu"), bulk("Ag")])
    assert cannot_improve(AcquisitionContext(Given(), best_f=1.0), pool, X) is None
    assert cannot_improve(AcquisitionContext(Given()), SPACE, X) is None

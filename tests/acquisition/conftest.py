"""A model with a posterior known in closed form, and its draws.

Notation
    mu(X)     2 + 0.3 sin(3 X).sum()                 eV
    k(X, X')  s(X) s(X') exp(-|X - X'|² / 2)         eV²,  s(X) = 0.1 + 0.05 |X|²
"""

from dataclasses import dataclass

import pytest
import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.distributions import (
    MultitaskMultivariateNormal,
    MultivariateNormal,
)
from linear_operator import to_linear_operator

from bostruct import acquisition as module
from bostruct.acquisition import AcquisitionContext
from bostruct.objectives import Objective, OptimizationConfig


class Known(Model):
    """`sign` times a Gaussian process over energies."""

    num_outputs = 1
    batch_shape = torch.Size()

    def __init__(self, sign=1.0):
        super().__init__()
        self.sign = sign

    def mean(self, X):
        return self.sign * (2.0 + 0.3 * torch.sin(3.0 * X).sum(-1))

    def covariance(self, X):
        s = 0.1 + 0.05 * X.square().sum(-1)
        gap = (X.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1)
        return s.unsqueeze(-1) * s.unsqueeze(-2) * torch.exp(-0.5 * gap)

    def sigma(self, X):
        return 0.1 + 0.05 * X.square().sum(-1)

    def posterior(self, X, posterior_transform=None, **kwargs):
        covariance = to_linear_operator(self.covariance(X))
        return GPyTorchPosterior(MultivariateNormal(self.mean(X), covariance))

    def reflected(self, X, samples, seed):
        """Return a sampler whose normal draws have the opposite sign."""
        sampler = SobolQMCNormalSampler(torch.Size([samples]), seed=seed)
        sampler(self.posterior(X))
        sampler.base_samples = -sampler.base_samples
        return sampler

    def draw(self, X, samples):
        """Return `[samples, q]` of `X [q, d]`, from a generator of its own."""
        generator = torch.Generator().manual_seed(7)
        root = torch.linalg.cholesky(self.covariance(X))
        normal = torch.randn(samples, X.shape[0], generator=generator, dtype=torch.float64)
        return self.mean(X) + normal @ root.mT


SINGLE = [
    module.LowerConfidenceBound(kappa=1.5),
    module.ExpectedImprovement(),
    module.LogExpectedImprovement(),
    module.ProbabilityOfImprovement(),
    module.LogProbabilityOfImprovement(),
    module.StandardDeviation(),
]
JOINT = [
    module.qLowerConfidenceBound(kappa=1.5),
    module.qExpectedImprovement(),
    module.qLogExpectedImprovement(),
    module.qNoisyExpectedImprovement(),
    module.qLogNoisyExpectedImprovement(),
    # A wide step: the test of the gradient resolves it.
    module.qProbabilityOfImprovement(tau=0.02),
    module.qStandardDeviation(),
]


@dataclass(frozen=True)
class Setting:
    """One model, what was observed, and the candidates."""

    model: Known
    flipped: Known
    best: float
    observed: torch.Tensor  # [5, 2]
    X: torch.Tensor  # [4, 2, 2]

    def context(self, **changes):
        """Return the context of one energy."""
        return AcquisitionContext(**{"model": self.model, "best_f": self.best, **changes})


@pytest.fixture
def setting():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        uniform = torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
        return 4.0 * uniform - 2.0

    return Setting(Known(), Known(-1.0), 1.7, draw(5), draw(4, 2))


def name(acquisition):
    return type(acquisition).__name__


@pytest.fixture(params=SINGLE, ids=name)
def single(request):
    return request.param


@pytest.fixture(params=JOINT, ids=name)
def joint(request):
    return request.param


@pytest.fixture(params=SINGLE + JOINT, ids=name)
def each(request):
    return request.param


class Told(Model):
    """Outputs whose means are `factor` times the first coordinates.

    Their deviations are `sigma` times `factor`, and correlations fade over a distance of 1. The
    noise variance of output j is (j + 1) / 10.
    """

    batch_shape = torch.Size()

    def __init__(self, sigma, factor=1.0):
        super().__init__()
        self.sigma = sigma
        self.factor = factor

    @property
    def num_outputs(self):
        return len(self.sigma)

    def posterior(self, X, output_indices=None, observation_noise=False, posterior_transform=None):
        gap = (X.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1)
        each = []
        for j, sigma in enumerate(self.sigma):
            covariance = (self.factor * sigma) ** 2 * torch.exp(-0.5 * gap)
            if isinstance(observation_noise, torch.Tensor):
                covariance = covariance + torch.diag_embed(observation_noise[..., j])
            elif observation_noise:
                covariance = covariance + (j + 1) / 10 * torch.eye(X.shape[-2]).to(X)
            mean = self.factor * X[..., j]
            each.append(MultivariateNormal(mean, to_linear_operator(covariance)))
        if len(each) == 1:
            return GPyTorchPosterior(each[0])
        joint = MultitaskMultivariateNormal.from_independent_mvns(each)
        return GPyTorchPosterior(joint)


STAIRS = [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]


def make_case(
    rows=STAIRS,
    *,
    learnt=None,
    sigma=0.5,
    constraints=(),
    reference=None,
    X_pending=None,
    seed=0,
    factor=1.0,
    known_factor=1.0,
    objectives=None,
):
    """A case whose outcomes are its coordinates: `rows` [t, k] were evaluated.

    The first `learnt` outcomes are believed, the others known.
    """
    k = len(rows[0]) if rows else 2
    m = k - len(constraints) if objectives is None else objectives
    names = tuple(f"u{j}" for j in range(k))
    goals = OptimizationConfig(
        tuple(Objective(name, "maximize") for name in names[:m]), tuple(constraints)
    )
    learnt = k if learnt is None else learnt
    X = torch.tensor(rows, dtype=torch.float64).reshape(-1, k)
    factors = X.new_tensor([factor] * learnt + [known_factor] * (k - learnt))
    if reference is None:
        reference = X.new_zeros(m)
    return AcquisitionContext(
        model=Told([sigma] * learnt, factor),
        optimization_config=goals,
        modeled_outcomes=names[:learnt],
        deterministic_outcomes=None if learnt == k else lambda X: known_factor * X[..., learnt:],
        X_baseline=X.nan_to_num(9.0),
        Y=X * factors,
        reference_point=reference * factors[:m],
        X_pending=X_pending,
        seed=seed,
    )


@pytest.fixture
def case():
    return make_case

"""A believer written out by hand, as a BoTorch model."""

from dataclasses import replace

import pytest
import torch
from botorch.acquisition import (
    LogExpectedImprovement,
    qLogExpectedImprovement,
    qNegIntegratedPosteriorVariance,
)
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch.models.model import Model
from botorch.sampling import SobolQMCNormalSampler

from bostruct.errors import InputError, NotFittedError
from bostruct.surrogates.base import FittedModel
from bostruct.surrogates.botorch_models import low_rank_model as module
from bostruct.surrogates.botorch_models import posterior
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction

EXACT = 1e-12


def rattled(space, count):
    """Return random structures of a space."""
    return space.decode(space.sample(count, torch.Generator().manual_seed(5)))


class Shells:
    """Counts of neighbours in soft shells; three weights, or as many members."""

    def __init__(self, members=True, own=0.01):
        self.members, self.own = members, own

    def predict(self, structures):
        b, n = len(structures), len(structures.positions)
        a = n // b
        x = structures.positions.view(b, a, 3)
        r2 = (x.unsqueeze(2) - x.unsqueeze(1)).square().sum(-1)
        widths = torch.tensor([2.0, 3.0, 5.0], dtype=x.dtype)
        phi = torch.exp(-r2.unsqueeze(-1) / widths**2).sum(2)  # [b, a, 3]
        local = phi.mean(-1)
        members = phi.sum(1)  # [b, 3]
        mean = members.mean(-1)
        root = (members - mean.unsqueeze(-1)) / 2**0.5
        fine = torch.full_like(mean, 0.25)
        return LowRankPrediction(
            mean=mean,
            covariance_root=root if self.members else root[:, :0],
            independent_variance=self.own * members[:, 0],
            noise_variance=fine,
            energy_scale=mean.new_tensor(2.0),
            atomic_energies=local.flatten(),
            members=members.T if self.members else None,
            force_noise_variance=members[:, 0],
        )

    def tensors(self):
        return {"own": torch.tensor(self.own)}

    def hyperparameters(self):
        return {"log_marginal_likelihood": -1.0}


@pytest.fixture(scope="module")
def case(space):
    X = space.encode(rattled(space, 8))
    return LowRankModel(Shells(), space), space, X


@pytest.mark.parametrize("shape", [(2,), (1, 2), (4, 1), (2, 4), (4, 1, 2)])
def test_posterior_is_as_deep_as_its_input(case, shape):
    model, _, X = case
    q = X[: torch.Size(shape).numel()].view(*shape, -1)
    posterior = model.posterior(q)
    assert posterior.mean.shape == (*shape, 1)
    covariance = posterior.distribution.covariance_matrix
    assert covariance.shape == (*shape, shape[-1])
    assert posterior.rsample(torch.Size([3])).shape == (3, *shape, 1)
    assert model.num_outputs == 1
    assert model.batch_shape == torch.Size()
    assert isinstance(model, Model)


def test_covariance_is_that_of_the_members_and_what_is_not_shared(case):
    model, space, X = case
    said = model.predict(space.decode(X), covariance=True)
    own = 0.01 * said.members[0]
    expected = torch.cov(said.members.T)
    torch.testing.assert_close(said.covariance, expected + torch.diag(own), rtol=1e-9, atol=1e-9)
    found = model.posterior(X).distribution.covariance_matrix
    torch.testing.assert_close(found, said.covariance, rtol=0, atol=EXACT)
    torch.testing.assert_close(said.variance, found.diagonal(), rtol=0, atol=EXACT)
    assert torch.linalg.eigvalsh(found).min() > 0


def test_a_variance_of_zero_is_lifted(space):
    model = LowRankModel(Shells(members=False, own=0.0), space)
    X = space.encode(rattled(space, 3))
    found = model.posterior(X).distribution.covariance_matrix
    expected = torch.full((3,), 4 * posterior.MIN_RELATIVE_VARIANCE, dtype=torch.float64)
    torch.testing.assert_close(found, torch.diag(expected))


def test_without_a_scale_there_is_no_least_variance(space):
    class Bare(Shells):
        def predict(self, structures):
            return replace(super().predict(structures), energy_scale=None)

    model = LowRankModel(Bare(members=False, own=0.0), space)
    assert (model.predict(rattled(space, 3)).variance == 0).all()


def test_posterior_slopes_match_central_differences(case):
    model, _, X = case
    X = X[:4].view(2, 2, -1).clone().requires_grad_()

    def value(X):
        posterior = model.posterior(X)
        whole = posterior.distribution.covariance_matrix
        return posterior.mean.sum() + whole[:, 0, 1].sum() + whole[:, 1, 1].sum()

    (slope,) = torch.autograd.grad(value(X), X)
    generator = torch.Generator().manual_seed(1)
    along = torch.randn(X.shape, generator=generator, dtype=X.dtype)
    with torch.no_grad():
        secant = (value(X + 1e-4 * along) - value(X - 1e-4 * along)) / 2e-4
    torch.testing.assert_close((slope * along).sum(), secant, rtol=1e-6, atol=1e-8)


def test_forces_are_minus_the_slopes(case):
    model, space, X = case
    one = space.decode(X[0])
    found = model.predict(one, force_variance=True, member_forces=True)
    torch.testing.assert_close(found.member_forces.mean(0), found.forces)
    torch.testing.assert_close(found.member_forces.var(0), found.force_variance)
    assert torch.equal(found.force_noise_variance, found.members[0].expand(6, 3))
    assert model.predict(one).force_noise_variance is None
    generator = torch.Generator().manual_seed(1)
    along = torch.randn(one.positions.shape, generator=generator, dtype=X.dtype)
    up, down = (
        model.predict(replace(one, positions=one.positions + h * along)) for h in (1e-4, -1e-4)
    )
    secant = (up.members - down.members).squeeze(-1) / 2e-4
    forces = -(found.member_forces * along).sum((1, 2))
    torch.testing.assert_close(forces, secant, rtol=1e-6, atol=1e-8)


def test_chunks_change_nothing(case, monkeypatch):
    model, space, X = case
    structures = space.decode(X)
    asked = {"covariance": True, "force_variance": True, "member_forces": True}
    whole = model.predict(structures, **asked)
    monkeypatch.setattr(module, "STRUCTURES_PER_CHUNK", 3)
    parts = model.predict(structures, **asked)
    for name in whole.__dataclass_fields__:
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))


def test_noise_is_of_the_measurement_or_given(case):
    model, space, X = case
    latent = model.posterior(X).variance
    gap = model.posterior(X, observation_noise=True).variance - latent
    torch.testing.assert_close(gap, torch.full_like(gap, 0.25))
    assert (model.predict(space.decode(X)).noise_variance == 0.25).all()
    noise = torch.full((8, 1), 0.5, dtype=torch.float64)
    gap = model.posterior(X, observation_noise=noise).variance - latent
    torch.testing.assert_close(gap, noise)


def test_botorch_acquisitions_work_unmodified(case):
    model, _, X = case
    best = float(model.posterior(X).mean.min())
    X = X.unsqueeze(1).clone().requires_grad_()
    sampler = SobolQMCNormalSampler(torch.Size([16]), seed=0)
    flip = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    for acquisition in (
        LogExpectedImprovement(model, best, maximize=False),
        qLogExpectedImprovement(model, -best, sampler=sampler, posterior_transform=flip),
        qNegIntegratedPosteriorVariance(model, mc_points=X[0].detach()),
    ):
        value = acquisition(X)
        assert value.shape == (8,)
        (slope,) = torch.autograd.grad(value.sum(), X)
        assert slope.isfinite().all()


def test_told_members_know(space):
    model = LowRankModel(Shells(own=0.0), space)
    X = space.encode(rattled(space, 4))
    told = X[:1]
    Y = model.posterior(told).mean + 1.0
    after = model.condition_on_observations(told, Y, torch.full((1,), 1e-6))
    found = after.posterior(told)
    torch.testing.assert_close(found.mean, Y, rtol=0, atol=1e-3)
    assert found.variance < 1e-5
    assert (after.posterior(X).variance <= model.posterior(X).variance + 1e-9).all()


def test_it_can_be_logged(case):
    model, _, _ = case
    fitted: FittedModel = model
    assert fitted.state().keys() == {"own"}
    assert fitted.hyperparameters()["log_marginal_likelihood"] == -1.0


def test_refusals(space):
    X = space.encode(rattled(space, 1))
    with pytest.raises(NotFittedError, match="must have a space to decode X with"):
        LowRankModel(Shells()).posterior(X)
    alone = LowRankModel(Shells(members=False))
    with pytest.raises(InputError, match="`force_variance` must be false for a model"):
        alone.predict(space.decode(X), force_variance=True)
    with pytest.raises(InputError, match="`member_forces` must be false for a model"):
        alone.predict(space.decode(X), member_forces=True)

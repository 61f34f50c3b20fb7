import math

import pytest
import torch
from botorch.models import SingleTaskGP
from gpytorch.constraints import GreaterThan
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ZeroMean

from bostruct.surrogates.gpytorch_settings import cholesky_only
from bostruct.surrogates.properties.gp_regression import (
    MIN_LOO_VALUES,
    FeatureGP,
    loo_sigma_factor,
)
from bostruct.surrogates.properties.kernel import AdditiveKernel, FeatureBlock

BLOCKS = (
    FeatureBlock("averaged", 3, False, False),
    FeatureBlock("fractions", 2, True, True),
)


def data(n=25, seed=0):
    generator = torch.Generator().manual_seed(seed)
    Z = torch.randn(n, 5, dtype=torch.float64, generator=generator)
    y = 40 + 3 * torch.sin(Z[:, 0]) + 2 * Z[:, 3] + 0.5 * Z[:, 4].square()
    return Z, y


def fitted(n=25, loo_correction=False):
    return FeatureGP.fit(BLOCKS, *data(n), loo_correction=loo_correction)


def test_it_is_what_gpytorch_says():
    process = fitted()
    own = process.fitted_tensors
    Z, y = data()
    y = ((y - own["offset"]) / own["scale"]).unsqueeze(-1)
    likelihood = GaussianLikelihood(noise_constraint=GreaterThan(1e-9)).double()
    likelihood.initialize(noise=own["noise"])
    model = SingleTaskGP(
        Z,
        y,
        likelihood=likelihood,
        covar_module=process.kernel,
        mean_module=ZeroMean(),
        outcome_transform=None,
    )
    asked = data(12, seed=1)[0].view(4, 3, 5)
    with cholesky_only(), torch.no_grad():
        wanted = model.posterior(asked)
    mean, C, noise = process(asked)
    scale = own["scale"]
    there = own["offset"] + scale * wanted.mean.squeeze(-1)
    assert torch.allclose(mean, there, rtol=0, atol=1e-8)
    covariance = wanted.distribution.covariance_matrix * scale.square()
    assert torch.allclose(C, covariance, rtol=0, atol=1e-7)
    assert torch.allclose(noise, own["noise"] * scale.square())


def test_one_at_a_time_is_the_diagonal_of_several():
    process = fitted()
    asked = data(12, seed=1)[0]
    mean, C, _ = process(asked.unsqueeze(0))
    alone, variance, _ = process(asked.unsqueeze(1))
    assert torch.allclose(mean[0], alone[:, 0])
    assert torch.allclose(C[0].diagonal(), variance[:, 0, 0], rtol=1e-6)


def test_it_learns():
    Z, y = data(200, seed=2)
    mean, C, _ = fitted(60)(Z.unsqueeze(1))
    error = (mean.squeeze(1) - y).square()
    assert error.mean().sqrt() < 0.15 * y.std()
    assert 0.2 < (error / C.flatten()).mean() < 5


def test_what_is_linear_in_composition_is_exact():
    Z, _ = data()
    slopes = torch.tensor([0.0, 0.0, 0.0, 1.0, -2.0], dtype=torch.float64)
    process = FeatureGP.fit(BLOCKS, Z, Z @ slopes, loo_correction=False)
    far = 3 * data(20, seed=1)[0]
    mean, _, _ = process(far.unsqueeze(1))
    assert (mean.squeeze(1) - far @ slopes).abs().max() < 0.01


def test_left_out_errors_are_those_of_a_refit_without_the_value():
    process = fitted()
    own = process.fitted_tensors
    Z, y = data()
    K = process.kernel(Z).to_dense()
    y = (y - own["offset"]) / own["scale"]
    squares = []
    for i in range(len(y)):
        rest = torch.arange(len(y)) != i
        A = K[rest][:, rest] + own["noise"] * torch.eye(len(y) - 1)
        k = torch.linalg.solve(A, K[rest, i])
        variance = K[i, i] - k @ K[rest, i] + own["noise"]
        squares.append((y[i] - k @ y[rest]).square() / variance)
    misfit = torch.stack(squares).mean().sqrt()
    assert torch.allclose(own["loo_rms_z"], misfit, rtol=1e-6)


def test_the_evidence_is_the_density_of_the_values():
    process = fitted()
    own = process.fitted_tensors
    Z, y = data()
    K = process.kernel(Z).to_dense() + own["noise"] * torch.eye(len(y))
    density = torch.distributions.MultivariateNormal(
        own["offset"].expand(len(y)), K * own["scale"].square()
    )
    found = process.hyperparameters()["log_marginal_likelihood"]
    assert math.isclose(found, float(density.log_prob(y)), rel_tol=1e-8)


def test_a_misfit_widens_sigma_and_nothing_else():
    Z, y = data(40)
    y = torch.where(torch.arange(40) % 13 == 5, y + 30, y)
    plain = FeatureGP.fit(BLOCKS, Z, y, loo_correction=False)
    wide = FeatureGP.fit(BLOCKS, Z, y, loo_correction=True)
    fitted = 2 + 2 + 3 + 1  # offset and scale, signals, lengths (one block ard), noise
    square = wide.fitted_tensors["loo_rms_z"].square().clamp(min=1) * 40 / (40 - fitted)
    factor = wide.fitted_tensors["sigma_factor"]
    assert torch.allclose(factor.square(), square)
    assert plain.fitted_tensors["sigma_factor"] == 1
    asked = data(9, seed=1)[0].view(3, 3, 5)
    (mean, C, noise), (mean_, C_, noise_) = plain(asked), wide(asked)
    assert torch.equal(mean, mean_)
    assert torch.equal(noise, noise_)
    assert torch.allclose(C * factor.square(), C_)


@pytest.mark.parametrize(
    ("misfit", "count", "square"),
    [
        (0.8, 70, 70 / 63),
        (1.2, 70, 1.44 * 70 / 63),
        (1.0, 7_000_000, 1.0),
        (1.0, 10, 2.0),  # and not 10 / 3
        (1.0, 7, 2.0),
        (9.0, MIN_LOO_VALUES - 1, 2.0),  # no misfit is told
        (2.0, MIN_LOO_VALUES, 8.0),
    ],
)
def test_numbers_that_were_fitted_leave_fewer_values(misfit, count, square):
    found = loo_sigma_factor(torch.tensor(misfit, dtype=torch.float64), count, n_fitted=7)
    assert math.isclose(float(found.square()), square, rel_tol=1e-5)


def test_sigma_is_right_of_draws_of_a_known_process():
    blocks, n = (FeatureBlock("fractions", 2, True, False),), 30
    blend = AdditiveKernel(blocks).requires_grad_(False)
    blend.initialize(log_length=torch.full((1,), math.log(0.7), dtype=torch.float64))
    plain, wide = [], []
    for seed in range(16):
        generator = torch.Generator().manual_seed(seed)
        Z = torch.randn(60, 2, dtype=torch.float64, generator=generator)
        A = blend(Z).to_dense() + 1e-3 * torch.eye(60, dtype=torch.float64)
        draw = torch.randn(60, dtype=torch.float64, generator=generator)
        y = torch.linalg.cholesky(A) @ draw
        process = FeatureGP.fit(blocks, Z[:n], y[:n], loo_correction=True)
        mean, C, noise = process(Z[n:].unsqueeze(1))
        error, C = (y[n:] - mean[:, 0]).square(), C[:, 0, 0]
        narrow = C / process.fitted_tensors["sigma_factor"].square()
        plain.append((error / (narrow + noise)).mean())
        wide.append((error / (C + noise)).mean())
    before, after = torch.stack(plain), torch.stack(wide)
    assert before.mean() > 1.25  # too few values to find the numbers of the kernel
    assert 0.8 < after.mean() < 1.2
    assert after.log().square().mean() < before.log().square().mean()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_values_are_enough(n):
    mean, C, _ = fitted(n, loo_correction=True)(data(6, seed=1)[0].view(2, 3, 5))
    assert mean.isfinite().all()
    assert (torch.linalg.eigvalsh(C) > 0).all()


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_equal_values_leave_doubt(value):
    Z, y = data(6)
    process = FeatureGP.fit(BLOCKS, Z, torch.full_like(y, value), loo_correction=True)
    mean, C, _ = process(data(5, seed=1)[0].unsqueeze(1))
    assert torch.allclose(mean, torch.tensor(value).double(), atol=1e-6)
    assert (C > 0).all()


def test_coincident_rows_are_no_trouble():
    Z, y = data(10)
    Z = torch.cat((Z, Z, Z + 1e-9))
    process = FeatureGP.fit(BLOCKS, Z, torch.cat((y, y, y)), loo_correction=True)
    mean, C, _ = process(Z.view(3, 10, 5))
    assert (mean[0] - y).abs().max() < 0.2
    assert (torch.linalg.eigvalsh(C) > -1e-12).all()


def test_restored_as_it_was():
    process = fitted(loo_correction=True)
    again = FeatureGP.restore(BLOCKS, process.state())
    asked = data(9, seed=1)[0].view(3, 3, 5)
    for first, second in zip(process(asked), again(asked), strict=True):
        assert torch.equal(first, second)
    assert process.hyperparameters() == again.hyperparameters()


def test_an_earlier_widening_is_kept():
    state = fitted(loo_correction=True).state()
    assert state["sigma_factor"] > 1
    earlier = state | {"sigma_factor": torch.ones((), dtype=torch.float64)}
    asked = data(9, seed=1)[0].view(3, 3, 5)
    _, C, _ = FeatureGP.restore(BLOCKS, earlier)(asked)
    assert torch.equal(C, fitted(loo_correction=False)(asked)[1])


def test_features_of_one_element_are_none():
    blocks = (
        FeatureBlock("averaged", 3, False, False),
        FeatureBlock("fractions", 0, True, False),
    )
    Z, y = data()
    process = FeatureGP.fit(blocks, Z[:, :3], y, loo_correction=False)
    assert "signal_of_fractions" not in process.hyperparameters()
    assert process(Z[:4, :3].unsqueeze(1))[0].shape == (4, 1)

"""Fitted process over coordinates."""

from __future__ import annotations

import pytest
import torch

from bostruct.errors import NotFittedError
from bostruct.surrogates.coordinate_gp.model import CoordinateGPModel, CoordinateGPState


def state(is_observed: list[bool]) -> CoordinateGPState:
    """Return a process of two points of one coordinate, with dense algebra beside it."""
    X = torch.tensor([[10.0], [100.0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    r = sum(is_observed)
    fitted = CoordinateGPState(
        X=X,
        lower=-180 * one,
        units=360 * one / (2 * torch.pi),
        periodic=torch.tensor([True]),
        is_observed=torch.tensor(is_observed),
        alpha=torch.zeros(r, dtype=torch.float64),
        cholesky=torch.eye(r, dtype=torch.float64),
        lengthscales=0.7 * one,
        amplitudes=torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64),
        constant=torch.tensor(0.5, dtype=torch.float64),
        mean=torch.tensor(-3.0, dtype=torch.float64),
        lowest=torch.tensor(-4.0, dtype=torch.float64),
        threshold=torch.tensor(torch.inf, dtype=torch.float64),
        energy_noise_std=torch.tensor(0.01, dtype=torch.float64),
        gradient_noise_std=torch.tensor(0.01, dtype=torch.float64),
        log_marginal_likelihood=torch.tensor(0.0, dtype=torch.float64),
    )
    U = fitted.scaled(X)
    K = fitted.kernel.joint(U, U)[fitted.is_observed][:, fitted.is_observed]
    L = torch.linalg.cholesky(K + 1e-4 * torch.eye(r, dtype=torch.float64))
    y = torch.linspace(-1, 1, r, dtype=torch.float64).unsqueeze(-1)
    alpha = torch.cholesky_solve(y, L).squeeze(-1)
    return CoordinateGPState.from_tensors({**fitted.tensors(), "cholesky": L, "alpha": alpha})


@pytest.mark.parametrize("observed", [[True] * 4, [True, True, False, True]])
def test_posterior_is_the_dense_one(observed: list[bool]) -> None:
    """Mean and covariance follow from solves with the covariance of the rows."""
    fitted = state(observed)
    model = CoordinateGPModel(fitted)
    X = torch.tensor([[-170.0], [50.0], [10.0]], dtype=torch.float64)
    U, V = fitted.scaled(X), fitted.scaled(fitted.X)
    K = fitted.kernel.energies_and_gradients(U, V)[:, fitted.is_observed]
    A = fitted.cholesky @ fitted.cholesky.T
    expected = fitted.kernel.energies(U, U) - K @ torch.linalg.solve(A, K.T)
    posterior = model.posterior(X)
    torch.testing.assert_close(posterior.mean.squeeze(-1), -3.0 + K @ fitted.alpha)
    C = posterior.distribution.covariance_matrix
    torch.testing.assert_close(C, expected, rtol=1e-6, atol=1e-8)
    noisy = model.posterior(X, observation_noise=True).variance - posterior.variance
    torch.testing.assert_close(noisy, torch.full_like(noisy, 1e-4))
    assert model.hyperparameters()["lengthscale_0"] == pytest.approx(0.7 * 360 / (2 * torch.pi))


def test_structures_need_a_space() -> None:
    """Without a space coordinates of structures are not known."""
    with pytest.raises(NotFittedError, match="`predict` must have a space"):
        CoordinateGPModel(state([True] * 4)).predict(None)


def test_warped_energies_are_warped_back() -> None:
    """Means of the warped model are warped back, deviations by the slope."""
    tensors = {**state([True] * 4).tensors(), "threshold": torch.tensor(0.5, dtype=torch.float64)}
    model = CoordinateGPModel(CoordinateGPState.from_tensors(tensors))
    X = torch.tensor([[[-170.0]], [[50.0]]], dtype=torch.float64)
    own, warped = model.posterior(X), model.warped.posterior(X)
    mean, slope = model.fitted.warping.unwarp(warped.mean)
    torch.testing.assert_close(own.mean, mean)
    torch.testing.assert_close(own.variance.sqrt(), warped.variance.sqrt() * slope)
    assert (slope > 1).any()
    assert model.warped.has_closed_form_gradients
    assert not model.has_closed_form_gradients

"""Kernel over coordinates and its derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bostruct.surrogates.coordinate_gp.coordinate_kernel import CoordinateKernel

PERIODIC = ([True], [True, False], [True, True, False], [False, False, False, True])


def kernel(periodic: list[bool]) -> CoordinateKernel:
    d = len(periodic)
    lengths = torch.linspace(0.6, 1.4, d, dtype=torch.float64)
    amplitudes = torch.tensor([0.7, 0.4, 1.3], dtype=torch.float64)
    constant = torch.tensor(0.3, dtype=torch.float64)
    return CoordinateKernel(torch.tensor(periodic), lengths, amplitudes, constant)


def points(n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return 6 * torch.rand(n, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("periodic", PERIODIC)
def test_derivatives_are_those_of_the_energies(periodic: list[bool]) -> None:
    """The joint covariance is the one of autograd, for every order of interaction."""
    one, d = kernel(periodic), len(periodic)
    U = points(4, d)

    def covariance(u: Tensor, v: Tensor) -> Tensor:
        return one.energies(u.unsqueeze(0), v.unsqueeze(0)).squeeze()

    joint = one.joint(U, U).reshape(d + 1, 4, d + 1, 4)
    cross = one.energies_and_gradients(U, U).reshape(4, d + 1, 4)
    for i in range(4):
        for j in range(4):
            value = covariance(U[i], U[j])
            first = torch.func.grad(covariance, 0)(U[i], U[j])
            second = torch.func.grad(covariance, 1)(U[i], U[j])
            mixed = torch.func.jacfwd(torch.func.grad(covariance, 1), 0)(U[i], U[j])
            torch.testing.assert_close(joint[0, i, 0, j], value)
            torch.testing.assert_close(joint[1:, i, 0, j], first)
            torch.testing.assert_close(joint[0, i, 1:, j], second)
            torch.testing.assert_close(joint[1:, i, 1:, j], mixed.T)
            torch.testing.assert_close(cross[i, :, j], joint[0, i, :, j])


@pytest.mark.parametrize("periodic", PERIODIC)
def test_joint_covariance_is_one(periodic: list[bool]) -> None:
    """It is symmetric and positive, and energies have the prior variance."""
    one = kernel(periodic)
    U = points(5, len(periodic))
    K = one.joint(U, U)
    torch.testing.assert_close(K, K.T)
    assert torch.linalg.eigvalsh(K).min() > -1e-9
    if len(periodic) > 1:
        torch.testing.assert_close(K[:5, :5].diagonal(), one.prior_variance().expand(5))


def test_periods_are_exact() -> None:
    """Points a period apart have equal covariances."""
    one = kernel([True, True, False])
    U, around = points(3, 3), 2 * torch.pi * torch.tensor([1, -2, 0], dtype=torch.float64)
    torch.testing.assert_close(one.energies(U, U + around), one.energies(U, U))
    torch.testing.assert_close(
        one.energies_and_gradients(U + around, U), one.energies_and_gradients(U, U)
    )

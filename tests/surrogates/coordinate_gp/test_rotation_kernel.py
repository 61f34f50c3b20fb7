"""Kernel of rotations and its derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bostruct.spaces.coordinates.rotation_vectors import BodyRotation
from bostruct.surrogates.coordinate_gp.coordinate_kernel import CoordinateKernel
from bostruct.surrogates.coordinate_gp.rotation_kernel import RotationKernel
from bostruct.testing.central_differences import assert_gradient

AXIS = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
BODIES = [BodyRotation.of_body(1), BodyRotation.of_body(1, AXIS)]


def kernel(body: BodyRotation) -> CoordinateKernel:
    """Return a kernel of a periodic coordinate, a rotation, and one with bounds."""
    lengths = torch.tensor([0.7, 0.9, 1.3], dtype=torch.float64)
    amplitudes = torch.tensor([0.7, 0.4, 1.3], dtype=torch.float64)
    periodic = torch.tensor([True, False, False, False, False])
    rotation = RotationKernel(body.column, body.directions)
    constant = torch.tensor(0.3, dtype=torch.float64)
    return CoordinateKernel(periodic, lengths, amplitudes, constant, rotation)


def points(lengths: list[float]) -> Tensor:
    """Return points with rotation vectors of given lengths."""
    generator = torch.Generator().manual_seed(0)
    U = 6 * torch.rand(len(lengths), 5, generator=generator, dtype=torch.float64)
    v = torch.nn.functional.normalize(torch.randn(len(lengths), 3, generator=generator), dim=-1)
    U[:, 1:4] = v.double() * torch.tensor(lengths, dtype=torch.float64).unsqueeze(-1) + math.pi
    return U


LENGTHS = [0.0, 1e-3, 1.1, math.pi - 1e-4, math.pi, math.pi + 0.4]


@pytest.mark.parametrize("body", BODIES)
def test_derivatives_are_those_of_the_energies(body: BodyRotation) -> None:
    """The joint covariance is the one of autograd, at no rotation and about π too."""
    one, U = kernel(body), points(LENGTHS)
    n, d = U.shape

    def covariance(u: Tensor, v: Tensor) -> Tensor:
        return one.energies(u.unsqueeze(0), v.unsqueeze(0)).squeeze()

    joint = one.joint(U, U).reshape(d + 1, n, d + 1, n)
    cross = one.energies_and_gradients(U, U).reshape(n, d + 1, n)
    for i in range(n):
        for j in range(n):
            first = torch.func.grad(covariance, 0)(U[i], U[j])
            second = torch.func.grad(covariance, 1)(U[i], U[j])
            mixed = torch.func.jacfwd(torch.func.grad(covariance, 1), 0)(U[i], U[j])
            torch.testing.assert_close(joint[0, i, 0, j], covariance(U[i], U[j]))
            torch.testing.assert_close(joint[1:, i, 0, j], first, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(joint[0, i, 1:, j], second, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(joint[1:, i, 1:, j], mixed.T, rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(cross[i, :, j], joint[0, i, :, j])
    for length in LENGTHS:
        u = points([length])
        assert_gradient(lambda u: one.energies(u, U).sin().sum(), u)
        assert_gradient(lambda u: one.energies_and_gradients(u, U).sin().sum(), u)


@pytest.mark.parametrize("body", BODIES)
def test_joint_covariance_is_one(body: BodyRotation) -> None:
    """It is symmetric and positive, and energies have the prior variance."""
    one, U = kernel(body), points(LENGTHS)
    K = one.joint(U, U)
    torch.testing.assert_close(K, K.T)
    assert torch.linalg.eigvalsh(K).min() > -1e-9
    torch.testing.assert_close(K[:6, :6].diagonal(), one.prior_variance().expand(6))


def test_equal_rotations_have_equal_covariances() -> None:
    """v and v (1 - 2 π / |v|) are one, and of a linear body those with turns about its axis."""
    U = points(LENGTHS[2:])
    for body in BODIES:
        one, equal = kernel(body), U.clone()
        v = U[:, 1:4] - math.pi
        longer = v * (1 - 2 * math.pi / torch.linalg.vector_norm(v, dim=-1, keepdim=True))
        equal[:, 1:4] = (longer if not body.is_linear else body.wrap(v)) + math.pi
        torch.testing.assert_close(one.energies(equal, U), one.energies(U, U))
        torch.testing.assert_close(
            one.energies_and_gradients(equal, U), one.energies_and_gradients(U, U)
        )


def test_kernel_is_periodic_about_one_axis() -> None:
    """Of rotations by angles t about one axis the exponent is (1 - cos t) / l²."""
    t = torch.linspace(-3, 3, 7, dtype=torch.float64)
    U = torch.full((7, 3), math.pi, dtype=torch.float64)
    U[:, 2] += t
    found = RotationKernel(0, BodyRotation.of_body(0).directions).squared_distances(U, U)
    torch.testing.assert_close(found, 1 - (t.unsqueeze(1) - t).cos(), rtol=0, atol=1e-12)

"""Kernels of a dot product against central differences and their definitions."""

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates.local_gp.dot_product_kernel import (
    ExponentialKernel,
    PowerKernel,
    kernel_from_state,
    kernel_to_state,
)

KERNELS = [
    PowerKernel(1),
    PowerKernel(3),
    PowerKernel(6),
    ExponentialKernel((1.0,), (0.5,)),
    ExponentialKernel((0.02, 1.98), (0.05, 0.5)),
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_derivatives_match_central_differences(kernel):
    t, h = torch.linspace(-0.2, 1.0, 25, dtype=torch.float64), 1e-5
    slope = (kernel.value(t + h) - kernel.value(t - h)) / (2 * h)
    curvature = (kernel.derivative(t + h) - kernel.derivative(t - h)) / (2 * h)
    torch.testing.assert_close(kernel.derivative(t), slope, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(kernel.second_derivative(t), curvature, rtol=1e-6, atol=1e-8)
    factor = torch.linspace(1, 2, 25, dtype=torch.float64)
    torch.testing.assert_close(kernel.derivative(t, factor), factor * kernel.derivative(t))


@pytest.mark.parametrize("kernel", KERNELS)
def test_torch_differentiates_twice(kernel):
    t = torch.linspace(0.1, 1.0, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(kernel.value, (t,))


@pytest.mark.parametrize("kernel", KERNELS)
def test_is_a_covariance_of_unit_variance(kernel):
    generator = torch.Generator().manual_seed(0)
    P = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    P = P / P.norm(dim=-1, keepdim=True)
    K = kernel.value(P @ P.T)
    torch.testing.assert_close(K.diagonal(), torch.ones(40, dtype=torch.float64))
    assert torch.linalg.eigvalsh(K).min() > -1e-12


def test_exponentials_are_squared_exponentials_of_the_distance():
    P = torch.eye(3, dtype=torch.float64)[:2]
    P[1] = torch.tensor([0.6, 0.8, 0.0])
    distance = (P[0] - P[1]).norm()
    expected = 0.25 * torch.exp(-(distance**2) / 0.2) + 0.75 * torch.exp(-(distance**2) / 2)
    found = ExponentialKernel((1.0, 3.0), (0.1, 1.0)).value(P[0] @ P[1])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_comes_back_from_its_state(kernel):
    zeta, tensors = kernel_to_state(kernel)
    assert kernel_from_state(zeta, tensors) == kernel
    assert (zeta > 0) == isinstance(kernel, PowerKernel)
    assert not (zeta and tensors)  # as models of earlier versions


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: PowerKernel(0), "`zeta` must be an integer"),
        (lambda: ExponentialKernel((), ()), "`weights` must be as many"),
        (lambda: ExponentialKernel((1.0,), (0.1, 0.2)), "`weights` must be as many"),
        (lambda: ExponentialKernel((-1.0,), (0.1,)), "`weights` must be positive"),
        (lambda: ExponentialKernel((1.0,), (0.0,)), "`length_scales` must be positive"),
    ],
)
def test_refuses(make, match):
    with pytest.raises(InputError, match=match):
        make()

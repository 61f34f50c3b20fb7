"""Central differences as the reference for gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bostruct.testing.random_generator import seeded_generator


def assert_gradient(
    function: Callable[[Tensor], Tensor],
    X: Tensor,
    gradient: Tensor | None = None,
    *,
    step: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Raise an AssertionError unless a gradient agrees with a central difference.

    Both are taken along one random direction.

    Args:
        function: Scalar function of a tensor.
        X: Point at which to compare.
        gradient: Gradient of the function, like `X`; computed by autograd where None.
        step: Length of a step per coordinate, in units of `X`.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
    """
    if gradient is None:
        leaf = X.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(leaf), leaf)
    direction = torch.randn(X.shape, generator=seeded_generator(2), dtype=X.dtype)
    shift = step * direction
    # Not under no_grad: a function may need autograd itself.
    secant = (function(X.detach() + shift) - function(X.detach() - shift)).detach() / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), secant, rtol=rtol, atol=atol)

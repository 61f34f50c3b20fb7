"""Hyperparameters of highest posterior density, from several starting points."""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

MAX_ITERATIONS = 100  # of L-BFGS-B


def find_map_estimate(
    negative_log_posterior: Callable[[Tensor], Tensor],
    initial_points: Sequence[Tensor],
    lower: Tensor,
    upper: Tensor,
) -> Tensor:
    """Return the lowest minimum that L-BFGS-B reaches from several starting points.

    Args:
        negative_log_posterior: Minus a log density of parameters `[p]`, differentiable.
        initial_points: Starting points, `[p]` each; of equal minima the first is returned.
        lower: Lower bounds of the parameters, `[p]`.
        upper: Upper bounds of the parameters, `[p]`.
    """

    def value_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = torch.from_numpy(flat.copy()).requires_grad_()
        with torch.enable_grad():
            value = negative_log_posterior(p)
            (gradient,) = torch.autograd.grad(value, p)
        return float(value.detach()), gradient.numpy()

    settings: dict[str, Any] = {
        "jac": True,
        "method": "L-BFGS-B",
        "bounds": torch.stack((lower, upper), -1).numpy(),
        "options": {"maxiter": MAX_ITERATIONS},
    }
    results = [minimize(value_and_gradient, p.numpy(), **settings) for p in initial_points]
    return torch.from_numpy(min(results, key=lambda result: float(result.fun)).x)


def negative_log_density(A: Tensor, y: Tensor) -> Tensor:
    """Return minus the log density of y `[t]` under N(0, A), but for its constant."""
    factor = torch.linalg.cholesky(A)
    inner = torch.linalg.solve_triangular(factor, y.unsqueeze(-1), upper=False)
    value: Tensor = 0.5 * inner.square().sum() + factor.diagonal().log().sum()
    return value

"""The most probable hyperparameters: a few searches, each from its own start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

MAX_ITERATIONS = 100  # of a search


def find_map_estimate(
    negative_log_posterior: Callable[[Tensor], Tensor],
    initial_points: Sequence[Tensor],
    lower: Tensor,
    upper: Tensor,
) -> Tensor:
    """Return where something smooth is lowest, of what L-BFGS-B finds.

    Args:
        negative_log_posterior: of parameters `[p]`, differentiable; minus a log density.
        initial_points: `[p]` each; of equal finds the first counts.
        lower: `[p]` lower ends of the parameters.
        upper: `[p]` upper ends.
    """

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = torch.from_numpy(flat.copy()).requires_grad_()
        with torch.enable_grad():
            found = negative_log_posterior(p)
            (slope,) = torch.autograd.grad(found, p)
        return float(found.detach()), slope.numpy()

    bounds = torch.stack((lower, upper), -1).numpy()
    tried = [
        minimize(
            value,
            start.numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": MAX_ITERATIONS},
        )
        for start in initial_points
    ]
    best = min(tried, key=lambda one: float(one.fun))
    return torch.from_numpy(best.x)


def negative_log_density(A: Tensor, y: Tensor) -> Tensor:
    """Return minus the log density of y `[t]` under N(0, A), but for its constant."""
    factor = torch.linalg.cholesky(A)
    inner = torch.linalg.solve_triangular(factor, y.unsqueeze(-1), upper=False)
    found: Tensor = 0.5 * inner.square().sum() + factor.diagonal().log().sum()
    return found

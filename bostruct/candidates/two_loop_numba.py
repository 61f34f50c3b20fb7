"""Two-loop recursion of L-BFGS for a batch as a compiled loop, for CPUs.

Notation as in `batched_lbfgs`.
"""

from __future__ import annotations

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit


@lazy_njit()
def two_loop_recursion(
    g: Array, S: Array, Y: Array, rho: Array, steepest: Array, newest: int
) -> Array:
    """Return minus the inverse Hessian times the gradient, `[b, d]`.

    Args:
        g: `[b, d]`, gradients.
        S: `[h, b, d]`, changes of X.
        Y: `[h, b, d]`, changes of the gradient.
        rho: `[h, b]`, 1 / (S . Y); 0 where there is no pair.
        steepest: `[b]`, the inverse curvature where there is no pair at all.
        newest: slot of the newest pair; older ones are in those before it, cyclically.
    """
    out = -g
    alpha = np.empty(len(S), g.dtype)
    for row in range(len(g)):
        _apply_inverse_hessian(
            out[row], S[:, row], Y[:, row], rho[:, row], steepest[row], newest, alpha
        )
    return out


@lazy_njit()
def _apply_inverse_hessian(
    q: Array, S: Array, Y: Array, rho: Array, steepest: float, newest: int, alpha: Array
) -> None:
    """Replace q `[d]` by its product with the inverse Hessian of one structure."""
    scale = 0.0
    for age in range(len(S)):
        k = (newest - age) % len(S)
        if rho[k] == 0:
            continue
        alpha[k] = rho[k] * _dot(S[k], q)
        for x in range(len(q)):
            q[x] -= alpha[k] * Y[k, x]
        if scale == 0:
            scale = 1 / max(rho[k] * _dot(Y[k], Y[k]), 1e-30)
    q *= scale if scale > 0 else steepest
    for age in range(len(S) - 1, -1, -1):
        k = (newest - age) % len(S)
        if rho[k] != 0:
            change = alpha[k] - rho[k] * _dot(Y[k], q)
            for x in range(len(q)):
                q[x] += change * S[k, x]


@lazy_njit()
def _dot(a: Array, b: Array) -> float:
    total = 0.0
    for x in range(len(a)):
        total += a[x] * b[x]
    return total

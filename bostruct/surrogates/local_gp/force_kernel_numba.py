"""What pairs of atoms add to the covariances of forces, as a compiled loop.

One pass over what a product of matrices has just left in the cache, in place of one for
the product with the kernel's slope and one for either atom.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bostruct.runtime.jit import lazy_njit

Array = NDArray[Any]


@lazy_njit()
def add_force_kernel(
    start: int,
    pair_gradients: Array,
    kernel_derivatives: Array,
    center: Array,
    neighbor: Array,
    out: Array,
) -> None:
    """Add slope * steep to the center of each pair, and take it from the other atom.

    Args:
        start: the first of z columns of `out`.
        pair_gradients: `[p, 3, z]`.
        kernel_derivatives: `[n, z]` factor of each center.
        center: `[p]`.
        neighbor: `[p]`.
        out: `[n, 3, m]`, changed there.
    """
    for p in range(len(center)):
        weight = kernel_derivatives[center[p]]
        for x in range(3):
            mine, theirs = out[center[p], x], out[neighbor[p], x]
            for j in range(pair_gradients.shape[2]):
                value = pair_gradients[p, x, j] * weight[j]
                mine[start + j] += value
                theirs[start + j] -= value

"""What pairs of atoms add to the covariances of forces, as a compiled loop.

One pass over what a product of matrices has just left in the cache, in place of one for
the product with the kernel's slope and one for either atom.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bostruct.runtime.jit import compiled

Array = NDArray[Any]


@compiled()
def spread(
    start: int, slope: Array, steep: Array, center: Array, other: Array, out: Array
) -> None:
    """Add slope * steep to the center of each pair, and take it from the other atom.

    Args:
        start: the first of z columns of `out`.
        slope: `[p, 3, z]`.
        steep: `[n, z]` factor of each center.
        center: `[p]`.
        other: `[p]`.
        out: `[n, 3, m]`, changed there.
    """
    for p in range(len(center)):
        weight = steep[center[p]]
        for x in range(3):
            mine, theirs = out[center[p], x], out[other[p], x]
            for j in range(slope.shape[2]):
                value = slope[p, x, j] * weight[j]
                mine[start + j] += value
                theirs[start + j] -= value

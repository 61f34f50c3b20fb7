"""The contributions of pairs of atoms to the covariances of forces, as a compiled loop.

One pass over the result of a matrix product that is still in the cache, in place of one for the
product with the kernel's derivative and one for either atom.
"""

from __future__ import annotations

from bostruct.runtime.jit import Array, lazy_njit


@lazy_njit()
def add_force_kernel(
    start: int,
    pair_gradients: Array,
    kernel_derivatives: Array,
    center: Array,
    neighbor: Array,
    out: Array,
) -> None:
    """Add gradient times kernel derivative to each center; subtract it from the neighbor.

    Args:
        start: The first of z columns of `out`.
        pair_gradients: `[p, 3, z]`, gradients of the dot products with z environments.
        kernel_derivatives: `[n, z]`, factor of each central atom.
        center: `[p]`, central atoms.
        neighbor: `[p]`, neighbors.
        out: `[n, 3, m]`, changed in place.
    """
    for p in range(len(center)):
        derivative = kernel_derivatives[center[p]]
        for x in range(3):
            center_row, neighbor_row = out[center[p], x], out[neighbor[p], x]
            for j in range(pair_gradients.shape[2]):
                value = pair_gradients[p, x, j] * derivative[j]
                center_row[start + j] += value
                neighbor_row[start + j] -= value

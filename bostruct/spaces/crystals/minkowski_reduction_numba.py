"""Minkowski reduction of cells by compiled loops.

Lattice vectors are made as short as possible: all angles of a reduced cell lie between 60° and
120°. By the greedy algorithm of Nguyen and Stehlé, ACM Trans. Algorithms 5, 46 (2009).
"""

from __future__ import annotations

import math

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit

SHORTENING = 1e-9
"""Relative decrease of a squared length below which a vector stays, so that ties end."""

MAX_REDUCTION_STEPS = 1000
"""Largest number of vectors that are shortened in one cell."""


@lazy_njit()
def reduce_all(cells: Array, transforms: Array) -> None:
    """Reduce cells `[n, 3, 3]` in place.

    Reduced lattice vectors are those of before, times `transforms` `[n, 3, 3]`, whole numbers that
    are written. Right-handed cells stay right-handed.
    """
    for s in range(len(cells)):
        transforms[s] = np.eye(3)
        if np.all(np.isfinite(cells[s])):
            _reduce(cells[s], transforms[s])


@lazy_njit()
def _reduce(H: Array, T: Array) -> None:
    for _ in range(MAX_REDUCTION_STEPS):
        _sort_by_length(H, T)
        first = _shorten(H, T, 1, 0)
        if not first and not _shorten_last(H, T):
            break
    if np.linalg.det(T) < 0:
        for k in range(3):
            for x in range(3):
                H[k, x], T[k, x] = -H[k, x], -T[k, x]


@lazy_njit()
def _square(v: Array) -> float:
    return float(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


@lazy_njit()
def _sort_by_length(H: Array, T: Array) -> None:
    """Exchange vectors until each is no longer than the next."""
    for first, second in ((0, 1), (1, 2), (0, 1)):
        if _square(H[second]) < (1 - SHORTENING) * _square(H[first]):
            for x in range(3):
                H[first, x], H[second, x] = H[second, x], H[first, x]
                T[first, x], T[second, x] = T[second, x], T[first, x]


@lazy_njit()
def _shorten(H: Array, T: Array, k: int, other: int) -> bool:
    """Take a multiple of another vector from vector k, and return whether that made it shorter."""
    dot = H[k, 0] * H[other, 0] + H[k, 1] * H[other, 1] + H[k, 2] * H[other, 2]
    n = np.rint(dot / _square(H[other]))
    trial = H[k] - n * H[other]
    if not _square(trial) < (1 - SHORTENING) * _square(H[k]):
        return False
    H[k] = trial
    T[k] = T[k] - n * T[other]
    return True


@lazy_njit()
def _shorten_last(H: Array, T: Array) -> bool:
    """Take the closest vector of the plane of the first two from the last one."""
    aa, bb = _square(H[0]), _square(H[1])
    ab = H[0, 0] * H[1, 0] + H[0, 1] * H[1, 1] + H[0, 2] * H[1, 2]
    ac = H[0, 0] * H[2, 0] + H[0, 1] * H[2, 1] + H[0, 2] * H[2, 2]
    bc = H[1, 0] * H[2, 0] + H[1, 1] * H[2, 1] + H[1, 2] * H[2, 2]
    det = aa * bb - ab * ab
    i0, j0 = math.floor((bb * ac - ab * bc) / det), math.floor((aa * bc - ab * ac) / det)
    best, i_best, j_best = (1 - SHORTENING) * _square(H[2]), 0.0, 0.0
    for i in (i0 - 1, i0, i0 + 1, i0 + 2):
        for j in (j0 - 1, j0, j0 + 1, j0 + 2):
            square = _square(H[2] - i * H[0] - j * H[1])
            if square < best:
                best, i_best, j_best = square, float(i), float(j)
    if i_best == 0.0 and j_best == 0.0:
        return False
    H[2] = H[2] - i_best * H[0] - j_best * H[1]
    T[2] = T[2] - i_best * T[0] - j_best * T[1]
    return True

"""The pair repulsion and its gradient as compiled loops over all pairs, or over listed ones."""

from __future__ import annotations

import math

import numpy as np

from bostruct.runtime.jit import Array, lazy_njit


@lazy_njit()
def repulsion_and_gradient(
    positions: Array,
    offsets: Array,
    cell: Array,
    inverse_cell: Array,
    n_images: Array,
    radii: Array,
    strength: float,
    min_ratio: float,
) -> tuple[Array, Array]:
    """Return the energy of each structure, `[b]` eV, and its gradient, `[n, 3]` eV/Å.

    Args:
        positions: Positions of all atoms, `[n, 3]` Å.
        offsets: `[b + 1]`, first atom of each structure.
        cell: `[b, 3, 3]` Å, rows of zeros in directions that are not periodic.
        inverse_cell: `[b, 3, 3]` 1/Å.
        n_images: `[b, 3]`, number of images along each direction, each way.
        radii: `[n]` Å; the repulsion begins where two of them touch.
        strength: Energy of a pair at half the sum of its radii, eV.
        min_ratio: Least distance in units of the sum of the radii; closer atoms count as this far.
    """
    energy = np.zeros(len(offsets) - 1, positions.dtype)
    gradient = np.zeros(positions.shape, positions.dtype)
    x, base, pair_gradient = np.zeros(3), np.zeros(3), np.zeros(3)
    for s in range(len(offsets) - 1):
        for i in range(offsets[s], offsets[s + 1]):
            for j in range(i, offsets[s + 1]):
                for axis in range(3):
                    x[axis] = positions[j, axis] - positions[i, axis]
                for axis in range(3):
                    fraction = 0.0
                    for y in range(3):
                        fraction += x[y] * inverse_cell[s, y, axis]
                    base[axis] = -math.floor(fraction + 0.5)
                d, pair_gradient[:] = radii[i] + radii[j], 0
                pair_energy = _image_sum(
                    x, base, cell[s], n_images[s], i == j, d, min_ratio * d, pair_gradient
                )
                # the pair of an atom and its own image is counted from either side
                energy[s] += strength * pair_energy / (2 if i == j else 1)
                if i != j:
                    for y in range(3):
                        gradient[i, y] += strength * pair_gradient[y]
                        gradient[j, y] -= strength * pair_gradient[y]
    return energy, gradient


@lazy_njit()
def listed_repulsion_and_gradient(
    vectors: Array,
    is_listed: Array,
    neighbor: Array,
    center: Array,
    index: Array,
    n_structures: int,
    length_unit: float,
    radii: Array,
    strength: float,
    min_ratio: float,
) -> tuple[Array, Array]:
    """Return the energy of each structure, `[b]` eV, and its gradient, `[n, 3]` eV/Å.

    Each pair is listed from both sides.

    Args:
        vectors: `[r, k, 3]`, vectors to the neighbors of r atoms, in length units.
        is_listed: `[r, k]`, False for padding.
        neighbor: `[r, k]`, atom index of each neighbor.
        center: `[r]`, atom index of each row.
        index: `[n]`, structure of each atom.
        n_structures: number b of structures.
        length_unit: Å.
        radii: `[n]` Å; the repulsion begins where two of them touch.
        strength: Energy of a pair at half the sum of its radii, eV.
        min_ratio: Least distance in units of the sum of the radii; closer atoms count as this far.
    """
    energy = np.zeros(n_structures, vectors.dtype)
    gradient = np.zeros((len(index), 3), vectors.dtype)
    for row in range(len(vectors)):
        i = center[row]
        for k in range(vectors.shape[1]):
            if not is_listed[row, k]:
                continue
            j = neighbor[row, k]
            d = (radii[i] + radii[j]) / length_unit
            square = 0.0
            for y in range(3):
                square += vectors[row, k, y] ** 2
            if square >= d * d:  # NaN goes on, and shows in the result
                continue
            r = math.sqrt(square)
            least = min_ratio * d
            excess = d / max(r, least) - 1 if r == r else r
            energy[index[i]] += 0.5 * strength * excess**3
            if r >= least:
                slope = 1.5 * strength * excess * excess * d / (square * r * length_unit)
                for y in range(3):
                    gradient[i, y] += slope * vectors[row, k, y]
                    gradient[j, y] -= slope * vectors[row, k, y]
    return energy, gradient


@lazy_njit()
def _image_sum(
    x: Array,
    base: Array,
    cell: Array,
    n_images: Array,
    is_self: bool,
    d: float,
    min_distance: float,
    gradient: Array,
) -> float:
    """Return the sum over all images of an atom at x; add the gradient."""
    total = 0.0
    for a in range(-n_images[0], n_images[0] + 1):
        for b in range(-n_images[1], n_images[1] + 1):
            for c in range(-n_images[2], n_images[2] + 1):
                u, v, w = base[0] + a, base[1] + b, base[2] + c
                if is_self and u == 0 and v == 0 and w == 0:
                    continue
                X = x[0] + u * cell[0, 0] + v * cell[1, 0] + w * cell[2, 0]
                Y = x[1] + u * cell[0, 1] + v * cell[1, 1] + w * cell[2, 1]
                Z = x[2] + u * cell[0, 2] + v * cell[1, 2] + w * cell[2, 2]
                square = X * X + Y * Y + Z * Z
                if square >= d * d:  # NaN goes on, and shows in the result
                    continue
                r = math.sqrt(square)
                excess = d / max(r, min_distance) - 1 if r == r else r
                total += excess**3
                if r >= min_distance:
                    derivative = 3 * excess * excess * d / (square * r)
                    gradient[0] += derivative * X
                    gradient[1] += derivative * Y
                    gradient[2] += derivative * Z
    return total

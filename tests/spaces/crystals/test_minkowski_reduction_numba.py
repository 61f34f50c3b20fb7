import numpy as np
import pytest
from ase.geometry import minkowski_reduce

from bostruct.spaces.crystals.minkowski_reduction_numba import reduce_all


def reduced(cells):
    cells = np.array(cells, dtype=float)
    transforms = np.empty_like(cells)
    reduce_all(cells, transforms)
    return cells, transforms


def test_vectors_are_as_short_as_those_of_ase():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(200, 3, 3)) @ np.diag([1, 3, 0.3])
    result, transforms = reduced(cells)
    np.testing.assert_allclose(transforms @ cells, result, atol=1e-9)
    assert (transforms == np.round(transforms)).all()
    np.testing.assert_allclose(np.abs(np.linalg.det(transforms)), 1)
    assert (np.sign(np.linalg.det(result)) == np.sign(np.linalg.det(cells))).all()
    for cell, mine in zip(cells, result, strict=True):
        lengths = np.sort(np.linalg.norm(minkowski_reduce(cell)[0], axis=1))
        np.testing.assert_allclose(np.sort(np.linalg.norm(mine, axis=1)), lengths)


def test_angles_of_reduced_cells_lie_between_60_and_120():
    cells, _ = reduced(np.random.default_rng(1).normal(size=(200, 3, 3)))
    unit = cells / np.linalg.norm(cells, axis=-1, keepdims=True)
    cosines = np.abs((unit @ unit.transpose(0, 2, 1))[:, [0, 0, 1], [1, 2, 2]])
    assert cosines.max() < 0.5 + 1e-9


@pytest.mark.parametrize("cell", [np.eye(3), [[1, 1, 0], [0, 1, 1], [1, 0, 1]]])
def test_ties_leave_a_reduced_cell_as_it_is(cell):
    result, transforms = reduced([cell])
    assert (transforms == np.eye(3)).all()
    assert (result == np.array([cell])).all()


def test_a_cell_that_is_not_finite_stays():
    assert np.isnan(reduced(np.full((1, 3, 3), np.nan))[0]).all()

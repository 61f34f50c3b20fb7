"""The compiled loop over walls, called as `Repulsion` calls it."""

import numpy as np
import pytest

from bostruct.surrogates.pair_repulsion_numba import (
    listed_repulsion_and_gradient,
    repulsion_and_gradient,
)


def run(P, cell=None, images=(0, 0, 0)):
    P = np.array(P, float)
    cell = np.zeros((3, 3)) if cell is None else np.array(cell, float)
    start, radii = np.array([0, len(P)]), np.full(len(P), 1.0)
    lattice = cell[None], np.linalg.pinv(cell)[None], np.array([images])
    return repulsion_and_gradient(P, start, *lattice, radii, 20.0, 1e-3)


def test_two_atoms_push_each_other_apart():
    energy, slope = run([[0, 0, 0], [0, 0, 1.0]])
    assert energy.tolist() == [20.0]
    assert slope[0].tolist() == [0, 0, 120.0]
    assert slope[1].tolist() == [0, 0, -120.0]
    energy, slope = run([[0, 0, 0], [0, 0, 2.0]])
    assert not energy.any()
    assert not slope.any()


def test_an_atom_in_a_chain_touches_itself_from_both_sides():
    energy, slope = run([[0, 0, 0]], np.diag([1.0, 0, 0]), (2, 0, 0))
    assert energy[0] == pytest.approx(20.0)
    assert not slope.any()


def test_what_is_no_number_is_seen():
    energy, _ = run([[0, 0, 0], [np.nan, 0, 0]])
    assert np.isnan(energy[0])


def run_listed(vectors, is_listed, neighbor):
    """Listed pairs of two atoms of radius 1 in units of 2 Å."""
    center, index, radii = np.arange(2), np.zeros(2, np.int64), np.ones(2)
    lists = np.array(vectors, float), np.array(is_listed), np.array(neighbor)
    return listed_repulsion_and_gradient(*lists, center, index, 1, 2.0, radii, 20.0, 1e-3)


def test_listed_pairs_push_each_other_apart():
    vectors = [[[0, 0, 0.5], [0, 0, 0]], [[0, 0, -0.5], [0, 0, 0]]]
    energy, slope = run_listed(vectors, [[True, False]] * 2, [[1, 0], [0, 1]])
    assert energy.tolist() == [20.0]
    assert slope.tolist() == [[0, 0, 120.0], [0, 0, -120.0]]
    energy, slope = run_listed(vectors, [[False, False]] * 2, [[1, 0], [0, 1]])
    assert not energy.any()
    assert not slope.any()


def test_a_listed_distance_that_is_no_number_is_seen():
    vectors = [[[0, 0, np.nan]], [[0, 0, np.nan]]]
    energy, _ = run_listed(vectors, [[True]] * 2, [[1], [0]])
    assert np.isnan(energy[0])

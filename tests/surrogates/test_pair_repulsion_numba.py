"""The compiled loop over walls, called as `Repulsion` calls it."""

import numpy as np
import pytest

from bostruct.surrogates.pair_repulsion_numba import repulsion_and_gradient


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

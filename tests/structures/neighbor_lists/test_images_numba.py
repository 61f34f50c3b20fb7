"""The compiled loop over images, called as `table` calls it."""

import numpy as np

from bostruct.structures.neighbor_lists.images_numba import fill_neighbors


def run(P, cell, copies, cutoff, k, still=None, row=None):
    row = np.arange(len(P)) if row is None else np.array(row)
    found = np.zeros(len(P), np.int64)
    other = np.full((len(P), k), -1)
    shift = np.zeros((len(P), k, 3))
    start = np.array([0, len(P)])
    inverse = np.linalg.pinv(cell)[None]
    still = np.zeros(len(P), bool) if still is None else np.array(still)
    lattice = cell[None], inverse, np.array([copies])
    fill_neighbors(P, start, *lattice, cutoff**2, still, row, found, other, shift)
    return found, other, shift


def test_an_atom_in_a_chain_sees_its_own_images():
    cell = np.diag([2.0, 0.0, 0.0])
    found, other, shift = run(np.zeros((1, 3)), cell, [2, 0, 0], 4.5, 4)
    assert found.tolist() == [4]
    assert other.tolist() == [[0, 0, 0, 0]]
    assert sorted(shift[0, :, 0].tolist()) == [-2, -1, 1, 2]


def test_without_room_it_counts_only():
    P = np.array([[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]])
    found, other, _ = run(P, np.zeros((3, 3)), [0, 0, 0], 2.0, 0)
    assert found.tolist() == [1, 1, 0]
    assert other.shape == (3, 0)


def test_what_is_no_number_is_near_to_be_seen_later():
    P = np.array([[0.0, 0, 0], [np.nan, 0, 0]])
    found, _, _ = run(P, np.zeros((3, 3)), [0, 0, 0], 2.0, 2)
    assert found[0] == 1


def test_atoms_that_are_still_do_not_look_at_each_other():
    P = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]])
    found, other, _ = run(P, np.zeros((3, 3)), [0, 0, 0], 3.0, 2, [True, False, True])
    assert found.tolist() == [1, 2, 1]
    assert other[:, 0].tolist() == [1, 0, 1]
    assert other[1].tolist() == [0, 2]


def test_atoms_without_a_row_are_left_out():
    P = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.5, 0, 0]])
    found, other, _ = run(P, np.zeros((3, 3)), [0, 0, 0], 2.0, 2, row=[-1, 1, 0])
    assert found.tolist() == [0, 2, 1]
    assert other.tolist() == [[1, -1], [0, 2], [-1, -1]]

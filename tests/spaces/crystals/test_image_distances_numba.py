import itertools

import numpy as np
import pytest

from bostruct.spaces.crystals.image_distances_numba import (
    closest_ratios,
    nearest_distances,
    push_atoms,
)

N_IMAGES = 6


def crystals(n, a, seed=0):
    """Return random crystals, some of them far smaller than the distances and skewed."""
    rng = np.random.default_rng(seed)
    H = np.eye(3) * 2.5 + rng.normal(size=(n, 3, 3)) * 0.6
    return rng.random((n, a, 3)) * 3, H, heights(H)


def heights(H):
    return 1 / np.linalg.norm(np.linalg.inv(H), axis=-2)


def all_distances(F, H):
    """Return the distances of one crystal `[a, a, images]` from a sum over many images."""
    shifts = np.array(list(itertools.product(range(-N_IMAGES, N_IMAGES + 1), repeat=3)))
    V = (F[None] - F[:, None])[:, :, None]
    V = V - np.round(V) + shifts
    D = np.linalg.norm(V @ H, axis=-1)
    home = (shifts == 0).all(-1)
    for i in range(len(F)):
        D[i, i, home] = np.inf
    return D


def test_closest_ratios_count_all_images():
    F, H, h = crystals(20, 3)
    W = np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 0.5], [2.0, 0.5, 1.0]])
    ratios = np.empty(20)
    closest_ratios(F, H, h, W, ratios)
    expected = [
        min(1, (all_distances(f, c) / W[..., None]).min()) for f, c in zip(F, H, strict=True)
    ]
    np.testing.assert_allclose(ratios, expected)
    assert (ratios < 1).any()


def test_nearest_distances_are_sorted_by_species():
    F, H, h = crystals(6, 3)
    species, cutoff = np.array([0, 1, 1]), 3.0
    nearest = np.empty((6, 3, 2, 7))
    nearest_distances(F, H, h, species, cutoff, nearest)
    for k in range(6):
        D = all_distances(F[k], H[k])
        for atom, kind in itertools.product(range(3), range(2)):
            expected = np.sort(D[atom, species == kind].ravel())[:7]
            np.testing.assert_allclose(nearest[k, atom, kind], np.minimum(expected, cutoff))


def test_pushing_removes_overlaps_at_constant_volume():
    F, H, _ = crystals(20, 2, seed=1)
    H = H * 2
    volume = np.linalg.det(H)
    W = np.full((2, 2), 2.6)
    push_atoms(F, H, W, 200, 3)
    np.testing.assert_allclose(np.linalg.det(H), volume)
    ratios = np.empty(20)
    closest_ratios(F, H, heights(H), W, ratios)
    roomy = np.abs(volume) > 2 * 2 * 2.6**3 / np.sqrt(2)
    assert roomy.sum() > 5
    assert ratios[roomy].min() > 0.98


def test_pushing_turns_with_the_crystal():
    """A rotated crystal is pushed alike, and what does not overlap stays."""
    F, H, _ = crystals(5, 3)
    Q = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    G, K = F.copy(), H @ Q
    W = np.full((3, 3), 1.8)
    push_atoms(F, H, W, 5, 3)
    push_atoms(G, K, W, 5, 3)
    np.testing.assert_allclose(G, F, atol=1e-9)
    np.testing.assert_allclose(K, H @ Q, atol=1e-9)
    before = F.copy(), H.copy()
    push_atoms(F, H, np.full((3, 3), 0.01), 5, 3)
    assert (before[0] == F).all()
    assert (before[1] == H).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_end(value):
    F, H, _ = crystals(2, 2)
    F[0, 0, 0] = value
    ratios = np.empty(2)
    closest_ratios(F, H, heights(H), np.full((2, 2), 1.0), ratios)
    assert np.isfinite(ratios[1])

import numpy as np
import pytest
import torch
from ase.cell import Cell

from bostruct.spaces.crystals.packing import (
    cell_angles,
    cell_heights,
    center_atoms,
    least_distance_ratios,
    neighbor_distances,
    push_apart,
    reduced,
    wrap_atoms,
)
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.testing import seeded_generator


def random_cells(n):
    return 4 * torch.eye(3, dtype=torch.float64) + normal((n, 3, 3), seeded_generator(0))


def test_heights_and_angles_are_those_of_the_cell():
    H = random_cells(5)
    for cell, height, angle in zip(H, cell_heights(H), cell_angles(H), strict=True):
        reciprocal = torch.linalg.inv(cell)
        np.testing.assert_allclose(height, 1 / torch.linalg.vector_norm(reciprocal, dim=0))
        np.testing.assert_allclose(angle, Cell(cell.numpy()).angles())


def test_wrapped_atoms_are_images_about_the_center():
    F = 5 * normal((3, 4, 3), seeded_generator(0))
    wrapped = wrap_atoms(F)
    torch.testing.assert_close(wrapped.mean(-2), torch.full((3, 3), 0.5).double())
    change = wrapped - F
    change = change - change[:, :1]
    torch.testing.assert_close(change, change.round())
    torch.testing.assert_close(center_atoms(wrapped), wrapped)


def test_reduced_crystals_are_the_same():
    F, H = uniform((6, 3, 3), seeded_generator(0)), random_cells(6)
    T = torch.tensor([[1.0, 0, 0], [3, 1, 0], [-1, 2, 1]]).double()
    G, K = reduced(F @ torch.linalg.inv(T), T @ H)
    species, arguments = torch.tensor([0, 0, 1]), (5.0, 8)
    before = neighbor_distances(F, H, species, *arguments)
    torch.testing.assert_close(neighbor_distances(G, K, species, *arguments), before)
    assert (torch.linalg.vector_norm(K, dim=-1) < 12).all()
    again = reduced(G, K)
    assert torch.equal(again[0], G)
    assert torch.equal(again[1], K)


def test_pushing_keeps_its_input_and_the_dtype():
    F, H = uniform((6, 3, 3), seeded_generator(0)).float(), random_cells(6).float()
    W = torch.full((3, 3), 2.0, dtype=torch.float64)
    before = F.clone()
    pushed, strained = push_apart(F, H, W)
    assert torch.equal(F, before)
    assert pushed.dtype == strained.dtype == torch.float32
    least = least_distance_ratios(F, H, W), least_distance_ratios(pushed, strained, W)
    assert (least[1] >= least[0] - 1e-6).all()
    assert least[1].mean() > least[0].mean()


def test_no_crystals():
    F, H = torch.zeros(0, 3, 3).double(), torch.zeros(0, 3, 3).double()
    W = torch.ones(3, 3, dtype=torch.float64)
    assert least_distance_ratios(F, H, W).shape == (0,)
    assert push_apart(F, H, W)[0].shape == (0, 3, 3)
    assert reduced(F, H)[1].shape == (0, 3, 3)


@pytest.mark.parametrize("k", [1, 5])
def test_nearest_neighbors_of_a_cubic_crystal(k):
    F, H = torch.zeros(1, 1, 3).double(), 2 * torch.eye(3).double().unsqueeze(0)
    nearest = neighbor_distances(F, H, torch.tensor([0]), 9.0, k)
    torch.testing.assert_close(nearest, torch.full((1, 1, 1, k), 2.0).double())

import pytest
import torch
from ase.build import bulk

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.crystal_coordinates import CrystalCoordinates
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.testing import seeded_generator


def test_decodes_what_was_encoded():
    coordinates = CrystalCoordinates(4, CellFreedom.cube(60.0))
    X = normal((5, 2, coordinates.dimension), seeded_generator(0))
    F, H = coordinates.decode(X)
    assert F.shape == (5, 2, 4, 3)
    centered = coordinates.encode(F, H)
    torch.testing.assert_close(centered[..., -6:], X[..., -6:])
    again = coordinates.encode(*coordinates.decode(centered))
    torch.testing.assert_close(again, centered)
    torch.testing.assert_close(coordinates.join(*coordinates.split(X)), X)


def test_no_strain_is_a_cube_of_the_expected_volume():
    coordinates = CrystalCoordinates(2, CellFreedom.cube(27.0))
    X = torch.zeros(1, 12, dtype=torch.float64)
    X[0, :3] = 1.5
    F, H = coordinates.decode(X)
    torch.testing.assert_close(H[0], 3 * torch.eye(3).double())
    torch.testing.assert_close((F @ H)[0, 0], torch.full((3,), 1.5).double())


def spring_energy(coordinates, X):
    """Energy of springs of 2.55 Å between all atoms and images closer than 3.2 Å."""
    F, H = coordinates.decode(X)
    P = F @ H
    shifts = torch.cartesian_prod(*[torch.arange(-2.0, 3.0, dtype=X.dtype)] * 3)
    images = (shifts @ H).reshape(len(X), 1, 1, -1, 3)
    D = (P.unsqueeze(2) - P.unsqueeze(1)).unsqueeze(3) + images
    D = D.square().sum(-1).add(1e-9).sqrt()
    near = (D > 0.5) & (D < 3.2)
    return torch.where(near, (D - 2.55) ** 2, 0).sum((1, 2, 3)) / 2


@pytest.mark.parametrize("repeat", [1, 2])
def test_gradients_of_atoms_and_cell_are_of_one_size(repeat):
    atoms = bulk("Cu", cubic=True).repeat(repeat)
    coordinates = CrystalCoordinates(len(atoms), CellFreedom.cube(atoms.get_volume()))
    F, H = torch.tensor(atoms.get_scaled_positions()), torch.tensor(atoms.cell[:])
    x = coordinates.encode(F.unsqueeze(0), H.unsqueeze(0))
    X = x + 0.05 * normal((64, x.shape[1]), seeded_generator(0))
    X.requires_grad_()
    (g,) = torch.autograd.grad(spring_energy(coordinates, X).sum(), X)
    ratio = g[:, -6:].square().mean().sqrt() / g[:, :-6].square().mean().sqrt()
    assert 0.3 < ratio < 3


def test_shifts_of_all_atoms_are_not_encoded():
    coordinates = CrystalCoordinates(3, CellFreedom.cube(60.0))
    F = uniform((1, 3, 3), seeded_generator(0))
    H = 4 * torch.eye(3).double().unsqueeze(0)
    torch.testing.assert_close(coordinates.encode(F + 0.7, H), coordinates.encode(F, H))

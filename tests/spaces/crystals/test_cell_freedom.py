"""Cells that vary in part: what is kept, and what does not depend on the description."""

import math

import pytest
import torch

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain
from bostruct.spaces.crystals.packing import neighbor_distances
from bostruct.spaces.random_tensors import normal, uniform
from bostruct.testing import seeded_generator

OBLIQUE = torch.tensor([[4.2, 0.3, 0.1], [1.1, 4.0, -0.2], [0.4, 0.8, 5.1]]).double()
LAYER = CellFreedom.layer(area=12.0, height=18.0, thickness=3.0)
FREEDOMS = [
    CellFreedom.cube(60.0),
    CellFreedom.of_cell("volume", OBLIQUE),
    CellFreedom.of_cell("none", OBLIQUE),
    LAYER,
]


def layers(n=40, a=4):
    """Return random layers whose lattice vectors are long."""
    F = uniform((n, a, 3), seeded_generator(0))
    F[..., 2] = 0.5 + (F[..., 2] - 0.5) * LAYER.thickness / 18
    H = torch.zeros(n, 3, 3).double()
    H[:, :2, :2] = 3.5 * torch.eye(2) + normal((n, 2, 2), seeded_generator(1))
    H[:, 0, 1] += 4
    H[:, 2, 2] = 18
    is_wide = torch.linalg.det(H).abs() > 6 * 18
    return F[is_wide], H[is_wide]


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.kind)
def test_allowed_strains_are_orthonormal_and_leave_the_rest(freedom):
    like = torch.zeros(1).double()
    B = freedom.strain_basis(like)
    assert B.shape == (6, freedom.n_coordinates)
    torch.testing.assert_close(B.mT @ B, torch.eye(freedom.n_coordinates).double())
    q = 0.3 * normal((10, freedom.n_coordinates), seeded_generator(0))
    s = freedom.reference_strain(like) + q @ B.mT
    H = cell_of_log_strain(s, freedom.volume ** (1 / 3))
    metric, reference = H @ H.mT, freedom.cell @ freedom.cell.mT
    if freedom.kind in ("none", "volume"):
        scale = (torch.linalg.det(H) / freedom.volume).pow(2 / 3).reshape(-1, 1, 1)
        torch.testing.assert_close(metric, scale * reference)
        assert (freedom.kind == "none") == bool(torch.allclose(scale, torch.ones(1).double()))
    if freedom.is_layer:
        torch.testing.assert_close(H[:, 2], torch.tensor([0, 0, 18.0]).double().expand(10, 3))
        torch.testing.assert_close(H[:, :2, 2], torch.zeros(10, 2).double())


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.kind)
def test_the_normal_strain_is_one_of_volume_or_area(freedom):
    swelling = freedom.normal_strain(torch.zeros(1).double())
    H = cell_of_log_strain(0.1 * swelling, 1.0)
    grows = 0.0 if freedom.kind == "none" else 0.1
    assert math.log(float(torch.linalg.det(H))) == pytest.approx(grows)


def test_a_given_cell_keeps_its_axes():
    freedom = CellFreedom.of_cell("none", OBLIQUE)
    torch.testing.assert_close(freedom.to_frame(freedom.cell), OBLIQUE)
    torch.testing.assert_close(freedom.frame @ freedom.frame.T, torch.eye(3).double())
    mirrored = CellFreedom.of_cell("none", -OBLIQUE)
    torch.testing.assert_close(mirrored.to_frame(mirrored.cell), -OBLIQUE)


def test_layers_are_reduced_in_the_plane():
    F, H = layers()
    f, h = LAYER.reduced(F, H)
    lengths = torch.linalg.vector_norm(h[:, :2], dim=-1)
    dot = (h[:, 0] * h[:, 1]).sum(-1).abs()
    assert (dot <= 0.5 * lengths[:, 0].square() * (1 + 1e-9)).all()  # Gauss
    torch.testing.assert_close(h[:, 2, 2].abs(), H[:, 2, 2])
    torch.testing.assert_close(torch.linalg.det(h).abs(), torch.linalg.det(H).abs())
    species = torch.zeros(4, dtype=torch.int64)
    before, after = (neighbor_distances(*x, species, 6.0, 12) for x in ((F, H), (f, h)))
    torch.testing.assert_close(after, before)


def test_cells_that_do_not_vary_are_not_reduced():
    F, H = layers()
    for kind in ("none", "volume"):
        f, h = CellFreedom.of_cell(kind, OBLIQUE).reduced(F, H)
        assert torch.equal(f, F)
        assert torch.equal(h, H)


def test_layers_are_wrapped_in_the_plane_alone():
    F = 5 * normal((8, 3, 3), seeded_generator(0))
    wrapped = LAYER.wrapped(F)
    shift = wrapped - F
    shift = shift - shift[:, :1]  # all atoms shift together, and by lattice vectors in the plane
    torch.testing.assert_close(shift[..., :2], shift[..., :2].round())
    torch.testing.assert_close(shift[..., 2], torch.zeros(8, 3).double())


def test_atoms_are_confined_to_a_layer():
    F = torch.zeros(3, 4, 3).double()
    F[..., 2] = torch.tensor([[0.5] * 4, [0.45, 0.5, 0.5, 0.55], [0.2, 0.5, 0.6, 0.7]])
    assert LAYER.is_confined(F, 1e-9).tolist() == [True, True, False]
    confined = LAYER.confine(F)
    assert torch.equal(confined[:2], F[:2])
    z = LAYER.heights(confined[2])
    assert float(z.max() - z.min()) == pytest.approx(LAYER.thickness)
    assert bool(LAYER.is_confined(confined, 1e-9).all())
    order = confined[2, :, 2]
    assert bool((order[1:] > order[:-1]).all())


def test_atoms_pushed_apart_stay_in_the_layer():
    F, H = layers()
    F, H = LAYER.reduced(F, H)
    W = torch.full((4, 4), 1.8).double()
    f, h = LAYER.push_apart(F, H, W)
    assert bool(LAYER.is_confined(f, 1e-9).all())
    torch.testing.assert_close(torch.linalg.det(h), torch.linalg.det(H))
    assert torch.equal(h[:, 2], H[:, 2])
    assert torch.equal(h[:, :2, 2], H[:, :2, 2])
    given = CellFreedom.of_cell("none", OBLIQUE)
    cells = given.cell.expand(len(F), 3, 3)
    assert torch.equal(given.push_apart(F, cells, W)[1], cells)


def test_conforming_keeps_what_varies():
    F, H = layers()
    f, h = LAYER.conform(F, 1.1 * H)
    area = 1.21 * torch.linalg.det(H[:, :2, :2]).abs()
    torch.testing.assert_close(torch.linalg.det(h), area * 18)
    z = 1.1 * (LAYER.heights(F) - 9)
    torch.testing.assert_close(LAYER.heights(f) - 9, z)
    for kind in ("none", "volume"):
        freedom = CellFreedom.of_cell(kind, OBLIQUE)
        _, h = freedom.conform(F[:2], 1.2 * freedom.cell.expand(2, 3, 3))
        expected = freedom.cell * (1.2 if kind == "volume" else 1.0)
        torch.testing.assert_close(h, expected.expand(2, 3, 3))

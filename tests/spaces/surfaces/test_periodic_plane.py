import itertools
import math

import pytest
import torch
from ase import Atoms
from ase.geometry import get_distances

from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)
from bostruct.testing import seeded_generator

CELLS = {
    "square": [[4, 0, 0], [0, 4, 0], [0, 0, 20]],
    "long": [[3, 0, 0], [0, 9, 0], [0, 0, 20]],
    "hexagonal": [[4, 0, 0], [2, 2 * math.sqrt(3), 0], [0, 0, 20]],
    "skewed": [[3, 0, 0], [8, 2.5, 0], [0, 0, 20]],
    "tilted": [[3, 1, 0.5], [-0.5, 4, 1], [1, 1, -20]],
    "endless": [[4, 0, 0], [1, 4, 0], [0, 0, 0]],
}


@pytest.fixture(params=CELLS)
def cell(request):
    return torch.tensor(CELLS[request.param], dtype=torch.float64)


def test_the_frame_is_orthonormal_and_points_outwards(cell):
    plane = PeriodicPlane.from_cell(cell)
    torch.testing.assert_close(plane.axes.T @ plane.axes, torch.eye(3).double())
    assert torch.linalg.det(plane.axes) == pytest.approx(1)
    along = cell @ plane.axes
    torch.testing.assert_close(along[:2, :2], plane.lattice)
    assert along[:2, 2].abs().max() < 1e-12
    assert along[2, 2] >= 0
    torch.testing.assert_close(plane.lattice @ plane.inverse_lattice, torch.eye(2).double())


@pytest.mark.parametrize("reach", [0.5, 2.0, 7.0])
def test_finds_all_images_within_reach(cell, reach):
    plane = PeriodicPlane.from_cell(cell)
    P = 2 * torch.randn(6, 3, generator=seeded_generator(0), dtype=torch.float64)
    Q = P @ plane.axes
    shifts = plane.translations(reach)
    assert shifts[0].tolist() == [0, 0]
    found = displacement_norms(plane.displacements(Q[:2], Q, shifts))
    steps = range(-25, 26)
    whole = torch.tensor(list(itertools.product(steps, steps))).double() @ cell[:2]
    for i, j in itertools.product(range(2), range(6)):
        every = (P[i] - P[j] - whole).norm(dim=-1)
        wanted = every[every < reach].sort().values
        here = found[i, j][found[i, j] < reach].sort().values
        torch.testing.assert_close(here, wanted.clamp(min=1e-12))


def test_nearest_images_are_those_of_ase(cell):
    plane = PeriodicPlane.from_cell(cell)
    P = 9 * torch.randn(6, 3, generator=seeded_generator(0), dtype=torch.float64)
    Q = P @ plane.axes
    shifts = plane.translations(40.0)
    found = displacement_norms(plane.displacements(Q, Q, shifts)).amin(-1).fill_diagonal_(0)
    atoms = Atoms("H6", positions=P.numpy(), cell=cell.numpy(), pbc=(1, 1, 0))
    _, wanted = get_distances(P.numpy(), cell=atoms.cell, pbc=atoms.pbc)
    torch.testing.assert_close(found, torch.from_numpy(wanted))


def test_wrapping_changes_nothing_but_the_image(cell):
    plane = PeriodicPlane.from_cell(cell)
    P = 20 * torch.randn(9, 3, generator=seeded_generator(0), dtype=torch.float64)
    Q = P @ plane.axes
    wrapped = plane.wrap(Q)
    fraction = wrapped[:, :2] @ plane.inverse_lattice
    assert fraction.min() >= -1e-12
    assert fraction.max() < 1 + 1e-12
    assert torch.equal(wrapped[:, 2], Q[:, 2])
    between = (Q - wrapped)[:, :2] @ plane.inverse_lattice
    torch.testing.assert_close(between, between.round())


def test_wrapping_with_a_margin_leaves_the_border_alone():
    plane = PeriodicPlane.from_cell(torch.tensor(CELLS["square"]).double())
    Q = torch.tensor([[-0.1, 4.1, 7], [-0.5, 4.5, 7], [-9, 1, 7]]).double()
    wrapped = plane.wrap(Q, 0.1)
    torch.testing.assert_close(wrapped[0], Q[0])
    assert wrapped[1].tolist() == pytest.approx([3.5, 0.5, 7])
    assert wrapped[2].tolist() == pytest.approx([3, 1, 7])


def test_an_atom_is_itself_in_one_image():
    plane = PeriodicPlane.from_cell(torch.tensor(CELLS["square"]).double())
    shifts = plane.translations(5.0)
    Q = torch.randn(3, 3, generator=seeded_generator(0), dtype=torch.float64)
    D = displacement_norms(plane.displacements(Q[:2], Q, shifts))
    own = is_self_pair(2, 3, shifts)
    assert own.sum() == 2
    assert D[own].max() < 1e-11
    assert D[~own].min() > 0.1


def test_follows_device_and_dtype(device):
    plane = PeriodicPlane.from_cell(torch.tensor(CELLS["skewed"]).double())
    there = plane.to(device, torch.float32)
    shifts = there.translations(5.0)
    assert shifts.dtype == torch.float32
    assert shifts.device.type == device.type
    torch.testing.assert_close(shifts.cpu().double(), plane.translations(5.0))

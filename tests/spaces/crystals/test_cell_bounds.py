import math

import pytest
import torch

from bostruct.errors import InputError, SpaceError
from bostruct.spaces.crystals.cell_bounds import CellBounds
from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.log_strain import cell_of_log_strain
from bostruct.spaces.crystals.packing import reduced
from bostruct.spaces.random_tensors import normal
from bostruct.testing import seeded_generator

SLACK = 1e-9
FREE = CellFreedom.cube(100.0)


def make_bounds(
    volume=100.0, least=2.0, volume_range=(0.5, 2.0), lengths=None, angles=(40, 140), a=4
):
    distances = torch.full((a, a), least, dtype=torch.float64)
    return CellBounds.from_arguments(volume, distances, volume_range, lengths, angles)


def test_default_bounds_hold_reduced_cells_that_are_no_needles():
    bounds = make_bounds()
    s = normal((500, 6), seeded_generator(0))
    s[:, :3] -= s[:, :3].mean(-1, keepdim=True)
    H = reduced(torch.zeros(500, 1, 3).double(), cell_of_log_strain(s, 100 ** (1 / 3)))[1]
    lengths = torch.linalg.vector_norm(H, dim=-1)
    expected = (lengths.amin(-1) >= 2) & (lengths.amax(-1) <= 1.1 * 4 * 25 ** (1 / 3))
    assert 400 < expected.sum() < 480
    assert torch.equal(bounds.contain(H, SLACK), expected)


@pytest.mark.parametrize("n_layers", [1, 2, 4, 9])
def test_stacks_of_close_packed_layers_are_inside(n_layers):
    """One atom in each layer, 2.55 Å from its neighbors."""
    d = 2.55
    cell = [[d, 0, 0], [-d / 2, d * math.sqrt(0.75), 0], [0, 0, n_layers * d * math.sqrt(2 / 3)]]
    H = torch.tensor(cell, dtype=torch.float64)
    bounds = make_bounds(volume=float(torch.linalg.det(H)), least=1.8, a=n_layers)
    assert bounds.contain(H, SLACK)


def test_flat_and_skewed_cells_are_outside():
    cells = torch.stack([torch.diag(torch.tensor(d)) for d in ([4.0, 5, 5], [1.0, 10, 10])])
    skewed = torch.tensor([[4.0, 0, 0], [12, 4, 0], [0, 0, 6]])
    H = torch.cat((cells, skewed.unsqueeze(0), -cells[:1])).double()
    assert make_bounds().contain(H, SLACK).tolist() == [True, False, False, False]


def test_given_lengths_and_angles_count():
    H = torch.diag(torch.tensor([4.0, 5, 5])).double().unsqueeze(0)
    assert make_bounds(lengths=(3.9, 5.1)).contain(H, SLACK).all()
    assert not make_bounds(lengths=(4.1, 5.1)).contain(H, SLACK).any()
    assert not make_bounds(volume_range=(0.5, 1.0), volume=99).contain(H, SLACK).any()


def test_clamped_cells_are_within_bounds_of_volume_and_stay():
    bounds = make_bounds()
    s = 4 * normal((50, 6), seeded_generator(0))
    clamped = bounds.clamp_log_strain(s, FREE)
    factors = clamped[:, :3].sum(-1).exp()
    assert factors.min() > 0.5 - 1e-9
    assert factors.max() < 2 + 1e-9
    torch.testing.assert_close(bounds.clamp_log_strain(clamped, FREE), clamped)
    inside = 0.03 * s
    assert torch.equal(bounds.clamp_log_strain(inside, FREE), inside)


def test_wrong_bounds_are_refused():
    for volume_range in ((1.1, 2.0), (2.0, 0.5), 1.0, ("a", "b"), (0.0, 2.0)):
        with pytest.raises(InputError, match="`volume_range` must"):
            make_bounds(volume_range=volume_range)
    with pytest.raises(InputError, match="`lengths` must rise"):
        make_bounds(lengths=(5, math.inf))
    with pytest.raises(InputError, match="`angles` must hold 60 to 120"):
        make_bounds(angles=(70, 110))
    with pytest.raises(SpaceError, match=r"Close packed they take 5\.66 Å³"):
        make_bounds(volume=10)


def test_violations_name_what_is_outside():
    bounds = make_bounds()
    cells = {
        "a volume of 54.00 Å³ per atom": [6.0, 6, 6],
        "lattice vectors with lengths of 1.50, 8.00, 9.00 Å": [1.5, 8, 9],
    }
    for value, lengths in cells.items():
        H = torch.diag(torch.tensor(lengths)).double()
        assert bounds.violation(H, 4)[0] == value
    skewed = torch.tensor([[4.0, 0, 0], [8, 4, 0], [0, 0, 6]]).double()
    assert bounds.violation(skewed, 4)[0].startswith("lattice vectors with angles of")
    assert bounds.violation(torch.diag(torch.tensor([4.0, 5, 5])).double(), 4) is None

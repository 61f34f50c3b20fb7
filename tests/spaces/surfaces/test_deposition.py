import math

import pytest
import torch

from bostruct.spaces.surfaces.deposition import (
    BOND_STRETCH_RANGE,
    contact_height,
    coordination_numbers,
    deposit_all,
    drop_atoms,
    relax_overlaps,
)
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)
from bostruct.testing import seeded_generator

EDGE = 2.5
PLANE = PeriodicPlane.from_cell(torch.diag(torch.tensor([7.5, 7.5, 0])).double())
CORNERS = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double() * EDGE
LAYER = torch.cat((CORNERS, torch.zeros(9, 1)), 1)  # a square layer at height zero


def bonds(a):
    return torch.full((a, a), EDGE, dtype=torch.float64)


def gaps(Q, f):
    shifts = PLANE.translations(8.0)
    D = displacement_norms(PLANE.displacements(Q[:, :f], Q, shifts))
    return D.masked_fill(is_self_pair(f, Q.shape[1], shifts), torch.inf)


def test_coordination_counts_images():
    count = coordination_numbers(LAYER[None], 9, bonds(9), PLANE)
    # four neighbors, and a little of each of the next four
    assert count.tolist() == [pytest.approx([4.36] * 9, abs=0.01)]
    half = torch.arange(9)[None] < 1
    few = coordination_numbers(LAYER[None], 9, bonds(9), PLANE, half)
    assert few.sum() == pytest.approx(4.36, abs=0.01)


def test_atoms_land_touching_and_rather_in_hollows():
    Q = torch.cat((torch.full((1, 3), 99.0), LAYER)).double().expand(64, -1, -1)
    present = torch.ones(64, 10, dtype=torch.bool)
    present[:, 0] = False
    who = torch.zeros(64, dtype=torch.int64)
    touch = torch.full((64, 10), EDGE, dtype=torch.float64)

    def down(choosy):
        choosy = torch.full((64,), choosy).double()
        return drop_atoms(Q, who, present, 1, touch, 9.0, choosy, PLANE, seeded_generator(0))

    place = down(0.3)
    D = gaps(torch.cat((place[:, None], LAYER.expand(64, -1, -1)), 1), 1).amin((1, 2, 3))
    torch.testing.assert_close(D, torch.full((64,), EDGE).double())
    hollow = EDGE / math.sqrt(2)
    assert place[:, 2].min() >= hollow - 1e-9
    assert (place[:, 2] < 1.2 * hollow).double().mean() > 0.6
    assert down(9.0)[:, 2].mean() > place[:, 2].mean() + 0.1


def test_atoms_land_below_the_ceiling_where_they_can():
    tower = torch.tensor([[[99.0, 99, 99], [0, 0, 0], [3, 3, 6]]]).double()
    Q = tower.expand(32, -1, -1)
    present = torch.tensor([[False, True, True]]).expand(32, -1)
    who = torch.zeros(32, dtype=torch.int64)
    touch = torch.full((32, 3), EDGE, dtype=torch.float64)
    choosy = torch.ones(32, dtype=torch.float64)
    low = drop_atoms(Q, who, present, 1, touch, 3.0, choosy, PLANE, seeded_generator(0))
    high = drop_atoms(Q, who, present, 1, touch, 9.0, choosy, PLANE, seeded_generator(0))
    assert (low[:, 2] < 3).all()
    assert (high[:, 2] > 6).any()


def test_nothing_lands_nowhere():
    Q = LAYER.expand(0, 9, 3)
    none = torch.zeros(0, dtype=torch.int64)
    here = Q[..., 0].bool()
    found = drop_atoms(Q, none, here, 1, Q[..., 0], 9.0, Q[:, 0, 0], PLANE, seeded_generator(0))
    assert found.shape == (0, 3)
    assert relax_overlaps(Q, 2, bonds(9)[:2], (0, 1), PLANE, 3).shape == (0, 9, 3)


def test_portions_do_not_matter(monkeypatch):
    Q = torch.cat((torch.zeros(3, 3), LAYER)).double()
    whole = deposit_all(8, Q, 0, 3, bonds(12), 9.0, PLANE, seeded_generator(0))
    apart = relax_overlaps(whole, 3, bonds(12)[:3], (0, 9), PLANE, 5)
    monkeypatch.setattr("bostruct.spaces.surfaces.deposition.MAX_CHUNK_PAIRS", 100)
    assert torch.equal(whole, deposit_all(8, Q, 0, 3, bonds(12), 9.0, PLANE, seeded_generator(0)))
    torch.testing.assert_close(apart, relax_overlaps(whole, 3, bonds(12)[:3], (0, 9), PLANE, 5))


def test_the_lowest_place_is_a_hollow():
    hollow = EDGE / math.sqrt(2)
    touch = torch.full((12,), EDGE, dtype=torch.float64)
    assert contact_height(LAYER, touch[:9], PLANE, 24) == pytest.approx(hollow, abs=0.01)
    trench = torch.cat((LAYER[:3] + torch.tensor([0, 0, 5.0]), LAYER)).double()
    assert contact_height(trench, touch, PLANE, 24) == pytest.approx(hollow, abs=0.01)


def test_an_atom_that_falls_through_does_not_rest():
    small = torch.full((9,), 1.0, dtype=torch.float64)  # the hollow is 1.77 Å wide
    assert contact_height(LAYER, small, PLANE, 24) == pytest.approx(0, abs=0.5)
    off = LAYER + torch.tensor([0.05, 0.05, 3.0])
    assert contact_height(off, 1e-3 * small, PLANE, 24) == pytest.approx(3)


def test_settling_moves_free_atoms_only():
    Q = torch.cat((torch.tensor([[1.0, 1, 1], [1.1, 1, 1.2]]), LAYER)).double()[None]
    W = bonds(11)[:2]
    after = relax_overlaps(Q, 2, W, (0.5, 3.0), PLANE, 60)
    assert torch.equal(after[:, 2:], Q[:, 2:])
    assert gaps(after, 2).min() > 0.97 * EDGE
    assert 0.5 <= after[:, :2, 2].min() <= after[:, :2, 2].max() <= 3.0


def test_settling_shares_the_way():
    pair = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0]]]).double()
    both = relax_overlaps(pair, 2, bonds(2), (0, 1), PLANE, 1)
    assert both[0, :, 0].tolist() == pytest.approx([-0.75, 1.75])
    one = relax_overlaps(pair, 1, bonds(2)[:1], (0, 1), PLANE, 1)
    assert one[0, :, 0].tolist() == pytest.approx([-1.25, 1])


def test_covers_a_slab():
    Q = torch.cat((torch.zeros(5, 3), LAYER)).double()
    made = deposit_all(32, Q, 0, 5, bonds(14), 9.0, PLANE, seeded_generator(0))
    assert torch.equal(made[:, 5:], LAYER.expand(32, -1, -1))
    nearest = gaps(made, 5).amin((-1, -2)) / EDGE
    assert (nearest <= BOND_STRETCH_RANGE[1] + 1e-9).all()
    # they touch at different places, so that pairs may be a little closer
    assert nearest.min() >= BOND_STRETCH_RANGE[0] - 1e-9
    layers = made[:, :5, 2].amax(-1)
    assert layers.max() > 1.4 * layers.min()


def test_shakes_and_takes_off_free_atoms_of_the_slab():
    below = LAYER - torch.tensor([EDGE / 2, EDGE / 2, EDGE / math.sqrt(2)])
    Q = torch.cat((LAYER, below)).double()
    made = deposit_all(64, Q, 9, 9, bonds(18), 9.0, PLANE, seeded_generator(0))
    gone = (made[:, :9] - LAYER).norm(dim=-1) > 1.5
    assert torch.equal(made[:, 9:], below.double().expand(64, -1, -1))
    assert not torch.equal(made[0, :9], LAYER)
    assert 0.3 < gone.any(1).double().mean() < 0.7
    assert gone.sum(1).max() > 1
    assert (made[:, :9][gone][:, 2] > 0.5).double().mean() > 0.7

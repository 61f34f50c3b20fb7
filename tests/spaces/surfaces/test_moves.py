import pytest
import torch

from bostruct.spaces.surfaces.deposition import coordination_numbers, deposit_all
from bostruct.spaces.surfaces.moves import move_atom, slide_adsorbate
from bostruct.spaces.surfaces.periodic_plane import (
    PeriodicPlane,
    displacement_norms,
    is_self_pair,
)
from bostruct.testing import seeded_generator

EDGE = 2.5
PLANE = PeriodicPlane.from_cell(torch.tensor([[10.0, 0, 0], [2.5, 10, 0], [0, 0, 9]]).double())
GRID = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
LAYER = torch.cat((GRID @ PLANE.lattice / 4, torch.zeros(16, 1)), 1)
BOND = torch.full((20, 20), EDGE, dtype=torch.float64)


@pytest.fixture
def Q():
    start = torch.cat((torch.zeros(4, 3), LAYER)).double()
    return deposit_all(48, start, 0, 4, BOND, 9.0, PLANE, seeded_generator(0))


def gaps(Q, f):
    shifts = PLANE.translations(9.0)
    D = displacement_norms(PLANE.displacements(Q[:, :f], Q, shifts))
    return D.masked_fill(is_self_pair(f, Q.shape[1], shifts), torch.inf)


def test_relocate_moves_one_loose_atom_and_lets_it_touch(Q):
    after = move_atom(Q, 4, BOND, 9.0, PLANE, seeded_generator(1))
    moved = (after - Q).norm(dim=-1) > 1e-9
    assert (moved.sum(1) == 1).all()
    assert not moved[:, 4:].any()
    each, who = torch.arange(48), moved.double().argmax(1)
    nearest = gaps(after, 4)[each, who].amin((-1, -2))
    torch.testing.assert_close(nearest, torch.full((48,), EDGE).double())
    count = coordination_numbers(Q, 4, BOND, PLANE)
    assert count[each, who].mean() < count.mean()


def test_slide_keeps_what_lies_on_the_slab_together(Q):
    """Distances along the way the group was taken stay; heights do, too."""
    Q[:, :4, :2] = 3 + (Q[:, :4, :2] - 3) * 0.2  # well inside half a cell
    after = slide_adsorbate(Q, 0, 4, PLANE, seeded_generator(1))
    assert torch.equal(after[:, 4:], Q[:, 4:])
    torch.testing.assert_close(after[..., 2], Q[..., 2])
    torch.testing.assert_close(
        torch.cdist(after[:, :4], after[:, :4]), torch.cdist(Q[:, :4], Q[:, :4])
    )
    assert ((after - Q)[:, :4].norm(dim=-1) > 1e-6).all()


def test_slide_leaves_free_atoms_of_the_slab(Q):
    after = slide_adsorbate(Q, 2, 4, PLANE, seeded_generator(1))
    assert torch.equal(after[:, :2], Q[:, :2])
    assert not torch.equal(after[:, 2:4], Q[:, 2:4])


@pytest.mark.parametrize(
    "move",
    [
        lambda Q, g: move_atom(Q, 4, BOND, 9.0, PLANE, g),
        lambda Q, g: slide_adsorbate(Q, 0, 4, PLANE, g),
    ],
)
def test_what_is_moved_is_left_as_it_was(Q, move):
    before = Q.clone()
    after = move(Q, seeded_generator(1))
    assert torch.equal(Q, before)
    assert torch.equal(after, move(Q, seeded_generator(1)))
    assert move(Q[:0], seeded_generator(1)).shape == (0, 20, 3)

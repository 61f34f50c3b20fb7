import pytest
import torch

from bostruct.spaces.surfaces.deposition import coordination, covered
from bostruct.spaces.surfaces.moves import relocate, slide
from bostruct.spaces.surfaces.periodic_plane import Plane, itself, norm
from bostruct.testing import stream

EDGE = 2.5
PLANE = Plane.of(torch.tensor([[10.0, 0, 0], [2.5, 10, 0], [0, 0, 9]]).double())
GRID = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
LAYER = torch.cat((GRID @ PLANE.lattice / 4, torch.zeros(16, 1)), 1)
BOND = torch.full((20, 20), EDGE, dtype=torch.float64)


@pytest.fixture
def Q():
    start = torch.cat((torch.zeros(4, 3), LAYER)).double()
    return covered(48, start, 0, 4, BOND, 9.0, PLANE, stream(0))


def gaps(Q, f):
    shifts = PLANE.translations(9.0)
    D = norm(PLANE.gaps(Q[:, :f], Q, shifts))
    return D.masked_fill(itself(f, Q.shape[1], shifts), torch.inf)


def test_relocate_moves_one_loose_atom_and_lets_it_touch(Q):
    after = relocate(Q, 4, BOND, 9.0, PLANE, stream(1))
    moved = (after - Q).norm(dim=-1) > 1e-9
    assert (moved.sum(1) == 1).all()
    assert not moved[:, 4:].any()
    each, who = torch.arange(48), moved.double().argmax(1)
    nearest = gaps(after, 4)[each, who].amin((-1, -2))
    torch.testing.assert_close(nearest, torch.full((48,), EDGE).double())
    count = coordination(Q, 4, BOND, PLANE)
    assert count[each, who].mean() < count.mean()


def test_slide_keeps_what_lies_on_the_slab_together(Q):
    """Distances along the way the group was taken stay; heights do, too."""
    Q[:, :4, :2] = 3 + (Q[:, :4, :2] - 3) * 0.2  # well inside half a cell
    after = slide(Q, 0, 4, PLANE, stream(1))
    assert torch.equal(after[:, 4:], Q[:, 4:])
    torch.testing.assert_close(after[..., 2], Q[..., 2])
    torch.testing.assert_close(
        torch.cdist(after[:, :4], after[:, :4]), torch.cdist(Q[:, :4], Q[:, :4])
    )
    assert ((after - Q)[:, :4].norm(dim=-1) > 1e-6).all()


def test_slide_leaves_free_atoms_of_the_slab(Q):
    after = slide(Q, 2, 4, PLANE, stream(1))
    assert torch.equal(after[:, :2], Q[:, :2])
    assert not torch.equal(after[:, 2:4], Q[:, 2:4])


@pytest.mark.parametrize(
    "move",
    [
        lambda Q, g: relocate(Q, 4, BOND, 9.0, PLANE, g),
        lambda Q, g: slide(Q, 0, 4, PLANE, g),
    ],
)
def test_what_is_moved_is_left_as_it_was(Q, move):
    before = Q.clone()
    after = move(Q, stream(1))
    assert torch.equal(Q, before)
    assert torch.equal(after, move(Q, stream(1)))
    assert move(Q[:0], stream(1)).shape == (0, 20, 3)

import pytest
import torch

from bostruct.spaces.clusters.packing import (
    centred,
    confined,
    connected,
    distances,
    held,
    portions,
    pushed,
    separated,
)
from bostruct.testing import stream


def random(*shape):
    return torch.randn(shape, generator=stream(0), dtype=torch.float64)


def test_distances_keep_all_digits():
    """Of two atoms far from the origin, as matrix products would not."""
    P = torch.tensor([[1e4, 0, 0], [1e4 + 1e-3, 0, 0]]).double()
    assert distances(P)[0, 1] == pytest.approx(float(P[1, 0] - P[0, 0]), rel=1e-12)
    assert distances(random(5, 7, 3)).diagonal(dim1=-2, dim2=-1).eq(0).all()


def test_centred():
    P = random(4, 7, 3) + 5
    assert centred(P).mean(1).abs().max() < 1e-14
    torch.testing.assert_close(distances(centred(P)), distances(P))


def test_confined_moves_only_what_is_outside():
    P = 3 * random(4, 7, 3)
    far = P.norm(dim=-1)
    assert (far > 4).any()
    inside = confined(P, 4.0)
    assert (inside.norm(dim=-1) <= 4 + 1e-12).all()
    assert torch.equal(inside[far <= 4], P[far <= 4])
    # outward atoms keep their direction
    turned = torch.linalg.cross(inside, P)
    assert turned.abs().max() < 1e-12
    assert confined(torch.zeros(1, 2, 3), 1.0).eq(0).all()


def test_held_is_centred_and_inside():
    for size in (0.5, 2, 30):
        P = size * random(6, 9, 3) + 7
        inside = held(P, 3.0)
        assert inside.mean(1).abs().max() < 1e-12
        assert inside.norm(dim=-1).max() <= 3 + 1e-12
        torch.testing.assert_close(held(inside, 3.0), inside, rtol=0, atol=1e-12)
    small = 0.1 * random(6, 9, 3)
    torch.testing.assert_close(held(small + 7, 3.0), centred(small))


def test_an_atom_that_flew_off_does_not_drag_the_others():
    P = centred(random(1, 9, 3).clamp(-1, 1))
    P[0, 0] = torch.tensor([1e6, 0, 0])
    inside = held(P, 5.0)
    rest = distances(P)[0, 1:, 1:]
    torch.testing.assert_close(distances(inside)[0, 1:, 1:], rest, rtol=1e-3, atol=0)
    # the nine are centred, so the others are 5 / 8 Å off
    assert inside[0, 0, 0] == pytest.approx(5, abs=1e-3)
    assert inside[0, 1:, 0].mean() == pytest.approx(-5 / 8, abs=1e-3)


def test_pushed_moves_both_ends_of_a_close_pair():
    P = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]]]).double()
    W = torch.full((3, 3), 2.0).double().fill_diagonal_(0)
    after = pushed(P, W)
    assert after[0, :, 0].tolist() == pytest.approx([-0.5, 1.5, 9])
    assert distances(after)[0, 0, 1] == pytest.approx(2)


def test_separated_resolves_crowds():
    P = 0.5 * random(6, 8, 3)
    W = torch.full((8, 8), 1.5).double().fill_diagonal_(0)
    after = separated(P, W, 5.0, 60)
    D = distances(after) + 9 * torch.eye(8)
    assert D.min() > 1.45
    assert after.mean(1).abs().max() < 1e-12
    assert after.norm(dim=-1).max() <= 5
    assert separated(P[:0], W, 5.0, 60).shape == (0, 8, 3)


def test_portions_lose_nothing(monkeypatch):
    P = random(10, 4, 3)
    assert len(portions(P)) == 1
    monkeypatch.setattr("bostruct.spaces.clusters.packing.PORTION", 48)
    parts = portions(P)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert torch.equal(torch.cat(parts), P)
    assert [len(part) for part in portions(P, atoms=7)] == [1] * 10
    assert portions(P[:0]) == []


@pytest.mark.parametrize("a", [2, 3, 9])
def test_connected_follows_chains(a):
    P = torch.zeros(2, a, 3)
    P[:, :, 0] = torch.arange(a)
    P[1, -1, 0] += 0.5
    link = torch.full((a, a), 1.1)
    assert connected(distances(P), link).tolist() == [True, False]

import pytest
import torch

from bostruct.spaces.clusters.packing import (
    center_positions,
    confine,
    confine_centered,
    distance_matrix,
    push_apart,
    remove_overlaps,
    split_chunks,
)
from bostruct.testing import seeded_generator


def random(*shape):
    return torch.randn(shape, generator=seeded_generator(0), dtype=torch.float64)


def test_distances_keep_all_digits():
    """Of two atoms far from the origin, as matrix products would not."""
    P = torch.tensor([[1e4, 0, 0], [1e4 + 1e-3, 0, 0]]).double()
    assert distance_matrix(P)[0, 1] == pytest.approx(float(P[1, 0] - P[0, 0]), rel=1e-12)
    assert distance_matrix(random(5, 7, 3)).diagonal(dim1=-2, dim2=-1).eq(0).all()


def test_centred():
    P = random(4, 7, 3) + 5
    assert center_positions(P).mean(1).abs().max() < 1e-14
    torch.testing.assert_close(distance_matrix(center_positions(P)), distance_matrix(P))


def test_confined_moves_only_what_is_outside():
    P = 3 * random(4, 7, 3)
    far = P.norm(dim=-1)
    assert (far > 4).any()
    inside = confine(P, 4.0)
    assert (inside.norm(dim=-1) <= 4 + 1e-12).all()
    assert torch.equal(inside[far <= 4], P[far <= 4])
    # outward atoms keep their direction
    turned = torch.linalg.cross(inside, P)
    assert turned.abs().max() < 1e-12
    assert confine(torch.zeros(1, 2, 3), 1.0).eq(0).all()


def test_held_is_centred_and_inside():
    for size in (0.5, 2, 30):
        P = size * random(6, 9, 3) + 7
        inside = confine_centered(P, 3.0)
        assert inside.mean(1).abs().max() < 1e-12
        assert inside.norm(dim=-1).max() <= 3 + 1e-12
        torch.testing.assert_close(confine_centered(inside, 3.0), inside, rtol=0, atol=1e-12)
    small = 0.1 * random(6, 9, 3)
    torch.testing.assert_close(confine_centered(small + 7, 3.0), center_positions(small))


def test_an_atom_that_flew_off_does_not_drag_the_others():
    P = center_positions(random(1, 9, 3).clamp(-1, 1))
    P[0, 0] = torch.tensor([1e6, 0, 0])
    inside = confine_centered(P, 5.0)
    rest = distance_matrix(P)[0, 1:, 1:]
    torch.testing.assert_close(distance_matrix(inside)[0, 1:, 1:], rest, rtol=1e-3, atol=0)
    # the nine are centred, so the others are 5 / 8 Å off
    assert inside[0, 0, 0] == pytest.approx(5, abs=1e-3)
    assert inside[0, 1:, 0].mean() == pytest.approx(-5 / 8, abs=1e-3)


def test_pushed_moves_both_ends_of_a_close_pair():
    P = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]]]).double()
    W = torch.full((3, 3), 2.0).double().fill_diagonal_(0)
    after = push_apart(P, W)
    assert after[0, :, 0].tolist() == pytest.approx([-0.5, 1.5, 9])
    assert distance_matrix(after)[0, 0, 1] == pytest.approx(2)


def test_separated_resolves_crowds():
    P = 0.5 * random(6, 8, 3)
    W = torch.full((8, 8), 1.5).double().fill_diagonal_(0)
    after = remove_overlaps(P, W, 5.0, 60)
    D = distance_matrix(after) + 9 * torch.eye(8)
    assert D.min() > 1.45
    assert after.mean(1).abs().max() < 1e-12
    assert after.norm(dim=-1).max() <= 5
    assert remove_overlaps(P[:0], W, 5.0, 60).shape == (0, 8, 3)


def test_portions_lose_nothing(monkeypatch):
    P = random(10, 4, 3)
    assert len(split_chunks(P)) == 1
    monkeypatch.setattr("bostruct.spaces.clusters.packing.MAX_CHUNK_PAIRS", 48)
    parts = split_chunks(P)
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert torch.equal(torch.cat(parts), P)
    assert [len(part) for part in split_chunks(P, n_atoms=7)] == [1] * 10
    assert split_chunks(P[:0]) == []

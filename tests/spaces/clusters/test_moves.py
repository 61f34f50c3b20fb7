import math

import pytest
import torch

from bostruct.spaces.clusters import moves
from bostruct.spaces.clusters.packing import distance_matrix
from bostruct.spaces.clusters.sampling import sample_compact
from bostruct.testing import seeded_generator

A = 9
BOND = torch.full((A, A), 2.5, dtype=torch.float64).fill_diagonal_(0)
NUMBERS = torch.tensor([79] * 3 + [29] * 6)


@pytest.fixture
def P():
    return sample_compact(64, BOND, 20.0, seeded_generator(0))[0]


def moved_atoms(before, after):
    return (before - after).norm(dim=-1) > 1e-9


def test_rattle_has_many_strengths(P):
    step = moves.rattle(P, 2.5, seeded_generator(1)) - P
    strength = step.square().mean((1, 2)).sqrt() / 2.5
    low, high = moves.RATTLE_AMPLITUDE_RANGE
    assert 0.5 * low < strength.min() < 2 * low
    assert 0.5 * high < strength.max() < 2 * high


def test_relocate_moves_one_loose_atom_onto_the_surface(P):
    after = moves.move_atom(P, BOND, 20.0, seeded_generator(1))
    which = moved_atoms(P, after)
    assert (which.sum(1) == 1).all()
    each, atom = torch.arange(len(P)), which.double().argmax(1)
    D = distance_matrix(after)[each, atom]
    D[each, atom] = math.inf
    # it touches the nearest of the others
    torch.testing.assert_close(D.amin(1), torch.full((64,), 2.5).double())
    close = distance_matrix(P) < 1.3 * 2.5
    neighbors = close.sum(-1).double() - 1
    assert neighbors[each, atom].mean() < neighbors.mean() - 0.5


def test_relocate_avoids_what_is_outside(P):
    P = P - P.mean(1, keepdim=True)
    radius = float(P.norm(dim=-1).max())
    free = moves.move_atom(P, BOND, 99.0, seeded_generator(1)).norm(dim=-1)
    held = moves.move_atom(P, BOND, radius, seeded_generator(1)).norm(dim=-1)
    assert (held > radius).sum() < (free > radius).sum()


def test_twist_turns_one_half_as_a_whole(P):
    after = moves.twist(P, seeded_generator(1))
    difference = (distance_matrix(after) - distance_matrix(P)).abs()
    rigid = (difference < 1e-9).sum(-1)  # partners of each atom that it moved with
    assert (rigid >= 2).all()
    assert (rigid < A).any()


def test_permute_exchanges_unlike_atoms(P):
    after = moves.swap_species(P, NUMBERS, seeded_generator(1))
    which = moved_atoms(P, after)
    assert which.any(1).all()
    assert (which.sum(1) <= 6).all()
    assert (which.sum(1) == 2).any()
    assert (which.sum(1) > 2).any()
    # the same places, other owners
    for one, two in zip(P, after, strict=True):
        assert torch.equal(one[one[:, 0].argsort()], two[two[:, 0].argsort()])
    assert which[:, :3].any(1).all()
    assert which[:, 3:].any(1).all()


def test_permute_with_one_odd_atom_moves_it_once(P):
    numbers = torch.tensor([79] + [29] * 8)
    which = moved_atoms(P, moves.swap_species(P, numbers, seeded_generator(1)))
    assert (which.sum(1) == 2).all()
    assert which[:, 0].all()


@pytest.mark.parametrize(
    "move",
    [
        lambda P, g: moves.rattle(P, 2.5, g),
        lambda P, g: moves.move_atom(P, BOND, 9.0, g),
        moves.twist,
        lambda P, g: moves.swap_species(P, NUMBERS, g),
    ],
)
def test_what_is_moved_is_left_as_it_was(P, move):
    before = P.clone()
    after = move(P, seeded_generator(1))
    assert torch.equal(P, before)
    assert not torch.equal(after, before)
    assert move(P[:0], seeded_generator(1)).shape == (0, A, 3)
    assert torch.equal(after, move(P, seeded_generator(1)))


def test_splice_joins_parts_of_two_clusters():
    """Some atoms keep their distances from one parent, the others from the other."""
    P = sample_compact(2, BOND, 20.0, seeded_generator(0))[0]
    few = A // 4
    seen = set()
    for seed in range(20):
        after = moves.cut_and_splice(P, torch.full((A,), 29), seeded_generator(seed))
        D, own, other = (
            distance_matrix(after[0]),
            distance_matrix(P[0]),
            distance_matrix(P[1]),
        )
        for parent in (own, other):
            known = parent[parent > 0]
            shared = ((D.unsqueeze(-1) - known).abs().amin(-1) < 1e-9).sum(-1)
            seen.add(int((shared > 0).sum()))
        both = [
            ((D.unsqueeze(-1) - parent[parent > 0]).abs().amin(-1) < 1e-9).any(-1)
            for parent in (own, other)
        ]
        assert (both[0] | both[1]).all()
    assert min(seen) >= few
    assert len(seen) > 2


def test_splice_takes_of_each_species_what_is_missing(monkeypatch):
    """The upper atoms of one and, species by species, the lowest of the other."""
    monkeypatch.setattr(moves, "_randomly_rotated", lambda P, generator: P)
    Q = torch.zeros(2, 6, 3, dtype=torch.float64)
    Q[..., 2] = torch.arange(6.0)
    Q[1, :, 0] = 1.0  # tells the second cluster from the first
    numbers = torch.tensor([79, 79, 29, 29, 29, 29])
    for seed in range(9):
        child = moves.cut_and_splice(Q, numbers, seeded_generator(seed))[0]
        kept = child[:, 0] == 0
        above = int(kept.sum())
        assert 1 <= above <= 5
        steps = child[:, 2] - child[:, 2].round()
        torch.testing.assert_close(steps.abs(), torch.full((6,), 0.5).double())
        # in the first the gold is below: it stays only if nearly everything does
        assert int(kept[:2].sum()) == max(above - 4, 0)
        assert int(kept[2:].sum()) == min(above, 4)
        assert (child[kept, 2] > 0).all()
        lower = child[~kept]
        missing = [2 - int(kept[:2].sum()), 4 - int(kept[2:].sum())]
        low = [0, 1][: missing[0]] + [2, 3, 4, 5][: missing[1]]
        height = torch.tensor(low).double() - (5.5 - above)
        torch.testing.assert_close(lower[:, 2].sort().values, height)


def test_splice_of_one_cluster_is_with_itself():
    P = sample_compact(1, BOND, 20.0, seeded_generator(0))[0]
    after = moves.cut_and_splice(P, NUMBERS, seeded_generator(1))
    assert after.shape == P.shape
    assert (distance_matrix(after) - distance_matrix(P)).abs().max() > 1e-3


def test_mates_are_all_others():
    found = moves.random_partners(600, seeded_generator(0))
    assert (found != torch.arange(600)).all()
    few = torch.stack([moves.random_partners(3, seeded_generator(seed)) for seed in range(50)])
    assert few.unique().tolist() == [0, 1, 2]
    assert few[:, 0].unique().tolist() == [1, 2]
    assert moves.random_partners(1, seeded_generator(0)).tolist() == [0]
    assert moves.random_partners(0, seeded_generator(0)).tolist() == []

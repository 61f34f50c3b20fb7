import itertools
import math

import pytest
import torch

from bostruct.spaces.alloys.composition_grid import (
    CompositionGrid,
    random_integers_below,
)
from bostruct.testing import seeded_generator

GRID = CompositionGrid(6, ((0, 1, 2, 3), (0, 2, 4, 6), tuple(range(7)), (0, 5)), 2, 3)


def members(grid):
    return {
        row
        for row in itertools.product(*grid.allowed_steps)
        if sum(row) == grid.n_steps
        and grid.min_components <= sum(n > 0 for n in row) <= grid.max_components
    }


def test_ranks_are_all_compositions_once():
    found = [tuple(row) for row in GRID.unrank(range(GRID.size)).tolist()]
    assert len(found) == GRID.size
    assert set(found) == members(GRID)
    assert sorted(found) == found


# Grids, with rows that meet all conditions or break a single one by the smallest amount.
CONTAINS = {
    "sum": (GRID, [[1, 0, 0, 5], [0, 0, 0, 5], [2, 0, 0, 5]], [True, False, False]),
    "allowed steps of one element": (
        CompositionGrid(4, ((0, 1), (0, 1, 2), (0, 2, 3)), 1, 3),
        [[1, 1, 2], [0, 1, 3], [2, 2, 0], [1, 0, 3], [0, 2, 2], [1, 2, 1], [0, 3, 1]],
        [True, True, False, True, True, False, False],
    ),
    "fewest components": (
        CompositionGrid(4, (tuple(range(5)),) * 4, 2, 3),
        [[4, 0, 0, 0], [3, 1, 0, 0], [0, 0, 2, 2], [0, 0, 0, 4]],
        [False, True, True, False],
    ),
    "most components": (
        CompositionGrid(4, (tuple(range(5)),) * 4, 2, 3),
        [[2, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 2], [1, 1, 2, 0]],
        [True, False, True, True],
    ),
    "one component": (
        CompositionGrid(4, (tuple(range(5)),) * 4, 1, 1),
        [[4, 0, 0, 0], [3, 1, 0, 0], [0, 0, 0, 4]],
        [True, False, True],
    ),
}


@pytest.mark.parametrize("name", CONTAINS)
def test_contains_row_by_row(name):
    """Rows inside and outside in one batch, in any number of batch dimensions."""
    grid, rows, expected = CONTAINS[name]
    steps, inside = torch.tensor(rows), torch.tensor(expected)
    assert torch.equal(grid.contains(steps), inside)
    assert [bool(grid.contains(row)) for row in steps] == expected
    batch = torch.stack([steps, steps.flip(0)])
    assert torch.equal(grid.contains(batch), torch.stack([inside, inside.flip(0)]))
    assert torch.equal(grid.contains(batch.unsqueeze(2)).squeeze(2), grid.contains(batch))
    assert grid.contains(steps[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(6561,), (81, 81), (3, 729, 3), (9, 9, 9, 9)])
def test_contains_just_its_members(shape):
    every = torch.tensor(list(itertools.product(range(-1, 8), repeat=4)))
    inside = GRID.contains(every.reshape(*shape, 4)).flatten()
    assert {tuple(row) for row in every[inside].tolist()} == members(GRID)


def test_nearest_is_the_nearest():
    target = 4 * torch.randn(60, 4, generator=seeded_generator(0), dtype=torch.float64) + 1.5
    every = GRID.unrank(range(GRID.size)).double()
    found = GRID.nearest(target)
    assert GRID.contains(found).all()
    least = torch.cdist(target, every).amin(-1)
    torch.testing.assert_close((target - found).norm(dim=-1), least)


def test_counts_beyond_64_bits():
    """Stars and bars: 24 elements in steps of 1/60 are C(83, 23)."""
    grid = CompositionGrid(60, (tuple(range(61)),) * 24, 1, 24)
    assert grid.size == math.comb(83, 23) > 2**64
    last = grid.unrank([0, grid.size - 1])
    assert last[0].tolist() == [0] * 23 + [60]
    assert last[1].tolist() == [60] + [0] * 23
    drawn = grid.sample(20, seeded_generator(0))
    assert (drawn.sum(-1) == 60).all()
    assert len(drawn.unique(dim=0)) == 20


def test_an_empty_grid_is_empty():
    assert CompositionGrid(4, ((0, 1), (0, 1)), 1, 2).size == 0


def test_draws_cover_their_range():
    """All 5 values in 200 draws: fails for one seed in 10¹⁸."""
    assert set(random_integers_below(5, 200, seeded_generator(0))) == set(range(5))
    assert random_integers_below(1, 3, seeded_generator(0)) == [0, 0, 0]
    large = random_integers_below(10**40, 50, seeded_generator(0))
    assert max(large) > 10**39
    assert random_integers_below(10**40, 50, seeded_generator(0)) == large

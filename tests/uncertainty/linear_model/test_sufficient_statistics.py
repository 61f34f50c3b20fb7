import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.linear_model.sufficient_statistics import (
    WeightedMoments,
    check_all_positive,
    check_alpha2,
    check_finite_rows,
    check_targets,
)

RANDOM = torch.Generator().manual_seed(3)
ROWS = torch.randn(50, 4, generator=RANDOM, dtype=torch.float64)
WEIGHTS = torch.rand(50, generator=RANDOM, dtype=torch.float64) + 0.1


def test_sums_are_those_of_the_definition():
    found = WeightedMoments.from_rows(ROWS, WEIGHTS)
    mean = (WEIGHTS[:, None] * ROWS).sum(0) / WEIGHTS.sum()
    torch.testing.assert_close(found.mean, mean)
    scatter = torch.einsum("n,ni,nj->ij", WEIGHTS, ROWS - mean, ROWS - mean)
    torch.testing.assert_close(found.scatter, scatter)
    raw = torch.einsum("n,ni,nj->ij", WEIGHTS, ROWS, ROWS)
    torch.testing.assert_close(found.uncentered_scatter, raw)
    assert int(found.n_rows) == 50


@pytest.mark.parametrize("size", [1, 7, 2**15])
def test_blocks_and_shards_add_up(size, monkeypatch):
    whole = WeightedMoments.from_rows(ROWS, WEIGHTS)
    monkeypatch.setattr(
        "bostruct.uncertainty.linear_model.sufficient_statistics.rows_per_block", lambda _: size
    )
    blocks = WeightedMoments.from_rows(ROWS, WEIGHTS)
    shards = WeightedMoments.from_rows(ROWS[:13], WEIGHTS[:13]) + WeightedMoments.from_rows(
        ROWS[13:], WEIGHTS[13:]
    )
    for found in (blocks, shards):
        torch.testing.assert_close(found.mean, whole.mean)
        torch.testing.assert_close(found.scatter, whole.scatter)
        torch.testing.assert_close(found.total_weight, whole.total_weight)
        assert int(found.n_rows) == 50


def test_rows_without_a_constant_leave_the_mean_alone():
    energies = WeightedMoments.from_rows(ROWS[:30])
    forces = WeightedMoments.from_rows(ROWS[30:], has_constant=False)
    for found in (energies + forces, forces + energies):
        torch.testing.assert_close(found.mean, ROWS[:30].mean(0))
        torch.testing.assert_close(found.uncentered_scatter, ROWS.T @ ROWS)
    both = forces + forces
    torch.testing.assert_close(both.scatter, 2 * ROWS[30:].T @ ROWS[30:])
    assert float(both.total_weight) == 0


def test_a_spread_survives_an_offset():
    """1e-3 eV around -1e5 eV: sums of squares would leave nothing of it."""
    x = ROWS * 1e-3
    found = WeightedMoments.from_rows(x[:20] - 1e5) + WeightedMoments.from_rows(x[20:] - 1e5)
    expected = (x - x.mean(0)).T @ (x - x.mean(0))
    torch.testing.assert_close(found.scatter, expected, rtol=1e-6, atol=1e-12)


def test_other_columns_are_refused():
    with pytest.raises(ShapeError, match=r"`other` must have 4 columns"):
        WeightedMoments.from_rows(ROWS) + WeightedMoments.from_rows(ROWS[:, :3])


def test_rows_that_are_none_are_refused():
    with pytest.raises(ShapeError, match="`x` must have rows of 3 numbers"):
        check_finite_rows("x", ROWS, 3)
    with pytest.raises(ShapeError, match="`x` must have rows, got"):
        check_finite_rows("x", torch.zeros(0, 3))
    with pytest.raises(InputError, match="`x` must be finite, got 1 that are not"):
        check_finite_rows("x", torch.tensor([[1.0, math.nan]]))
    assert check_finite_rows("x", ROWS, 4) is ROWS


def test_other_weights_are_refused():
    with pytest.raises(InputError, match=r"`x` must be positive and finite, got -1\.0"):
        check_all_positive("x", torch.tensor([1.0, -1.0, 0.0]))
    assert check_all_positive("x", WEIGHTS) is WEIGHTS


def test_a_factor_is_one_number_or_one_per_target():
    assert check_alpha2(2.0, None, False).dtype == torch.float64
    assert check_alpha2(torch.ones(3), 3, True).shape == (3,)
    with pytest.raises(ShapeError, match="`alpha2` must be one number or one per"):
        check_alpha2(torch.ones(3), 2, True)
    with pytest.raises(InputError, match="`alpha2` must be positive and finite"):
        check_alpha2(-1.0, None, False)


def test_targets_are_as_many_as_the_rows():
    assert check_targets(ROWS, 50) is ROWS
    with pytest.raises(ShapeError, match=r"`targets` must have shape \[3\] or \[3, t\]"):
        check_targets(ROWS, 3)
    with pytest.raises(InputError, match="`targets` must be finite"):
        check_targets(ROWS * math.nan, 50)

import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.ensembles.committee import (
    ensemble_mean_variance,
    subsample_rows,
    unbiased_variance,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_equals_the_sample_variance_of_any_shape():
    y = normal(5, 4, 3)
    found = ensemble_mean_variance(y)
    torch.testing.assert_close(found.mean, y.mean(0))
    torch.testing.assert_close(found.variance, y.var(0, unbiased=True))


@pytest.mark.parametrize("members", [2, 4, 8])
def test_is_not_biased_for_members_that_are_independent(members):
    """40,000 repetitions: their mean is known to sqrt(2/(M-1)/40000); 5 of these."""
    found = ensemble_mean_variance(2 * normal(members, 40_000)).variance.mean() / 4
    assert float(found) == pytest.approx(1, abs=5 * (2 / (members - 1) / 4e4) ** 0.5)


def test_a_spread_of_millielectronvolts_survives_an_offset():
    y = 1e-3 * normal(6, 50)
    moved = ensemble_mean_variance(y + 1e6)
    exact = (y + 1e6 - 1e6).var(0)  # what rounding of the members left
    torch.testing.assert_close(moved.variance, exact, rtol=1e-9, atol=0)
    torch.testing.assert_close(moved.variance, y.var(0), rtol=1e-5, atol=0)


def test_single_precision_members_are_summed_in_double():
    assert ensemble_mean_variance(normal(5, 3).float()).variance.dtype == torch.float64


def test_variances_of_the_divisor_m_are_converted():
    y = normal(5, 7)
    found = unbiased_variance(y.var(0, unbiased=False), 5)
    torch.testing.assert_close(found, ensemble_mean_variance(y).variance)


def test_subsamples_leave_one_part_out_and_repeat_nothing():
    found = subsample_rows(40, 5, torch.Generator().manual_seed(0))
    assert found.shape == (5, 32)
    assert all(len(set(rows.tolist())) == 32 for rows in found)
    assert len({tuple(rows.tolist()) for rows in found}) == 5
    again = subsample_rows(40, 5, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)
    small = subsample_rows(40, 5, torch.Generator().manual_seed(0), size=3)
    assert small.shape == (5, 3)


def test_what_has_no_spread_is_refused():
    with pytest.raises(InputError, match="`members` must be an integer of at least 2"):
        ensemble_mean_variance(torch.ones(1, 4))
    with pytest.raises(ShapeError, match="`members` must have rows"):
        ensemble_mean_variance(torch.ones(0, 4))
    with pytest.raises(InputError, match="`members` must be finite, got 1"):
        ensemble_mean_variance(torch.tensor([1.0, math.nan]))
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        unbiased_variance(torch.ones(2), 1)
    with pytest.raises(InputError, match="`variance` must be finite and not negative"):
        unbiased_variance(-torch.ones(2), 4)
    generator = torch.Generator()
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        subsample_rows(10, 1, generator)
    with pytest.raises(InputError, match="`n_rows` must be an integer of at least 2"):
        subsample_rows(1, 2, generator)
    with pytest.raises(InputError, match="`size` must be an integer of at least 1"):
        subsample_rows(10, 2, generator, size=0)
    with pytest.raises(InputError, match="`size` must be at most the 10 rows"):
        subsample_rows(10, 2, generator, size=11)

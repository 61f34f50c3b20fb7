import pytest
import torch

from bostruct.acquisition import ExpectedImprovement, LowerConfidenceBound
from bostruct.campaign.planning import adaptive_kappa
from bostruct.campaign.planning.adaptive_kappa import (
    SupportsKappaScaling,
    adapt_kappa_factor,
)
from bostruct.campaign.records import Trial


def trial(number, energy, mean=None, sigma=1.0, state="done"):
    observed = None if mean is None else sigma**2
    return Trial(
        number=number,
        step=number,
        key=str(number),
        attempt=1,
        state=state,
        generator="rattle",
        X=torch.zeros(3),
        mean=mean,
        predictive_variance=observed,
        energy=energy,
    )


def trials(*rows):
    return [trial(i, *row) for i, row in enumerate(rows)]


def test_nothing_known_is_the_start():
    assert adapt_kappa_factor([]) == adaptive_kappa.INITIAL_KAPPA_FACTOR
    assert adapt_kappa_factor(trials((3.0,), (2.0,))) == adaptive_kappa.INITIAL_KAPPA_FACTOR


def test_broken_promises_make_it_careful_and_kept_ones_bold():
    broken = trials((3.0,), (9.0, 2.0))
    assert adapt_kappa_factor(broken) == pytest.approx(
        adaptive_kappa.INITIAL_KAPPA_FACTOR * adaptive_kappa.DECREASE_FACTOR
    )
    kept = trials((3.0,), (3.1, 3.0), (3.2, 3.1))
    assert adapt_kappa_factor(kept) == pytest.approx(
        adaptive_kappa.INITIAL_KAPPA_FACTOR * adaptive_kappa.INCREASE_FACTOR**2
    )


def test_what_paid_changes_nothing():
    assert (
        adapt_kappa_factor(trials((3.0,), (2.0, 0.5), (1.0, 1.0)))
        == adaptive_kappa.INITIAL_KAPPA_FACTOR
    )


def test_boldness_stays_in_its_range():
    low, high = adaptive_kappa.KAPPA_FACTOR_RANGE
    assert adapt_kappa_factor(trials((0.0,), *[(9.0, 0.0)] * 50)) == low
    assert adapt_kappa_factor(trials((0.0,), *[(1.0, 1.0)] * 50)) == high


def test_failures_and_what_was_not_predicted_do_not_count():
    rows = trials((3.0,), (9.0, 2.0))
    others = [trial(7, None, 1.0, state="failed"), trial(8, 2.9)]
    assert adapt_kappa_factor([*rows, *others]) == adapt_kappa_factor(rows)


def test_bounds_can_be_tempered_and_improvements_cannot():
    assert isinstance(LowerConfidenceBound(), SupportsKappaScaling)
    assert LowerConfidenceBound(kappa=2.0).scaled(0.5).kappa == 1.0
    fixed = LowerConfidenceBound(kappa=2.0, adaptive=False)
    assert fixed.scaled(0.5).kappa == 2.0
    assert not isinstance(ExpectedImprovement(), SupportsKappaScaling)

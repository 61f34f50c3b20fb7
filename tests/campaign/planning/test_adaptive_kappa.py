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


START, DOWN, UP = 0.5, 0.7, 1.25
"""The published numbers, written out: a changed constant must be seen."""


def test_the_numbers_are_those_of_the_documentation():
    assert adapt_kappa_factor([]) == START
    assert adapt_kappa_factor(trials((3.0,), (9.0, 2.0))) == START * DOWN
    assert adapt_kappa_factor(trials((3.0,), (3.1, 3.0))) == START * UP
    assert adapt_kappa_factor(trials((0.0,), *[(9.0, 0.0)] * 50)) == 0.25
    assert adapt_kappa_factor(trials((0.0,), *[(1.0, 1.0)] * 50)) == 2.0


@pytest.mark.parametrize(
    ("z", "factor"),
    [(-3.0, UP), (0.0, UP), (0.999, UP), (1.0, UP), (1.001, DOWN), (1.5, DOWN), (3.0, DOWN)],
)
def test_the_threshold_is_one_sigma(z, factor):
    """An energy exactly one σ above its prediction is as predicted, whatever σ."""
    for sigma in (0.25, 4.0):
        mean = 8.0 - z * sigma
        assert adapt_kappa_factor(trials((3.0,), (8.0, mean, sigma))) == START * factor


@pytest.mark.parametrize("sigma", [1.0, 0.25])
def test_an_improvement_is_a_part_of_sigma(sigma):
    """A lower energy counts only if it is lower by more than that, whatever the unit."""
    best, least = 0.0, 5e-3 * sigma
    for energy, factor in (
        (0.5, DOWN),
        (best, DOWN),
        (-0.5 * least, DOWN),
        (-least, DOWN),
        (-1.001 * least, 1.0),
        (-1.5 * least, 1.0),
        (-1.0, 1.0),
    ):
        rows = trials((best,), (energy, energy - 5.0, sigma))
        assert adapt_kappa_factor(rows) == START * factor


def test_the_best_is_the_lowest_of_all_before():
    """A worse energy in between does not become the one to improve on."""
    rows = trials((0.0,), (5.0,), (2.0, 2.0))
    assert adapt_kappa_factor(rows) == START * UP
    rows = trials((5.0,), (0.0,), (2.0, 2.0))
    assert adapt_kappa_factor(rows) == START * UP
    rows = trials((0.0,), (-0.003, -0.003), (-0.007, -0.007))
    # 0.004 σ below the second, which is the best although it was no improvement.
    assert adapt_kappa_factor(rows) == START * UP**2

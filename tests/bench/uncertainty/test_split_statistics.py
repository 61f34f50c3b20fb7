import math

import pytest
from scipy.stats import gmean

from bostruct.bench.uncertainty.method_predictions import evaluate_method
from bostruct.bench.uncertainty.score_rows import score_row
from bostruct.bench.uncertainty.split import split_structures
from bostruct.bench.uncertainty.split_statistics import (
    SplitStatistics,
    collect_split_statistics,
    mean_and_range,
)
from tests.bench.uncertainty.fakes import Fake, dimers

DATA = dimers(200)
SEEDS = (3, 4, 5)


def rows(fake, quantity="energy", place="test"):
    """Return a row of each split, without the help of `compare`."""
    found = []
    for seed in SEEDS:
        sets = split_structures(DATA, n_train=10, n_calibrate=40, seed=seed)
        found.append(score_row(evaluate_method("mine", fake, sets), place, quantity, 1.0, seed))
    return found


def test_means_and_ends_are_those_computed_by_hand():
    mine = rows(Fake(error=0.1, claim=0.05))
    found = SplitStatistics(tuple(mine))
    rmse = [one.rmse for one in mine]
    assert len(set(rmse)) == 3
    assert found["rmse"].mean == pytest.approx(sum(rmse) / 3, rel=1e-12)
    assert (found["rmse"].smallest, found["rmse"].largest) == (min(rmse), max(rmse))
    z2 = [one.scores.z2 for one in mine]
    by_hand = (z2[0] * z2[1] * z2[2]) ** (1 / 3)
    assert found["z2"].mean == pytest.approx(by_hand, rel=1e-12)
    assert by_hand < sum(z2) / 3
    assert (found["z2"].smallest, found["z2"].largest) == (min(z2), max(z2))
    caught = [one.scores.conformal_coverage for one in mine]
    assert found["conformal_coverage"].mean == pytest.approx(sum(caught) / 3, rel=1e-12)
    alpha = [one.scores.alpha for one in mine]
    product = alpha[0] * alpha[1] * alpha[2]
    assert found["alpha"].mean == pytest.approx(product ** (1 / 3))
    assert found["fit_seconds"].largest == max(one.fit_seconds for one in mine)


def test_z2_of_a_split_is_a_ratio_of_two_means_of_zeta2():
    """So the geometric mean is that of the test sets over the calibration sets'."""
    tests, calibrations = [], []
    for seed in SEEDS:
        sets = split_structures(DATA, n_train=10, n_calibrate=40, seed=seed)
        parts = evaluate_method("mine", Fake(), sets).set_residuals
        for name, values in (("test", tests), ("calibrate", calibrations)):
            values.append(float(parts[name, "energy"].residuals.z.square().mean()))
    ratio = gmean(tests) / gmean(calibrations)
    assert SplitStatistics(tuple(rows(Fake())))["z2"].mean == pytest.approx(ratio, rel=1e-9)


def test_counts_of_splits():
    mine = rows(Fake(error=0.2, claim=0.1))
    found = SplitStatistics(tuple(mine))
    assert found.n_scored == 3
    assert found.n_calibrated == sum(0.8 <= one.scores.z2 <= 1.25 for one in mine)
    assert found.n_in_band == sum(
        s.conformal_coverage_low <= s.conformal_coverage <= s.conformal_coverage_high
        for s in (one.scores for one in mine)
    )
    z2 = found["z2"].mean
    assert found.verdict == ("calibrated" if 0.8 <= z2 <= 1.25 else found.verdict)
    away = SplitStatistics(tuple(rows(Fake(), place="high energy")))
    assert away.is_shifted
    assert not found.is_shifted


@pytest.mark.parametrize(
    ("z2", "verdict", "n_calibrated"),
    [((0.79, 1.26), "calibrated", 0), ((1.0, 2.0), "overconfident", 1)],
)
def test_the_verdict_is_of_the_mean(z2, verdict, n_calibrated):
    first, second, _ = rows(Fake())
    changed = []
    for one, value in zip((first, second), z2, strict=True):
        object.__setattr__(one.scores, "z2", value)
        word = "calibrated" if 0.8 <= value <= 1.25 else "overconfident"
        object.__setattr__(one, "verdict", word)
        changed.append(one)
    found = SplitStatistics(tuple(changed))
    assert (found.verdict, found.n_calibrated) == (verdict, n_calibrated)


def test_one_split_keeps_every_digit():
    (one, *_) = rows(Fake())
    flat = SplitStatistics((one,)).to_dict()
    for name, value in one.to_dict().items():
        if name in flat and isinstance(value, float) and name not in ("z2", "alpha"):
            assert flat[name][1:] == (value, value), name
            assert flat[name][0] == pytest.approx(value, rel=1e-14)


def test_without_variances_there_are_errors_alone():
    found = SplitStatistics(tuple(rows(Fake(forces=False), "forces")))
    assert not found.has_scores
    assert found.verdict == ""
    assert (found.n_scored, found.n_calibrated, found.n_in_band) == (0, 0, 0)
    assert found["rmse"].mean > 0
    assert found.ranges["z2"] is None
    assert found.to_dict()["z2"] is None


def test_rows_are_put_together_by_set_quantity_and_method():
    energy, forces = rows(Fake()), rows(Fake(), "forces")
    found = collect_split_statistics([energy[0], forces[0], energy[1], forces[1], energy[2]])
    assert [(one.quantity, len(one.rows)) for one in found] == [("energy", 3), ("forces", 2)]
    assert (found[0].method, found[0].dataset, found[0].unit) == ("mine", "test", "meV/atom")


def test_numbers_that_some_splits_lack():
    found = mean_and_range([None, 2.0, math.inf], is_ratio=False)
    assert (found.mean, found.smallest, found.largest) == (math.inf, 2.0, math.inf)
    assert mean_and_range([None, None], is_ratio=True) is None
    assert mean_and_range([0.5, 2.0], is_ratio=True).mean == pytest.approx(1.0)

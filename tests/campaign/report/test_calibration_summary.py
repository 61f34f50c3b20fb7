import math

import pytest
from scipy.stats import binomtest, t

from bostruct.campaign.analysis.calibration import CalibratedPrediction, OnlineCalibration
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.report.calibration_summary import CalibrationSummary


@pytest.mark.parametrize("n", [0, 1, 8, 30])
def test_a_calibration_is_complete(n):
    z = tuple(math.sin(i + 1) for i in range(n))
    summary = CalibrationSummary.from_predictions(OnlineCalibration(z))
    assert (summary.n_predictions, summary.mean_z2 is None) == (n, n == 0)
    assert summary.n_recent == min(n, 20)
    assert (summary.alpha is None, summary.alpha_interval is None) == (n < 8, n < 8)
    assert (summary.conformal_quantile is None) == (n < 9)


def test_intervals_are_counted_where_both_ends_and_the_energy_are_known():
    interval, open_ended = (
        CalibratedPrediction(0.0, 1.0, 1.0, -2.0, 2.0),
        CalibratedPrediction(0.0, 1.0, 1.0, None, None),
    )
    predictions = [
        LoggedPrediction(0, interval, 1.0),
        LoggedPrediction(1, interval, 3.0),
        LoggedPrediction(2, interval, None),
        LoggedPrediction(3, open_ended, 1.0),
    ]
    summary = CalibrationSummary.from_predictions(OnlineCalibration(()), predictions)
    assert (summary.n_intervals, summary.n_covered) == (2, 1)
    assert summary.stated_coverage == (0.0, 2 / 3, 1.0)  # 0.82, 2.92 and 4.30 of Student's t
    expected = tuple(binomtest(1, 2).proportion_ci(method="wilson"))
    assert summary.coverage_interval == pytest.approx(expected)


def test_what_the_search_states_is_judged_by_itself():
    """Energies two σ above their means, of which the search has learnt."""
    calibration = OnlineCalibration((2.0,) * 12)
    predictions = [
        LoggedPrediction(i, OnlineCalibration((2.0,) * i).predict(-1.0, 0.25), 0.0)
        for i in range(12)
    ]
    summary = CalibrationSummary.from_predictions(calibration, predictions)
    assert summary.recalibration == calibration.recalibration
    z = [
        (2 - p.prediction.recalibration.shift) / p.prediction.recalibration.scale
        for p in predictions
    ]
    assert [p.stated_z for p in predictions] == pytest.approx(z)
    freedom = [2 + 10 * (1 - 0.9**i) for i in range(12)]
    inside = [
        sum(2 * t.sf(abs(value), f) >= 1 - level for value, f in zip(z, freedom, strict=True)) / 12
        for level in (0.5, 0.9, 0.95)
    ]
    assert summary.stated_coverage == pytest.approx(inside)
    assert inside[1] > 0.7
    shift, scale = summary.recalibration.shift, summary.recalibration.scale
    assert (
        f"adds {shift:+.2f} σ to its next means, and takes σ × {scale:.2f}; " in summary.stated_text
    )
    assert CalibrationSummary.from_predictions(calibration).stated_text == ""
    assert LoggedPrediction(0, predictions[0].prediction, None).stated_z is None

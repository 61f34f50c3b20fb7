import math

import pytest
from scipy.stats import binomtest

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
    assert summary.stated_coverage == (0.0, 2 / 3, 2 / 3)
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
    inside = [sum(abs(value) <= width for value in z) / 12 for width in (0.6745, 1.645, 1.96)]
    assert summary.stated_coverage == pytest.approx(inside)
    assert inside[1] > 0.7
    shift, scale = summary.recalibration.shift, summary.recalibration.scale
    assert (
        f"adds {shift:+.2f} σ to its next means, and takes σ × {scale:.2f}; " in summary.stated_text
    )
    assert CalibrationSummary.from_predictions(calibration).stated_text == ""
    assert LoggedPrediction(0, predictions[0].prediction, None).stated_z is None

from dataclasses import replace

import pytest
from scipy.stats import norm

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.report.html.calibration_figure import calibration_figure
from bostruct.campaign.report.html.report_figure import inline_svg


def logged(z, sigma=0.1):
    return [
        LoggedPrediction(i, CalibratedPrediction(0.0, sigma, sigma, None, None), sigma * value)
        for i, value in enumerate(z)
    ]


def test_normal_errors_are_on_the_diagonal():
    n = 200
    z = [float(norm.ppf((i + 0.5) / n)) for i in range(n)]
    found = calibration_figure({"energy": logged(z)})
    for level, inside, of, low, high in found.rows:
        assert inside / of == pytest.approx(level, abs=2 / n)
        assert low < level < high


def test_twice_the_sigma_covers_more():
    n = 200
    z = [0.5 * float(norm.ppf((i + 0.5) / n)) for i in range(n)]
    rows = calibration_figure({"energy": logged(z)}).rows
    assert all(inside / of >= level for level, inside, of, *_ in rows)
    assert "190 of 200" in calibration_figure({"energy": logged(z)}).caption


def test_of_a_log(log):
    svg = inline_svg(calibration_figure({"energy": log.predictions()}))
    assert svg.count("data-trial") == 4


def test_nothing_to_show(log):
    unknown = [replace(p, energy=None) for p in log.predictions()]
    assert calibration_figure({"energy": unknown}) is None

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.calibration.plots import (
    calibration_figure,
    draw_calibration_curve,
    draw_error_vs_std,
    draw_reliability,
    draw_z_histogram,
)
from bostruct.uncertainty.calibration.reliability import reliability_diagram
from bostruct.uncertainty.calibration.residuals import Residuals

BATCHES = Residuals(torch.ones(2, 20), torch.ones(2, 20))


def gaussian(n=200, scale=1.0):
    draws = torch.Generator().manual_seed(0)
    s = (0.5 * torch.randn(n, generator=draws, dtype=torch.float64)).exp()
    e = scale * s * torch.randn(n, generator=draws, dtype=torch.float64)
    return Residuals(e, s**2)


@pytest.fixture
def axes():
    return Figure().subplots()


def test_points_of_the_reliability_diagram(axes):
    held = gaussian()
    draw_reliability(axes, held, n_bins=5, unit="eV/Å")
    diagram = reliability_diagram(held, 5)
    points = axes.lines[-1].get_xydata()
    torch.testing.assert_close(torch.tensor(points[:, 0]), diagram.rmv)
    torch.testing.assert_close(torch.tensor(points[:, 1]), diagram.rmse)
    assert axes.get_xlabel() == "predicted σ (eV/Å)"
    assert "floor 0.09" in axes.get_title()
    assert axes.xaxis.get_major_formatter()(0.3, 0) == "0.3"


def test_an_overconfident_curve_is_below_the_diagonal(axes):
    draw_calibration_curve(axes, gaussian(scale=3.0))
    x, y = axes.lines[-1].get_xydata().T
    assert (y[20:-20] < x[20:-20]).all()
    assert "signed area -" in axes.get_title()


def test_every_error_is_a_point_but_zeros(axes):
    held = gaussian(50)
    held.error[3] = 0.0
    draw_error_vs_std(axes, held)
    assert len(axes.lines[-1].get_xdata()) == 49


def test_what_is_beyond_is_in_the_last_bin(axes):
    ones = torch.ones(10, dtype=torch.float64)
    draw_z_histogram(axes, Residuals(100 * ones, ones))
    assert axes.patches[-1].get_height() == pytest.approx(1 / 0.25)
    assert axes.get_title() == "mean z² 1e+04"


def test_a_page_has_a_row_for_each_method(tmp_path):
    held = gaussian()
    figure = calibration_figure({"raw": held.scaled(0.2), "calibrated": held})
    assert len(figure.axes) == 8
    assert figure.axes[4].get_title(loc="left") == "calibrated"
    figure.savefig(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert plt.get_fignums() == [], "no figure is left open"


def test_refusals(axes):
    for draw in (draw_reliability, draw_calibration_curve, draw_error_vs_std, draw_z_histogram):
        with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
            draw(axes, BATCHES)
    with pytest.raises(InputError, match="`error` must be non-zero in every bin"):
        draw_reliability(axes, Residuals(torch.zeros(20), torch.ones(20)))
    with pytest.raises(InputError, match="`methods` must name residuals"):
        calibration_figure({})

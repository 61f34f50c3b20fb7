"""Calibration diagrams, drawn into given axes or all in one figure.

matplotlib is imported when something is drawn, and no window is opened. Diagrams follow section
2.4 of Grasselli et al., Digital Discovery 4, 2654 (2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from bostruct.errors import InputError, error_message
from bostruct.plotting import BLUE, GREY, RC_PARAMS, new_figure, set_log_ticks
from bostruct.uncertainty.calibration.reliability import ence, reliability_diagram
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scores import calibration_curve, miscalibration_area

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PANEL_SIDE = 2.2  # inches


def draw_reliability(
    axes: Axes, residuals: Residuals, *, n_bins: int = 10, unit: str = "eV"
) -> None:
    """Draw actual over predicted errors in bins, with their confidence band.

    The diagram of section 2.4.2. The band holds 95 % of the bins if the errors are Gaussian and
    calibrated; the title gives the ENCE and its expected value for calibrated data.

    Args:
        axes: matplotlib axes to draw into.
        residuals: `[n]` residuals.
        n_bins: number of bins, of equal count.
        unit: unit of the errors, for the labels.

    Raises:
        InputError: more bins than points, or errors of zero.
        ShapeError: residuals with batches.
    """
    residuals.check_unbatched()
    diagram = reliability_diagram(residuals, n_bins, confidence=0.95)
    score = ence(residuals, n_bins)
    if bool((diagram.rmse <= 0).any()):
        hint = "Zero cannot be drawn on a logarithmic axis."
        raise InputError(error_message("error", "be non-zero in every bin", 0.0, hint))
    x = diagram.rmv.tolist()
    both = torch.cat([diagram.rmv, diagram.rmse])
    ends = [float(both.min()) / 1.3, float(both.max()) * 1.3]
    axes.fill_between(x, diagram.band_lower.tolist(), diagram.band_upper.tolist(), color="0.88")
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(x, diagram.rmse.tolist(), "o-", color=BLUE)
    _label_log_axes(axes, ends, "RMS error", unit)
    axes.set(ylim=ends)
    axes.set_title(f"ENCE {float(score.value):.2f}, floor {score.floor:.2f}")


def draw_calibration_curve(axes: Axes, residuals: Residuals) -> None:
    """Draw the observed over the nominal coverage of central intervals.

    Below the diagonal is overconfident. The title gives the signed area.

    Args:
        axes: matplotlib axes to draw into.
        residuals: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    residuals.check_unbatched()
    p = torch.linspace(0, 1, 201, dtype=torch.float64)
    coverage = calibration_curve(residuals, p).tolist()
    area = float(miscalibration_area(residuals).signed_area)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.plot(p.tolist(), coverage, color=BLUE)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("nominal coverage")
    axes.set_ylabel("observed coverage")
    axes.set_title(f"signed area {area:+.3f}")


def draw_error_vs_std(axes: Axes, residuals: Residuals, *, unit: str = "eV") -> None:
    """Draw each error over its σ, with lines below which 68, 95 and 99.7 % are expected.

    Args:
        axes: matplotlib axes to draw into.
        residuals: `[n]` residuals; errors of zero are left out.
        unit: unit of the errors, for the labels.

    Raises:
        ShapeError: residuals with batches.
    """
    residuals.check_unbatched()
    nonzero = residuals.error != 0
    s, e = residuals.std[nonzero], residuals.error[nonzero].abs()
    ends = [float(residuals.std.min()) / 1.3, float(residuals.std.max()) * 1.3]
    for times in (1, 2, 3):
        axes.plot(ends, [times * end for end in ends], color=GREY, linewidth=0.8)
    axes.plot(s.tolist(), e.tolist(), ".", color=BLUE, alpha=0.4, markeredgewidth=0)
    _label_log_axes(axes, ends, "|error|", unit)


def draw_z_histogram(axes: Axes, residuals: Residuals) -> None:
    """Draw the histogram of errors over σ beside the standard normal density.

    The outermost bins, at ± 4, hold all that lies beyond. The title gives mean z².

    Args:
        axes: matplotlib axes to draw into.
        residuals: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    residuals.check_unbatched()
    x = torch.linspace(-4, 4, 161, dtype=torch.float64)
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    z = residuals.z.clamp(-4, 4).tolist()
    axes.hist(z, bins=32, range=(-4, 4), density=True, color=BLUE, alpha=0.5)
    axes.plot(x.tolist(), density.tolist(), color=GREY)
    axes.set_xlim(-4, 4)
    axes.set_xlabel("error / σ")
    axes.set_ylabel("density")
    axes.set_title(f"mean z² {float(residuals.z.square().mean()):.3g}")


def calibration_figure(
    methods: Mapping[str, Residuals], *, n_bins: int = 10, unit: str = "eV"
) -> Figure:
    """Return a figure with a row of four diagrams for each method.

    Before and after a calibration, or one method beside another, on the same data.
    `figure.savefig("calibration.pdf")` writes it.

    Args:
        methods: mapping from name to `[n]` residuals.
        n_bins: number of bins of the reliability diagrams.
        unit: unit of the errors, for the labels.

    Raises:
        InputError: no method, more bins than points, or errors of zero.
        ShapeError: residuals with batches.
    """
    from matplotlib import rc_context

    if not methods:
        raise InputError(error_message("methods", "name residuals", "nothing"))
    with rc_context(RC_PARAMS):
        figure: Figure = new_figure(4 * PANEL_SIDE, PANEL_SIDE * len(methods))
        grid = figure.subplots(len(methods), 4, squeeze=False)
        for row, (name, residuals) in zip(grid, methods.items(), strict=True):
            draw_error_vs_std(row[0], residuals, unit=unit)
            draw_reliability(row[1], residuals, n_bins=n_bins, unit=unit)
            draw_calibration_curve(row[2], residuals)
            draw_z_histogram(row[3], residuals)
            row[0].set_title(name, loc="left", fontweight="bold")
    return figure


def _label_log_axes(axes: Axes, ends: list[float], quantity: str, unit: str) -> None:
    axes.set(xscale="log", yscale="log", xlim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        set_log_ticks(axis)
    axes.set(xlabel=f"predicted σ ({unit})", ylabel=f"{quantity} ({unit})")

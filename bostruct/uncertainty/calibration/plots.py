"""Pictures of calibration, each into axes of one's own, or all on one page.

matplotlib is imported when something is drawn, and no window is opened.

Diagrams follow section 2.4 of Grasselli et al., Digital Discovery 4, 2654 (2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from bostruct.errors import InputError, ShapeError, error_message
from bostruct.plotting import BLUE, GREY, RC_PARAMS, new_figure, set_log_ticks
from bostruct.uncertainty.calibration.reliability import ence, reliability_diagram
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scores import (
    calibration_curve,
    miscalibration_area,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


PANEL_SIDE = 2.2  # inches


def draw_reliability(
    axes: Axes, residuals: Residuals, *, n_bins: int = 10, unit: str = "eV"
) -> None:
    """Draw found over predicted errors in bins, with the band that chance allows.

    The diagram of section 2.4.2. The band holds 95 % of the bins if the errors are
    Gaussian and calibrated; the title gives ENCE beside the floor that calibrated data
    have.

    Args:
        axes: matplotlib's.
        residuals: `[n]` residuals.
        n_bins: of equal count.
        unit: of the errors.

    Raises:
        InputError: more bins than points, or errors of zero.
        ShapeError: residuals with batches.
    """
    _check_unbatched(residuals)
    diagram, score = (
        reliability_diagram(residuals, n_bins, confidence=0.95),
        ence(residuals, n_bins),
    )
    if bool((diagram.rmse <= 0).any()):
        way_out = "Nothing can be drawn on a logarithmic axis."
        raise InputError(error_message("error", "be non-zero in every bin", 0.0, way_out))
    x = diagram.rmv.tolist()
    both = torch.cat([diagram.rmv, diagram.rmse])
    ends = [float(both.min()) / 1.3, float(both.max()) * 1.3]
    axes.fill_between(x, diagram.band_lower.tolist(), diagram.band_upper.tolist(), color="0.88")
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(x, diagram.rmse.tolist(), "o-", color=BLUE)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        set_log_ticks(axis)
    axes.set_xlabel(f"predicted σ ({unit})")
    axes.set_ylabel(f"RMS error ({unit})")
    axes.set_title(f"ENCE {float(score.value):.2f}, floor {score.floor:.2f}")


def draw_calibration_curve(axes: Axes, residuals: Residuals) -> None:
    """Draw which share of truths the intervals of each claimed probability catch.

    Below the diagonal is overconfident. The title gives the signed area.

    Args:
        axes: matplotlib's.
        residuals: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    _check_unbatched(residuals)
    p = torch.linspace(0, 1, 201, dtype=torch.float64)
    found = calibration_curve(residuals, p).tolist()
    area = float(miscalibration_area(residuals).signed_area)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.plot(p.tolist(), found, color=BLUE)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("claimed probability")
    axes.set_ylabel("share found")
    axes.set_title(f"signed area {area:+.3f}")


def draw_error_vs_std(axes: Axes, residuals: Residuals, *, unit: str = "eV") -> None:
    """Draw each error over its σ, with lines that 68, 95 and 99.7 % are to be below.

    Args:
        axes: matplotlib's.
        residuals: `[n]` residuals; errors of zero are left out.
        unit: of the errors.

    Raises:
        ShapeError: residuals with batches.
    """
    _check_unbatched(residuals)
    kept = residuals.error != 0
    s, e = residuals.std[kept], residuals.error[kept].abs()
    ends = [float(residuals.std.min()) / 1.3, float(residuals.std.max()) * 1.3]
    for times in (1, 2, 3):
        line = [times * end for end in ends]
        axes.plot(ends, line, color=GREY, linewidth=0.8)
    axes.plot(s.tolist(), e.tolist(), ".", color=BLUE, alpha=0.4, markeredgewidth=0)
    axes.set(xscale="log", yscale="log", xlim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        set_log_ticks(axis)
    axes.set_xlabel(f"predicted σ ({unit})")
    axes.set_ylabel(f"|error| ({unit})")


def draw_z_histogram(axes: Axes, residuals: Residuals) -> None:
    """Draw the histogram of errors over σ beside the Gaussian it is to be.

    The outermost bins, at ± 4, hold all that is beyond. The title gives mean z².

    Args:
        axes: matplotlib's.
        residuals: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    _check_unbatched(residuals)
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
        methods: name to `[n]` residuals.
        n_bins: of the reliability diagrams.
        unit: of the errors.

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
        for row, (name, held) in zip(grid, methods.items(), strict=True):
            draw_error_vs_std(row[0], held, unit=unit)
            draw_reliability(row[1], held, n_bins=n_bins, unit=unit)
            draw_calibration_curve(row[2], held)
            draw_z_histogram(row[3], held)
            row[0].set_title(name, loc="left", fontweight="bold")
    return figure


def _check_unbatched(residuals: Residuals) -> None:
    if residuals.error.dim() != 1:
        raise ShapeError(error_message("residuals", "have shape [n]", list(residuals.error.shape)))

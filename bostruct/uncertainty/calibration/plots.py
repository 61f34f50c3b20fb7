"""Pictures of calibration, each into axes of one's own, or all on one page.

matplotlib is imported when something is drawn, and no window is opened.

Diagrams follow section 2.4 of Grasselli et al., Digital Discovery 4, 2654 (2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from bostruct.errors import InputError, ShapeError, must
from bostruct.plotting import BASE_SETTINGS, BLUE, GREY, SIZE
from bostruct.uncertainty.calibration.reliability import ence, reliability
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scores import calibration_curve, miscalibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_reliability(
    axes: Axes, held: Residuals, *, bins: int = 10, unit: str = "eV"
) -> None:
    """Draw found over predicted errors in bins, with the band that chance allows.

    The diagram of section 2.4.2. The band holds 95 % of the bins if the errors are
    Gaussian and calibrated; the title gives ENCE beside the floor that calibrated data
    have.

    Args:
        axes: matplotlib's.
        held: `[n]` residuals.
        bins: of equal count.
        unit: of the errors.

    Raises:
        InputError: more bins than points, or errors of zero.
        ShapeError: residuals with batches.
    """
    _check(held)
    diagram, score = reliability(held, bins, level=0.95), ence(held, bins)
    if bool((diagram.rmse <= 0).any()):
        way_out = "Nothing can be drawn on a logarithmic axis."
        raise InputError(must("error", "be non-zero in every bin", 0.0, way_out))
    x = diagram.rmv.tolist()
    both = torch.cat([diagram.rmv, diagram.rmse])
    ends = [float(both.min()) / 1.3, float(both.max()) * 1.3]
    axes.fill_between(x, diagram.low.tolist(), diagram.high.tolist(), color="0.88")
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.plot(x, diagram.rmse.tolist(), "o-", color=BLUE)
    _logarithmic(axes)
    axes.set(xlim=ends, ylim=ends)
    axes.set_xlabel(f"predicted σ ({unit})")
    axes.set_ylabel(f"RMS error ({unit})")
    axes.set_title(f"ENCE {float(score.value):.2f}, floor {score.floor:.2f}")


def draw_curve(axes: Axes, held: Residuals) -> None:
    """Draw which share of truths the intervals of each claimed probability catch.

    Below the diagonal is overconfident. The title gives the signed area.

    Args:
        axes: matplotlib's.
        held: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    _check(held)
    p = torch.linspace(0, 1, 201, dtype=torch.float64)
    found = calibration_curve(held, p).tolist()
    area = float(miscalibration(held).signed)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axes.plot(p.tolist(), found, color=BLUE)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("claimed probability")
    axes.set_ylabel("share found")
    axes.set_title(f"signed area {area:+.3f}")


def draw_errors(axes: Axes, held: Residuals, *, unit: str = "eV") -> None:
    """Draw each error over its σ, with lines that 68, 95 and 99.7 % are to be below.

    Args:
        axes: matplotlib's.
        held: `[n]` residuals; errors of zero are left out.
        unit: of the errors.

    Raises:
        ShapeError: residuals with batches.
    """
    _check(held)
    kept = held.error != 0
    s, e = held.std[kept], held.error[kept].abs()
    ends = [float(held.std.min()) / 1.3, float(held.std.max()) * 1.3]
    for times in (1, 2, 3):
        line = [times * end for end in ends]
        axes.plot(ends, line, color=GREY, linewidth=0.8)
    axes.plot(s.tolist(), e.tolist(), ".", color=BLUE, alpha=0.4, markeredgewidth=0)
    _logarithmic(axes)
    axes.set_xlim(*ends)
    axes.set_xlabel(f"predicted σ ({unit})")
    axes.set_ylabel(f"|error| ({unit})")


def draw_scores(axes: Axes, held: Residuals) -> None:
    """Draw the histogram of errors over σ beside the Gaussian it is to be.

    The outermost bins, at ± 4, hold all that is beyond. The title gives mean z².

    Args:
        axes: matplotlib's.
        held: `[n]` residuals.

    Raises:
        ShapeError: residuals with batches.
    """
    _check(held)
    x = torch.linspace(-4, 4, 161, dtype=torch.float64)
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
    z = held.z.clamp(-4, 4).tolist()
    axes.hist(z, bins=32, range=(-4, 4), density=True, color=BLUE, alpha=0.5)
    axes.plot(x.tolist(), density.tolist(), color=GREY)
    axes.set_xlim(-4, 4)
    axes.set_xlabel("error / σ")
    axes.set_ylabel("density")
    axes.set_title(f"mean z² {float(held.z.square().mean()):.3g}")


def calibration_page(
    methods: Mapping[str, Residuals], *, bins: int = 10, unit: str = "eV"
) -> Figure:
    """Return a figure with a row of four diagrams for each method.

    Before and after a calibration, or one method beside another, on the same data.
    `figure.savefig("calibration.pdf")` writes it.

    Args:
        methods: name to `[n]` residuals.
        bins: of the reliability diagrams.
        unit: of the errors.

    Raises:
        InputError: no method, more bins than points, or errors of zero.
        ShapeError: residuals with batches.
    """
    # Figures of their own: pyplot's are kept, and may open windows.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not methods:
        raise InputError(must("methods", "name residuals", "nothing"))
    with rc_context(BASE_SETTINGS):
        size = (4 * SIZE, SIZE * len(methods))
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(methods), 4, squeeze=False)
        for row, (name, held) in zip(grid, methods.items(), strict=True):
            draw_errors(row[0], held, unit=unit)
            draw_reliability(row[1], held, bins=bins, unit=unit)
            draw_curve(row[2], held)
            draw_scores(row[3], held)
            row[0].set_title(name, loc="left", fontweight="bold")
    return figure


def _logarithmic(axes: Axes) -> None:
    """Make both axes logarithmic, with plain numbers that begin with 1 or 3."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _check(held: Residuals) -> None:
    if held.error.dim() != 1:
        raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))

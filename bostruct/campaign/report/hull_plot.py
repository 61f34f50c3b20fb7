"""Plot of the convex hull of two elements: formation energy over composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bostruct import plotting
from bostruct.campaign.report.hull_summary import HullSummary
from bostruct.errors import InputError, error_message

PANEL_SIZE = (3.6, 2.6)
"""Width and height of the picture, inches."""

MARGIN_ABOVE = 1.0
"""Part of the depth of the hull above zero up to which structures are drawn."""

MIN_DEPTH = 0.01
"""Smallest depth of the hull that sets the range of energies, as a part of the largest energy."""


def plot_hull(hull: HullSummary | None, path: Path) -> None:
    """Draw all evaluated structures, the hull and its stable phases, and write a PNG file.

    Structures far above the hull are outside of the picture; their number is written into it.

    Args:
        hull: Hull of a campaign.
        path: PNG file.

    Raises:
        InputError: there is no hull of two elements.
        LogError: the file cannot be written.
    """
    condition = "come with a campaign of two elements whose compositions vary"
    if hull is None or len(hull.elements) != 2:
        value = "none" if hull is None else "-".join(hull.elements)
        raise InputError(error_message("plot", condition, value))
    if not hull.phases:
        missing = f"none of {', '.join(hull.missing)}"
        raise InputError(error_message("plot", "come with energies of the ends", missing))
    with plotting.saved_figure(1, path, PANEL_SIZE) as (axes,):
        draw_hull(axes, hull)


def draw_hull(axes: Any, hull: HullSummary) -> None:  # noqa: ANN401 - matplotlib
    """Draw the convex hull of two elements, which has phases, into axes."""
    stable = sorted(hull.stable, key=lambda phase: phase.fractions[-1])
    energies = [e for _, e in hull.points] + [phase.formation_energy for phase in hull.phases]
    lowest = min(energies)
    depth = max(-lowest, MIN_DEPTH * max(map(abs, energies))) or 1.0
    top = MARGIN_ABOVE * depth
    drawn = [(x, e) for x, e in hull.points if e <= top]
    axes.scatter(
        [x for x, _ in drawn],
        [e for _, e in drawn],
        s=9,
        color=plotting.GREY,
        linewidths=0,
        label="evaluated",
    )
    axes.plot(
        [phase.fractions[-1] for phase in stable],
        [phase.formation_energy for phase in stable],
        color=plotting.BLUE,
        marker="o",
        markersize=4,
        label="convex hull",
        zorder=3,
    )
    for phase in stable:
        axes.annotate(
            phase.formula,
            (phase.fractions[-1], phase.formation_energy),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            color=plotting.BLUE,
        )
    n_above = len(hull.points) - len(drawn)
    if n_above:
        text = f"{n_above} structure{'s' * (n_above > 1)} above"
        axes.text(0.5, 1.0, text, ha="center", transform=axes.transAxes)
    axes.axhline(0, color="0.3", linewidth=0.5, zorder=1)
    axes.set_ylim(lowest - 0.3 * depth, top + 0.1 * depth)
    axes.set_xlim(-0.05, 1.05)
    axes.set_xlabel(f"fraction of {hull.elements[-1]}")
    axes.set_ylabel("formation energy (eV/atom)")
    plotting.set_linear_ticks(axes.yaxis)
    plotting.set_linear_ticks(axes.xaxis)

"""Pictures of a landscape: mean, σ and acquisition along one or two coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bostruct import plotting
from bostruct.campaign.report.landscape import Landscape, display_name, display_values

PANEL_SIZE = (2.6, 2.2)
"""Width and height of a panel, inches."""

N_LEVELS = 16
"""Colors of a map."""

HIGHEST_QUANTILE = 0.8
"""Quantile of energies and deviations of a map above which they have one color."""

TITLES = ("mean (eV)", "σ (eV)", "acquisition − max")


def plot_landscape(landscape: Landscape, path: Path) -> None:
    """Draw a landscape, and write a PNG file.

    Along one coordinate: the mean with one σ and the evaluated structures, and the acquisition
    below it. Along two: maps of mean, σ and acquisition. Of more coordinates than are shown the
    others are those of the best structure, and other structures are drawn where they project.

    Raises:
        LogError: the file cannot be written.
    """
    if len(landscape.shown) == 1:
        _plot_lines(landscape, path)
    else:
        _plot_maps(landscape, path)


def _plot_lines(landscape: Landscape, path: Path) -> None:
    (k,) = landscape.shown
    x = _displayed(landscape, k, landscape.axes[0])
    with plotting.saved_figure(2, path, PANEL_SIZE, titles=("energy (eV)", TITLES[2])) as panels:
        low, high = landscape.energy - landscape.std, landscape.energy + landscape.std
        panels[0].fill_between(x, low, high, color=plotting.SKY_BLUE, alpha=0.4, linewidth=0)
        panels[0].plot(x, landscape.energy, color=plotting.BLUE, label="mean and σ")
        at = _displayed(landscape, k, landscape.X_evaluated[:, k])
        panels[0].scatter(at, landscape.energies, s=9, color=plotting.VERMILION, label="evaluated")
        panels[0].set_ylim(top=_highest(landscape.energy))
        panels[1].plot(x, _below_largest(landscape.acquisition), color=plotting.GREEN)
        for axes in panels:
            axes.set_xlabel(display_name(landscape.domain, k))
            plotting.set_linear_ticks(axes.xaxis)
            plotting.set_linear_ticks(axes.yaxis)


def _plot_maps(landscape: Landscape, path: Path) -> None:
    first, second = landscape.shown
    x, y = (
        _displayed(landscape, k, axis)
        for k, axis in zip(landscape.shown, landscape.axes, strict=True)
    )
    values = (landscape.energy, landscape.std, _below_largest(landscape.acquisition))
    with plotting.saved_figure(3, path, PANEL_SIZE, titles=TITLES) as panels:
        for axes, value, is_capped in zip(panels, values, (True, True, False), strict=True):
            _draw_map(axes, x, y, value, is_capped)
            _draw_points(axes, landscape)
            axes.set_xlabel(display_name(landscape.domain, first))
            plotting.set_linear_ticks(axes.xaxis)
            plotting.set_linear_ticks(axes.yaxis)
        panels[0].set_ylabel(display_name(landscape.domain, second))


def _draw_map(axes: Any, x: Tensor, y: Tensor, value: Tensor, is_capped: bool) -> None:  # noqa: ANN401 - matplotlib
    """Draw values `[g, g]` as filled contours; where they are capped the highest have one color."""
    known = value[value.isfinite()]
    if not len(known) or float(known.max()) == float(known.min()):
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    low, high = float(known.min()), _highest(known) if is_capped else float(known.max())
    drawn = axes.contourf(
        x,
        y,
        value.T,
        levels=torch.linspace(low, high, N_LEVELS).tolist(),
        cmap="viridis",
        extend="max" if is_capped else "neither",
    )
    ticks = plotting.linear_tick_values(low, high)
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.9, ticks=ticks)
    bar.ax.set_yticklabels([plotting.format_tick(tick) for tick in ticks])


def _draw_points(axes: Any, landscape: Landscape) -> None:  # noqa: ANN401 - matplotlib
    """Mark evaluated structures, the best one, and minima of the surrogate."""
    first, second = landscape.shown
    points = display_values(landscape.domain, landscape.X_evaluated)
    axes.scatter(
        points[:, first],
        points[:, second],
        s=7,
        color="white",
        edgecolors="black",
        linewidths=0.4,
        label="evaluated",
    )
    best = display_values(landscape.domain, landscape.X_best)
    star: dict[str, Any] = {"marker": "*", "color": plotting.VERMILION, "zorder": 4}
    axes.scatter(best[first], best[second], s=40, label="best", **star)
    if landscape.minima:
        X = torch.tensor([minimum.X for minimum in landscape.minima], dtype=torch.float64)
        minima = display_values(landscape.domain, X)
        axes.scatter(
            minima[:, first],
            minima[:, second],
            s=16,
            marker="x",
            color=plotting.ORANGE,
            linewidths=0.9,
            label="minimum of the mean",
            zorder=3,
        )


def _displayed(landscape: Landscape, k: int, values: Tensor) -> Tensor:
    """Return values `[n]` of one coordinate for people."""
    X = landscape.X_best.repeat(len(values), 1)
    X[:, k] = values
    return display_values(landscape.domain, X)[:, k]


def _below_largest(acquisition: Tensor) -> Tensor:
    """Return acquisition values less the largest one."""
    known = acquisition[acquisition.isfinite()]
    return acquisition - known.max() if len(known) else acquisition


def _highest(energy: Tensor) -> float:
    """Return the energy up to which energies are told apart."""
    low, high = energy.min(), energy.quantile(HIGHEST_QUANTILE)
    return float(high if high > low else energy.max())

"""One page of plots: is σ right, for each method, before and after calibration?

At the top mean z² of every method and set; below, a panel for each method with the
reliability diagram, and one with the share of truths that intervals catch. Of several
splits, the top shows the mean and the ends, and the panels show one: its structures are
all different ones, while several splits have many in common.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bostruct.bench.uncertainty.method_predictions import UNITS, MethodPredictions
from bostruct.bench.uncertainty.score_rows import CALIBRATED_RANGE, ScoreRow
from bostruct.bench.uncertainty.scores import MAX_BINS, MIN_POINTS_PER_BIN
from bostruct.bench.uncertainty.split import CALIBRATE, TEST
from bostruct.bench.uncertainty.split_statistics import (
    collect_split_statistics,
    geometric_mean,
)
from bostruct.bench.uncertainty.tables import dataset_title
from bostruct.plotting import COLORS, CURVE_SETTINGS, log_ticks
from bostruct.runtime.atomic_write import write_atomically
from bostruct.uncertainty import (
    Residuals,
    calibrate,
    calibration_curve,
    reliability_diagram,
)

PAGE_WIDTH = 7.2
"""Inches, of two columns of a journal."""

MAX_COLUMNS = 5
"""Panels beside each other, at most."""

PANEL_HEIGHT = 1.5
"""Inches, the height of one."""

METHOD_LINE_HEIGHT = 0.17
"""Inches, of a method in the diagram at the top."""

UNCALIBRATED_COLOR, GREY = "0.6", "0.55"


def draw_page(
    predictions: Sequence[MethodPredictions],
    rows: Sequence[ScoreRow],
    quantity: str,
    path: Path,
) -> None:
    """Write the page of one quantity.

    Args:
        predictions: What the methods said of the split in the panels.
        rows: Their scores, of all splits.
        quantity: "energy" or "forces".
        path: Of the PNG file.

    Raises:
        LogError: it cannot be written.
    """
    # A figure of its own, not pyplot's: that keeps figures, and may open windows.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mine = [one for one in predictions if (TEST, quantity) in one.set_residuals]
    scored = [row for row in rows if row.quantity == quantity and row.scores]
    places = list(dict.fromkeys(row.dataset for row in scored))
    lines = math.ceil(len(mine) / MAX_COLUMNS)
    columns = math.ceil(len(mine) / lines)
    top = 0.75 + METHOD_LINE_HEIGHT * len(mine)
    with rc_context(CURVE_SETTINGS):
        height = top + 2 * (PANEL_HEIGHT * lines + 0.35) + 0.35
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = [top, PANEL_HEIGHT * lines + 0.35, PANEL_HEIGHT * lines + 0.35]
        parts: Any = figure.subfigures(3, 1, height_ratios=ratios)
        head, upper, lower = parts
        _draw_overview(head, scored, places)
        unit = UNITS[quantity]
        titles = [one.method for one in mine]
        for axes, one in zip(_panel_grid(upper, titles, (lines, columns)), mine, strict=True):
            _draw_reliability(axes, one, quantity, places)
        upper.supxlabel(f"predicted σ ({unit})", fontsize=8)
        upper.supylabel(f"RMS error ({unit})", fontsize=8)
        for axes, one in zip(_panel_grid(lower, titles, (lines, columns)), mine, strict=True):
            _draw_calibration_curve(axes, one, quantity, places)
        lower.supxlabel("claimed probability", fontsize=8)
        lower.supylabel("share found", fontsize=8)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=250)
    write_atomically(path, image.getvalue())


def dataset_color(datasets: Sequence[str], dataset: str) -> str:
    """Return the colour of a set."""
    return COLORS[datasets.index(dataset) % len(COLORS)]


def _draw_overview(figure: Any, rows: Sequence[ScoreRow], datasets: Sequence[str]) -> None:  # noqa: ANN401 - matplotlib
    """Draw mean z² and σ over the RMS error of every method and set."""
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(row.method for row in rows))
    low, high = CALIBRATED_RANGE[False]
    left.axvspan(low, high, color="0.92", linewidth=0)
    left.axvspan(*CALIBRATED_RANGE[True], color="0.84", linewidth=0)
    for axes in (left, right):
        axes.axvline(1, color=GREY, linewidth=0.6)
    right.axvspan(math.sqrt(1 / high), math.sqrt(1 / low), color="0.92", linewidth=0)
    for i, place in enumerate(datasets):
        shift = 0.5 * ((i + 0.5) / len(datasets) - 0.5)
        shade, label = dataset_color(datasets, place), dataset_title(place)
        for one in collect_split_statistics([row for row in rows if row.dataset == place]):
            y = names.index(one.method) + shift
            before, z2 = one["z2_before"].mean, one["z2"]
            ends = [z2.smallest, z2.largest]
            if len(one.rows) == 1:
                ends = [one["z2_low"].mean, one["z2_high"].mean]
            left.plot(before, y, marker="o", color=shade, fillstyle="none", ms=3)
            left.plot(ends, [y, y], color=shade, linewidth=1)
            left.plot(z2.mean, y, marker="o", color=shade, ms=3)
            ratios = [s.sharpness / s.rmse for row in one.rows if (s := row.scores)]
            right.plot(geometric_mean(ratios), y, marker="o", color=shade, ms=3)
            if len(ratios) > 1:
                ends = [min(ratios), max(ratios)]
                right.plot(ends, [y, y], color=shade, linewidth=1)
        left.plot([], [], marker="o", color=shade, ms=3, label=label)
    left.plot(
        [],
        [],
        "o-",
        color=UNCALIBRATED_COLOR,
        fillstyle="none",
        ms=3,
        label="before calibration",
    )
    for axes in (left, right):
        axes.set_xscale("log")
        log_ticks(axes.xaxis, *_tick_digits(*axes.get_xlim()))
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("mean z² = error² / σ²")
    right.set_xlabel("σ / RMS error, after calibration")
    figure.legend(loc="outside upper center", ncols=min(len(datasets) + 1, 4))


def _panel_grid(figure: Any, titles: Sequence[str], shape: tuple[int, int]) -> list[Any]:  # noqa: ANN401 - matplotlib
    grid = figure.subplots(*shape, squeeze=False).flatten().tolist()
    for axes in grid[len(titles) :]:
        axes.remove()
    for title, axes in zip(titles, grid, strict=False):
        axes.set_title(title, loc="left", fontsize=7, fontweight="bold")
    return list(grid[: len(titles)])


def _draw_reliability(
    axes: Any,  # noqa: ANN401 - matplotlib
    predictions: MethodPredictions,
    quantity: str,
    datasets: Sequence[str],
) -> None:
    ends: list[float] = []
    for place, held in _calibrated_residuals(predictions, quantity, datasets):
        bins = max(1, min(MAX_BINS, held.n_points // MIN_POINTS_PER_BIN))
        found = reliability_diagram(held, bins, confidence=0.95)
        x, y = found.rmv.tolist(), found.rmse.tolist()
        shade = dataset_color(datasets, place)
        if place == TEST:
            low, high = found.band_lower.tolist(), found.band_upper.tolist()
            axes.fill_between(x, low, high, color=shade, alpha=0.15, linewidth=0)
            raw = reliability_diagram(predictions.set_residuals[place, quantity].residuals, bins)
            before = raw.rmv.tolist()
            axes.plot(
                before,
                raw.rmse.tolist(),
                ".-",
                color=UNCALIBRATED_COLOR,
                linewidth=0.8,
                ms=3,
            )
            ends += before
        axes.plot(x, y, ".-", color=shade, linewidth=0.9, ms=3)
        ends += x + [value for value in y if value > 0]
    edge = [min(ends) / 1.4, max(ends) * 1.4]
    axes.plot(edge, edge, color=GREY, linewidth=0.6, zorder=0)
    axes.set(xscale="log", yscale="log", xlim=edge, ylim=edge)
    for axis in (axes.xaxis, axes.yaxis):
        log_ticks(axis, *_tick_digits(*edge))


def _draw_calibration_curve(
    axes: Any,  # noqa: ANN401 - matplotlib
    predictions: MethodPredictions,
    quantity: str,
    datasets: Sequence[str],
) -> None:
    p = torch.linspace(0, 1, 201, dtype=torch.float64)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    raw = predictions.set_residuals[TEST, quantity].residuals
    axes.plot(p, calibration_curve(raw, p), color=UNCALIBRATED_COLOR, linewidth=0.8)
    for place, held in _calibrated_residuals(predictions, quantity, datasets):
        shade = dataset_color(datasets, place)
        axes.plot(p, calibration_curve(held, p), color=shade, linewidth=0.9)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def _tick_digits(low: float, high: float) -> tuple[int, ...]:
    """Return with which digits the labels of a log_ticks axis begin."""
    if high / low < 12:
        return 1, 2, 5
    return (1, 3) if high / low < 200 else (1,)


def _calibrated_residuals(
    predictions: MethodPredictions, quantity: str, datasets: Sequence[str]
) -> list[tuple[str, Residuals]]:
    """Return the calibrated residuals of every set."""
    factor = calibrate(predictions.set_residuals[CALIBRATE, quantity].residuals)
    return [
        (
            place,
            predictions.set_residuals[place, quantity].residuals.scaled(factor.alpha2),
        )
        for place in datasets
        if (place, quantity) in predictions.set_residuals
    ]

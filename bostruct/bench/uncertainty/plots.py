"""Page of plots of the calibration of each method, before and after a scaling of σ.

At the top mean z² of every method and set; below, a reliability diagram and a calibration curve of
each method. For several splits, the top shows mean and range, and the panels show one split, since
several have structures in common. Diagrams of Levi et al., Sensors 22, 5540 (2022), and Kuleshov et
al., ICML (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import gmean

from bostruct.bench.uncertainty.method_predictions import UNITS, MethodPredictions
from bostruct.bench.uncertainty.score_rows import CALIBRATED_RANGE, ScoreRow
from bostruct.bench.uncertainty.score_tables import dataset_title
from bostruct.bench.uncertainty.scores import MAX_BINS, MIN_POINTS_PER_BIN
from bostruct.bench.uncertainty.split import CALIBRATE, TEST
from bostruct.bench.uncertainty.split_statistics import collect_split_statistics
from bostruct.plotting import COLORS, GREY, RC_PARAMS, new_figure, set_log_ticks, write_png
from bostruct.uncertainty import Residuals, calibrate, calibration_curve, reliability_diagram

PAGE_WIDTH = 7.2
"""Width of two columns of a journal, inches."""

MAX_COLUMNS = 5
"""Largest number of panels in a row."""

PANEL_HEIGHT = 1.5
"""Height of a panel, inches."""

METHOD_LINE_HEIGHT = 0.17
"""Height of a method in the diagram at the top, inches."""

UNCALIBRATED_COLOR = "0.6"


def draw_page(
    predictions: Sequence[MethodPredictions], rows: Sequence[ScoreRow], quantity: str, path: Path
) -> None:
    """Write the page of one quantity.

    Args:
        predictions: Predictions of the methods on the split in the panels.
        rows: Scores of the methods on all splits.
        quantity: "energy" or "forces".
        path: PNG file.

    Raises:
        LogError: the file cannot be written.
    """
    from matplotlib import rc_context

    runs = [run for run in predictions if (TEST, quantity) in run.set_residuals]
    scored = [row for row in rows if row.quantity == quantity and row.scores]
    datasets = list(dict.fromkeys(row.dataset for row in scored))
    n_rows = math.ceil(len(runs) / MAX_COLUMNS)
    shape = n_rows, math.ceil(len(runs) / n_rows)
    heights = [0.75 + METHOD_LINE_HEIGHT * len(runs), *[PANEL_HEIGHT * n_rows + 0.35] * 2]
    with rc_context(RC_PARAMS):
        figure = new_figure(PAGE_WIDTH, sum(heights) + 0.35)
        overview, upper, lower = figure.subfigures(3, 1, height_ratios=heights)
        _draw_overview(overview, scored, datasets)
        titles = [run.method for run in runs]
        for axes, run in zip(_panel_grid(upper, titles, shape), runs, strict=True):
            _draw_reliability(axes, run, quantity, datasets)
        upper.supxlabel(f"predicted σ ({UNITS[quantity]})", fontsize=8)
        upper.supylabel(f"RMS error ({UNITS[quantity]})", fontsize=8)
        for axes, run in zip(_panel_grid(lower, titles, shape), runs, strict=True):
            _draw_calibration_curve(axes, run, quantity, datasets)
        lower.supxlabel("nominal coverage", fontsize=8)
        lower.supylabel("observed coverage", fontsize=8)
        write_png(figure, path, dpi=250)


def dataset_color(datasets: Sequence[str], dataset: str) -> str:
    """Return the color of a set."""
    return COLORS[datasets.index(dataset) % len(COLORS)]


def _draw_overview(figure: Any, rows: Sequence[ScoreRow], datasets: Sequence[str]) -> None:  # noqa: ANN401 - matplotlib
    """Draw mean z² and σ over the root mean squared error of every method and set."""
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(row.method for row in rows))
    low, high = CALIBRATED_RANGE[False]
    left.axvspan(low, high, color="0.92", linewidth=0)
    left.axvspan(*CALIBRATED_RANGE[True], color="0.84", linewidth=0)
    for axes in (left, right):
        axes.axvline(1, color=GREY, linewidth=0.6)
    right.axvspan(math.sqrt(1 / high), math.sqrt(1 / low), color="0.92", linewidth=0)
    for i, dataset in enumerate(datasets):
        offset = 0.5 * ((i + 0.5) / len(datasets) - 0.5)
        color, label = dataset_color(datasets, dataset), dataset_title(dataset)
        for statistics in collect_split_statistics([row for row in rows if row.dataset == dataset]):
            y = names.index(statistics.method) + offset
            before, z2 = statistics["z2_before"].mean, statistics["z2"]
            ends = [z2.smallest, z2.largest]
            if len(statistics.rows) == 1:
                ends = [statistics["z2_low"].mean, statistics["z2_high"].mean]
            left.plot(before, y, marker="o", color=color, fillstyle="none")
            left.plot(ends, [y, y], color=color, linewidth=1)
            left.plot(z2.mean, y, marker="o", color=color)
            ratios = [s.sharpness / s.rmse for row in statistics.rows if (s := row.scores)]
            right.plot(gmean(ratios), y, marker="o", color=color)
            if len(ratios) > 1:
                right.plot([min(ratios), max(ratios)], [y, y], color=color, linewidth=1)
        left.plot([], [], marker="o", color=color, label=label)
    style = {"color": UNCALIBRATED_COLOR, "fillstyle": "none"}
    left.plot([], [], "o-", label="before calibration", **style)
    for axes in (left, right):
        axes.set_xscale("log")
        set_log_ticks(axes.xaxis)
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
    for dataset, residuals in _calibrated_residuals(predictions, quantity, datasets):
        bins = max(1, min(MAX_BINS, residuals.n_points // MIN_POINTS_PER_BIN))
        diagram = reliability_diagram(residuals, bins, confidence=0.95)
        x, y = diagram.rmv.tolist(), diagram.rmse.tolist()
        color = dataset_color(datasets, dataset)
        if dataset == TEST:
            low, high = diagram.band_lower.tolist(), diagram.band_upper.tolist()
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            raw = reliability_diagram(predictions.set_residuals[dataset, quantity].residuals, bins)
            before = raw.rmv.tolist()
            style = {"color": UNCALIBRATED_COLOR, "linewidth": 0.8}
            axes.plot(before, raw.rmse.tolist(), ".-", **style)
            ends += before
        axes.plot(x, y, ".-", color=color, linewidth=0.9)
        ends += x + [value for value in y if value > 0]
    edge = [min(ends) / 1.4, max(ends) * 1.4]
    axes.plot(edge, edge, color=GREY, linewidth=0.6, zorder=0)
    axes.set(xscale="log", yscale="log", xlim=edge, ylim=edge)
    for axis in (axes.xaxis, axes.yaxis):
        set_log_ticks(axis)


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
    for dataset, residuals in _calibrated_residuals(predictions, quantity, datasets):
        color = dataset_color(datasets, dataset)
        axes.plot(p, calibration_curve(residuals, p), color=color, linewidth=0.9)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def _calibrated_residuals(
    predictions: MethodPredictions, quantity: str, datasets: Sequence[str]
) -> list[tuple[str, Residuals]]:
    """Return the calibrated residuals of every set."""
    factor = calibrate(predictions.set_residuals[CALIBRATE, quantity].residuals)
    return [
        (name, predictions.set_residuals[name, quantity].residuals.scaled(factor.alpha2))
        for name in datasets
        if (name, quantity) in predictions.set_residuals
    ]

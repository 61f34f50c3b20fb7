"""Hypervolume and recall against evaluations, with medians and quantile bands over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bostruct.bench.multi_objective.front_recovery import FrontRecovery
from bostruct.plotting import COLORS, saved_figure

FRONTS_PNG = "fronts.png"

BAND_QUANTILES = (0.1, 0.9)
"""Quantiles over the seeds at the ends of a band."""

BASELINE_COLORS = {"random": "#777777", "genetic": "#444444"}
"""Colors of the baselines, which are dotted."""

MISSING_TICKS = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
"""Labeled fractions of the missing hypervolume."""

MISSING_LABEL, RECALL_LABEL, HYPERVOLUME_LABEL = (
    "hypervolume missing",
    "recall",
    "hypervolume found",
)
ENUMERATED_PANELS, RELATIVE_PANELS = (MISSING_LABEL, RECALL_LABEL), (HYPERVOLUME_LABEL,)
"""Panels of a task whose front is known, and of another one."""

RecoveriesByMethod = dict[tuple[str, str], list[FrontRecovery]]
"""Recovery of each seed, by task and method."""


def median_and_band(rows: Sequence[Sequence[float]]) -> tuple[Any, Any, Any]:
    """Return the median and the ends of the band, up to the length of the shortest row."""
    length = min(map(len, rows))
    table = np.array([row[:length] for row in rows])
    low, middle, high = np.quantile(table, [BAND_QUANTILES[0], 0.5, BAND_QUANTILES[1]], axis=0)
    return middle, low, high


def plot_recovery(recoveries: RecoveriesByMethod, out: Path) -> None:
    """Draw two panels for each task, `fronts.png`.

    The missing fraction of the hypervolume, on a logarithmic axis, and the recall of the true
    front; where that is not known, the fraction of the hypervolume of all runs together. Lines are
    medians, bands go from the 10th to the 90th percentile.

    Raises:
        LogError: the file cannot be written.
    """
    tasks = list(dict.fromkeys(task for task, _ in recoveries))
    panels = []
    for task in tasks:
        runs = [run for (name, _), group in recoveries.items() if name == task for run in group]
        enumerated = all(run.recall for run in runs)
        panels += [(task, kind) for kind in (ENUMERATED_PANELS if enumerated else RELATIVE_PANELS)]
    titles = [f"{task}, {'front' if kind == RECALL_LABEL else 'volume'}" for task, kind in panels]
    methods = list(dict.fromkeys(m for _, m in recoveries if m not in BASELINE_COLORS))
    with saved_figure(len(panels), out / FRONTS_PNG, titles=titles) as all_axes:
        for (task, kind), axes in zip(panels, all_axes, strict=True):
            for (name, method), group in recoveries.items():
                if name == task:
                    _draw_method(axes, method, methods, group, kind)
            axes.set(xlabel="evaluations", ylabel=kind, ylim=(0, 1))
            axes.set_xlim(left=0)
            if kind == MISSING_LABEL:
                axes.set(yscale="log", ylim=(MISSING_TICKS[-1], 1))
                axes.set_yticks(MISSING_TICKS, [f"{100 * tick:g} %" for tick in MISSING_TICKS])
                axes.minorticks_off()


def _draw_method(
    axes: Any,  # noqa: ANN401 - matplotlib
    method: str,
    campaigns: list[str],
    recoveries: Sequence[FrontRecovery],
    quantity: str,
) -> None:
    rows = [r.recall if quantity == RECALL_LABEL else r.hypervolume for r in recoveries]
    middle, low, high = median_and_band(rows)
    if quantity == MISSING_LABEL:
        middle, low, high = (
            np.clip(1 - curve, MISSING_TICKS[-1] / 2, None) for curve in (middle, high, low)
        )
    color, style = BASELINE_COLORS.get(method), ":"
    if method in campaigns:
        color, style = COLORS[campaigns.index(method) % len(COLORS)], "-"
    n_evaluations = np.arange(1, len(middle) + 1)
    axes.plot(n_evaluations, middle, style, color=color, label=method)
    axes.fill_between(n_evaluations, low, high, color=color, alpha=0.2, linewidth=0)

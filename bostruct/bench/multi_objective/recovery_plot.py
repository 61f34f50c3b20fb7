"""Pictures of fronts: hypervolume and recall against evaluations, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bostruct.bench.multi_objective.front_recovery import FrontRecovery
from bostruct.plotting import COLORS, bench_panels

FRONTS_PNG = "fronts.png"

BAND_QUANTILES = (0.1, 0.9)
"""Quantiles over the seeds."""

BASELINE_COLORS = {"random": "#777777", "genetic": "#444444"}
"""Of what a campaign is compared with, which is dotted."""

MISSING_TICKS = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
"""What may be left of the hypervolume: the labels of its axis."""

MISSING_LABEL, RECALL_LABEL, HYPERVOLUME_LABEL = (
    "hypervolume missing",
    "share found",
    "hypervolume found",
)
ENUMERATED_PANELS, RELATIVE_PANELS = (MISSING_LABEL, RECALL_LABEL), (HYPERVOLUME_LABEL,)
"""Panels of a problem whose front is known, and of another."""

RecoveriesByMethod = dict[tuple[str, str], list[FrontRecovery]]
"""Of a problem and a method: what each seed found."""


def median_and_band(rows: Sequence[Sequence[float]]) -> tuple[Any, Any, Any]:
    """Return the median and the ends of the band, as far as all rows go."""
    length = min(map(len, rows))
    table = np.array([row[:length] for row in rows])
    low, middle, high = np.quantile(table, [BAND_QUANTILES[0], 0.5, BAND_QUANTILES[1]], axis=0)
    return middle, low, high


def plot_recovery(recoveries: RecoveriesByMethod, out: Path) -> None:
    """Draw two panels for each problem, `fronts.png`.

    What is missing of the hypervolume, on a logarithmic axis, and the share of the true
    front that was found; where there is no truth, the share of what all found together.
    Lines are medians, bands go from the 10th to the 90th percentile.

    Raises:
        LogError: it cannot be written.
    """
    screens = list(dict.fromkeys(screen for screen, _ in recoveries))
    true = {
        screen
        for screen in screens
        if all(one.recall for (s, _), each in recoveries.items() if s == screen for one in each)
    }
    wanted = [
        (s, kind) for s in screens for kind in (ENUMERATED_PANELS if s in true else RELATIVE_PANELS)
    ]
    titles = [
        f"{screen}, {'front' if kind == RECALL_LABEL else 'volume'}" for screen, kind in wanted
    ]
    methods = list(dict.fromkeys(m for _, m in recoveries if m not in BASELINE_COLORS))
    with bench_panels(titles, out / FRONTS_PNG) as found:
        for (screen, kind), axes in zip(wanted, found, strict=True):
            for (own, method), each in recoveries.items():
                if own == screen:
                    _draw_method(axes, method, methods, each, kind)
            axes.set_xlabel("evaluations")
            axes.set_ylabel(kind)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1)
            if kind == MISSING_LABEL:
                axes.set_yscale("log")
                axes.set_ylim(MISSING_TICKS[-1], 1)
                axes.set_yticks(MISSING_TICKS, [f"{100 * share:g} %" for share in MISSING_TICKS])
                axes.minorticks_off()


def _draw_method(
    axes: Any,  # noqa: ANN401 - matplotlib
    method: str,
    methods: list[str],
    recoveries: Sequence[FrontRecovery],
    quantity: str,
) -> None:
    rows = [found.recall if quantity == RECALL_LABEL else found.hypervolume for found in recoveries]
    middle, low, high = median_and_band(rows)
    if quantity == MISSING_LABEL:
        middle, low, high = (
            np.clip(1 - part, MISSING_TICKS[-1] / 2, None) for part in (middle, high, low)
        )
    own = method in methods
    colour = COLORS[methods.index(method) % len(COLORS)] if own else BASELINE_COLORS[method]
    at = np.arange(1, len(middle) + 1)
    axes.plot(at, middle, "-" if own else ":", color=colour, label=method)
    axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)

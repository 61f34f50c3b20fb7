"""Pictures of fronts: hypervolume and recall against evaluations, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bostruct.bench.multi_objective.front_recovery import Found
from bostruct.plotting import COLORS, panels

FRONTS = "fronts.png"

BAND = (0.1, 0.9)
"""Quantiles over the seeds."""

GREYS = {"random": "#777777", "genetic": "#444444"}
"""Of what a campaign is compared with, which is dotted."""

MISSING = (1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
"""What may be left of the hypervolume: the labels of its axis."""

MISSES, RECALL, SHARE = "hypervolume missing", "share found", "hypervolume found"
KINDS, OPEN = (MISSES, RECALL), (SHARE,)
"""Panels of a problem whose front is known, and of another."""

Curves = dict[tuple[str, str], list[Found]]
"""Of a problem and a method: what each seed found."""


def quantiles(rows: Sequence[Sequence[float]]) -> tuple[Any, Any, Any]:
    """Return the median and the ends of the band, as far as all rows go."""
    length = min(map(len, rows))
    table = np.array([row[:length] for row in rows])
    low, middle, high = np.quantile(table, [BAND[0], 0.5, BAND[1]], axis=0)
    return middle, low, high


def draw(curves: Curves, out: Path) -> None:
    """Draw two panels for each problem, `fronts.png`.

    What is missing of the hypervolume, on a logarithmic axis, and the share of the true
    front that was found; where there is no truth, the share of what all found together.
    Lines are medians, bands go from the 10th to the 90th percentile.

    Raises:
        LogError: it cannot be written.
    """
    screens = list(dict.fromkeys(screen for screen, _ in curves))
    true = {
        screen
        for screen in screens
        if all(
            one.recall for (s, _), each in curves.items() if s == screen for one in each
        )
    }
    wanted = [(s, kind) for s in screens for kind in (KINDS if s in true else OPEN)]
    titles = [
        f"{screen}, {'front' if kind == RECALL else 'volume'}"
        for screen, kind in wanted
    ]
    methods = list(dict.fromkeys(m for _, m in curves if m not in GREYS))
    with panels(titles, out / FRONTS) as found:
        for (screen, kind), axes in zip(wanted, found, strict=True):
            for (own, method), each in curves.items():
                if own == screen:
                    _line(axes, method, methods, each, kind)
            axes.set_xlabel("evaluations")
            axes.set_ylabel(kind)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1)
            if kind == MISSES:
                axes.set_yscale("log")
                axes.set_ylim(MISSING[-1], 1)
                axes.set_yticks(MISSING, [f"{100 * share:g} %" for share in MISSING])
                axes.minorticks_off()


def _line(
    axes: Any,  # noqa: ANN401 - matplotlib
    method: str,
    methods: list[str],
    each: Sequence[Found],
    kind: str,
) -> None:
    rows = [found.recall if kind == RECALL else found.volume for found in each]
    middle, low, high = quantiles(rows)
    if kind == MISSES:
        middle, low, high = (
            np.clip(1 - part, MISSING[-1] / 2, None) for part in (middle, high, low)
        )
    own = method in methods
    colour = COLORS[methods.index(method) % len(COLORS)] if own else GREYS[method]
    at = np.arange(1, len(middle) + 1)
    axes.plot(at, middle, "-" if own else ":", color=colour, label=method)
    axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)

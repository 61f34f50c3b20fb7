"""Figure of the calibration of the predictions of a campaign.

Coverage against probability: the fraction of the results inside the central interval of each
probability, with Wilson's 95 % intervals; on the diagonal σ is right. And the errors in units of
their σ in the order of the evaluations, which tell when it was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct import plotting
from bostruct.campaign.analysis.calibration import wilson_interval
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.report.html.progress_figure import set_evaluation_axis
from bostruct.campaign.report.html.report_figure import (
    INK,
    MUTED,
    Marks,
    ReportFigure,
    clamped,
)

LEVELS = tuple(i / 20 for i in range(1, 20))
"""Probabilities of the intervals that are counted."""

MAX_Z = 4.5
"""Errors beyond are drawn at this many σ."""


def calibration_figure(
    predictions: Mapping[str, Sequence[LoggedPrediction]],
) -> ReportFigure | None:
    """Return the figure of logged predictions by the label of the quantity; None without any."""
    from scipy.stats import norm

    tested = [p for logged in predictions.values() for p in logged if p.energy is not None]
    tested = [p for p in tested if p.prediction.calibrated_sigma]
    if not tested:
        return None
    z = [_calibrated_z(p) for p in tested]
    n = len(z)
    counts = [sum(abs(score) <= norm.ppf(0.5 + level / 2) for score in z) for level in LEVELS]
    intervals = [wilson_interval(count, n) for count in counts]

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
        left.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        low, high = zip(*intervals, strict=True)
        left.fill_between(LEVELS, low, high, color=plotting.BLUE, alpha=0.18, linewidth=0)
        left.plot(LEVELS, [count / n for count in counts], color=plotting.BLUE)
        left.set_xlim(0, 1)
        left.set_ylim(0, 1)
        left.set_aspect("equal")
        left.set_xlabel("probability of the interval")
        left.set_ylabel("fraction of results inside")
        for level, look in ((1, (0, (4, 3))), (2, (0, (1, 2)))):
            for sign in (-1, 1):
                right.axhline(sign * level, color=MUTED, linewidth=0.6, linestyle=look)
        right.axhline(0, color=MUTED, linewidth=0.8)
        right.scatter(
            range(1, n + 1),
            clamped(z, (-MAX_Z, MAX_Z)),
            s=11,
            color=INK,
            linewidth=0,
            zorder=3,
            gid="calibration-z",
        )
        right.set_ylim(-MAX_Z - 0.4, MAX_Z + 0.4)
        set_evaluation_axis(right, "prediction, in order")
        right.set_ylabel("(true − predicted) / σ")
        return {"calibration-z": [p.trial for p in tested]}

    inside = sum(abs(score) <= 1 for score in z)
    return ReportFigure(
        name="calibration",
        title="Calibration",
        caption=(
            f"Left: how often results fell into the intervals of what was predicted before, with "
            f"95 % intervals; on the diagonal σ is right. Right: errors in units of σ. σ is "
            f"calibrated by the results before; {inside} of {n} are within ± 1σ (68 % expected)."
        ),
        alt=f"Coverage of intervals against their probability, and {n} errors in units of σ.",
        columns=("probability", "inside", "of", "low", "high"),
        rows=tuple(
            (level, count, n, *interval)
            for level, count, interval in zip(LEVELS, counts, intervals, strict=True)
        ),
        draw=draw,
        size=(5.2, 2.7),
    )


def _calibrated_z(logged: LoggedPrediction) -> float:
    assert logged.energy is not None
    return (logged.energy - logged.prediction.mean) / logged.prediction.calibrated_sigma

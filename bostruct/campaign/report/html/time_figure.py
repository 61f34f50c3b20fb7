"""Figure of the wall time of a campaign: fit, search, evaluation and log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct import plotting
from bostruct.campaign.records import Step
from bostruct.campaign.report.html.progress_figure import set_evaluation_axis
from bostruct.campaign.report.html.report_figure import Marks, ReportFigure
from bostruct.campaign.report.html.report_trials import ReportTrials

PART_COLORS = {
    "evaluate": plotting.ORANGE,
    "search": plotting.BLUE,
    "fit": plotting.GREEN,
    "log": plotting.SKY_BLUE,
}


def time_figure(
    report: ReportTrials, steps: Sequence[Step], totals: Mapping[str, float]
) -> ReportFigure | None:
    """Return the figure of wall times by step; None where nothing took any.

    Args:
        report: Trials of the campaign.
        steps: Steps of the campaign.
        totals: Total wall times by part, s.
    """
    if not steps or not any(totals.values()):
        return None
    evaluate = {step.number: 0.0 for step in steps}
    for trial in report.trials:
        if trial.step in evaluate:
            evaluate[trial.step] += trial.seconds
    rows = [
        (s.number, evaluate[s.number], *(s.seconds[part] for part in ("search", "fit", "log")))
        for s in steps
    ]

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        upper, lower = figure.subplots(2, 1, height_ratios=[1, 1.5])
        parts = list(PART_COLORS)[::-1]
        seconds = [totals.get(part, 0.0) for part in parts]
        upper.barh(parts, seconds, color=[PART_COLORS[part] for part in parts], height=0.65)
        for i, value in enumerate(seconds):
            upper.annotate(
                duration_text(value),
                (value, i),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        upper.set_xlim(0, max(seconds) * 1.22)
        upper.set_xticks([])
        upper.spines["bottom"].set_visible(False)
        upper.tick_params(axis="y", length=0)
        numbers = [row[0] for row in rows]
        for i, part in enumerate(PART_COLORS, 1):
            values = [row[i] if row[i] > 0 else float("nan") for row in rows]
            if any(value == value for value in values):
                lower.plot(numbers, values, ".-", color=PART_COLORS[part], linewidth=0.9)
        lower.set_yscale("log")
        lower.set_ylabel("s per step")
        set_evaluation_axis(lower, "step")
        return {}

    shares = ", ".join(f"{part} {duration_text(totals.get(part, 0.0))}" for part in PART_COLORS)
    return ReportFigure(
        name="time",
        title="Where the time went",
        caption=(
            "Wall time in total, and for each step. The times of what ran side by side are added."
        ),
        alt=f"Wall time: {shares}.",
        columns=("step", "evaluate (s)", "search (s)", "fit (s)", "log (s)"),
        rows=tuple(rows),
        draw=draw,
        size=(4.8, 3.3),
    )


def duration_text(seconds: float) -> str:
    """Return a duration for people.

    >>> duration_text(0.042), duration_text(93.0), duration_text(7300.0), duration_text(2.6e5)
    ('0.042 s', '93 s', '2.0 h', '3.0 d')
    """
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.1f} d"
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"

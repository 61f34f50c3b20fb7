"""Figure of predicted against true values: each prediction is from before its evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct import plotting
from bostruct.campaign.analysis.predictions import LoggedPrediction
from bostruct.campaign.report.html.report_figure import (
    MUTED,
    Marks,
    ReportFigure,
    clamped,
    robust_limits,
)

MAX_LABEL_CHARACTERS = 36
"""Characters in a line of the label of an axis."""


def parity_figure(
    predictions: Mapping[str, Sequence[LoggedPrediction]], origin: float = 0.0
) -> ReportFigure | None:
    """Return the figure of predictions by the label of the quantity; None without any.

    Args:
        predictions: Logged predictions by label, those without a result are left out.
        origin: Value that is subtracted in the drawing, so that its axes have short numbers.
    """
    known = {
        label: tested
        for label, logged in predictions.items()
        if (tested := [each for each in logged if each.energy is not None])
    }
    if not known:
        return None

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        panels = figure.subplots(1, len(known), squeeze=False)[0]
        marks = {}
        for i, (axes, (label, tested)) in enumerate(zip(panels, known.items(), strict=True)):
            gid = f"parity-{i}"
            _draw_panel(axes, label, tested, gid, origin)
            marks[gid] = [each.trial for each in tested]
        panels[0].set_ylabel("predicted")
        return marks

    n = sum(map(len, known.values()))
    return ReportFigure(
        name="parity",
        title="Predicted against true",
        caption=(
            "Predictions before the evaluation, with one calibrated σ to both sides. Points on "
            "the line were predicted exactly; those beyond the frame are drawn on its edge."
        ),
        alt=f"{n} predicted values against the evaluated ones, with error bars of one σ.",
        columns=("quantity", "trial", "true", "predicted", "σ"),
        rows=tuple(
            (label, p.trial, p.energy, p.prediction.mean, p.prediction.calibrated_sigma)
            for label, tested in known.items()
            for p in tested
        ),
        draw=draw,
        size=(4.8 if len(known) == 1 else 2.5 * len(known), 3.3 if len(known) == 1 else 2.8),
    )


def _draw_panel(
    axes: Any,  # noqa: ANN401 - matplotlib
    label: str,
    tested: Sequence[LoggedPrediction],
    gid: str,
    origin: float,
) -> None:
    true = [(each.energy or 0.0) - origin for each in tested]
    means = [each.prediction.mean - origin for each in tested]
    limits = robust_limits([*true, *means])
    x, y = clamped(true, limits), clamped(means, limits)
    axes.plot(limits, limits, color=MUTED, linewidth=0.8, zorder=1)
    axes.errorbar(
        x,
        y,
        yerr=[p.prediction.calibrated_sigma for p in tested],
        fmt="none",
        ecolor=plotting.BLUE,
        alpha=0.4,
        elinewidth=1.2,
    )
    axes.scatter(x, y, s=13, color=plotting.BLUE, linewidth=0, zorder=3, gid=gid)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.set_xlabel(plotting.wrap_label(f"true {label}", MAX_LABEL_CHARACTERS))
    plotting.set_linear_ticks(axes.xaxis, 4)
    plotting.set_linear_ticks(axes.yaxis, 4)

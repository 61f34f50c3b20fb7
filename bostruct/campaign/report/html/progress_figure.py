"""Figure of the progress of a campaign: energies and their σ, or hypervolumes, by evaluation."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from bostruct import plotting
from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.report.html.report_figure import (
    INK,
    MUTED,
    Marks,
    ReportFigure,
    clamped,
    robust_limits,
)
from bostruct.campaign.report.html.report_trials import ReportTrial, ReportTrials


def energy_progress_figure(report: ReportTrials) -> ReportFigure | None:
    """Return the figure of energies and σ by evaluation; None without an energy."""
    known = [t for t in report.trials if t.value is not None and t.evaluation is not None]
    if not known:
        return None
    origin = report.origin
    values = [_value(trial) - origin for trial in known]
    lowest = list(accumulate(values, min))
    best = known[values.index(lowest[-1])]
    predicted = [t for t in known if t.mean is not None and t.sigma]
    is_energy = report.quantity == "energy (eV)"
    error_bars = predicted if is_energy else []
    by_model = [_value(trial) - origin for trial in predicted]
    limits = robust_limits([*(by_model or values), lowest[-1], lowest[-1]])

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        panels = figure.subplots(
            2 if predicted else 1,
            1,
            sharex=True,
            squeeze=False,
            height_ratios=[2.4, 1][: 1 + bool(predicted)],
        )
        axes = panels[0][0]
        if error_bars:
            axes.errorbar(
                [t.evaluation for t in error_bars],
                [(t.mean or 0.0) - origin for t in error_bars],
                yerr=[2 * (t.sigma or 0.0) for t in error_bars],
                fmt="none",
                ecolor=plotting.BLUE,
                alpha=0.35,
                elinewidth=2.4,
                label="predicted before, ± 2σ",
            )
        x = [t.evaluation for t in known]
        axes.step(x, lowest, where="post", color=MUTED, linewidth=1.0, label="lowest so far")
        axes.scatter(
            x,
            clamped(values, limits),
            s=13,
            color=INK,
            linewidth=0,
            zorder=3,
            gid="progress-value",
            label="evaluated",
        )
        axes.set_ylim(*limits)
        axes.set_ylabel(plotting.wrap_label(report.relative_quantity))
        marks = {"progress-value": [t.number for t in known]}
        if predicted:
            below = panels[1][0]
            below.scatter(
                [t.evaluation for t in predicted],
                [t.sigma for t in predicted],
                s=11,
                color=plotting.BLUE,
                linewidth=0,
                gid="progress-sigma",
            )
            below.set_yscale("log")
            plotting.set_log_ticks(below.yaxis)
            below.set_ylabel("σ (eV)")
            marks["progress-sigma"] = [t.number for t in predicted]
        set_evaluation_axis(panels[-1][0])
        return marks

    caption = "Points beyond the frame are drawn on its edge."
    if "hull" in report.quantity:
        caption = f"The hull is that of all results. {caption}"
    if error_bars:
        caption = (
            "Bars: what the surrogate predicted before the evaluation, ± 2σ, calibrated by the "
            f"results known then. Below: that σ. {caption}"
        )
    return ReportFigure(
        name="progress",
        title=f"{report.quantity.split(' (')[0].capitalize()} against evaluations",
        caption=caption,
        alt=(
            f"{report.quantity} of {len(known)} evaluations; the lowest, "
            f"{lowest[-1] + origin:.6g}, was found at evaluation {best.evaluation}."
        ),
        columns=(
            "evaluation",
            "trial",
            report.quantity,
            "lowest so far",
            "predicted (eV)",
            "σ (eV)",
        ),
        rows=tuple(
            (t.evaluation, t.number, t.value, low + origin, t.mean, t.sigma)
            for t, low in zip(known, lowest, strict=True)
        ),
        draw=draw,
        size=(4.8, 3.6 if predicted else 3.0),
    )


def hypervolume_progress_figure(front: ParetoFront) -> ReportFigure | None:
    """Return the figure of hypervolume and front size by evaluation; None without any."""
    history = front.history
    if not len(history):
        return None
    counts = range(1, len(history) + 1)

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
        upper.step(counts, history.hypervolume, where="post", color=plotting.VERMILION)
        upper.set_ylabel("hypervolume")
        lower.step(
            counts, history.n_front, where="post", color=plotting.VERMILION, label="on the front"
        )
        lower.step(
            counts,
            history.n_feasible,
            where="post",
            color=plotting.BLUE,
            linewidth=0.9,
            label="feasible",
        )
        lower.set_ylabel("structures")
        for axes in (upper, lower):
            axes.set_ylim(bottom=0)
        set_evaluation_axis(lower)
        return {}

    return ReportFigure(
        name="progress",
        title="Hypervolume against evaluations",
        caption="The hypervolume that the front dominates, all under one reference point.",
        alt=(
            f"Hypervolume after each of {len(history)} evaluations, {history.hypervolume[-1]:.6g} "
            f"at the end, with {history.n_front[-1]} structures on the front."
        ),
        columns=("evaluation", "hypervolume", "on the front", "feasible"),
        rows=tuple(
            zip(counts, history.hypervolume, history.n_front, history.n_feasible, strict=True)
        ),
        draw=draw,
        size=(4.8, 3.4),
    )


def set_evaluation_axis(axes: Any, label: str = "evaluation") -> None:  # noqa: ANN401 - matplotlib
    """Label an x axis of whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=plotting.TICK_STEPS))


def _value(trial: ReportTrial) -> float:
    assert trial.value is not None
    return trial.value

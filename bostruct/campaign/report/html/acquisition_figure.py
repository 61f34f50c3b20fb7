"""Figure of the acquisition of the candidates of each step: those chosen and those rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from bostruct import plotting
from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.html.progress_figure import set_evaluation_axis
from bostruct.campaign.report.html.report_figure import (
    MUTED,
    Marks,
    ReportFigure,
    clamped,
    robust_limits,
)
from bostruct.campaign.report.html.report_trials import ReportTrials
from bostruct.errors import LogError

MAX_MARKS = 1500
"""Largest number of rejected candidates that are drawn."""

MIN_PER_STEP = 4
"""Number of rejected candidates of a step that are drawn however many steps there are."""


@final
@dataclass(frozen=True)
class StepAcquisition:
    """Acquisition values of the candidates of one step.

    Attributes:
        step: Number of the step.
        n_candidates: Number of candidates.
        rejected: Values of those that were not chosen, largest first; of many some, evenly by rank
            from the first to the last.
    """

    step: int
    n_candidates: int
    rejected: tuple[float, ...]


def read_acquisitions(log: Log, report: ReportTrials) -> list[StepAcquisition]:
    """Return the acquisition values of each step with a surrogate; damaged files are left out.

    Args:
        log: Log of the campaign.
        report: Trials that were read before, so that later steps are left out.
    """
    from_model = {t.step for t in report.trials if t.acquisition is not None}
    most = _marks_per_step(len(from_model))
    found = []
    for step in log.steps():
        if not step.file or step.number not in from_model:
            continue
        with suppress(LogError):
            tensors = log.posterior_tensors(step.number)
            values = tensors["candidates.acquisition"]
            is_rejected = ~values.isnan()
            is_rejected[tensors["chosen.index"]] = False
            rejected = values[is_rejected].sort(descending=True).values.tolist()
            found.append(StepAcquisition(step.number, len(values), tuple(_thinned(rejected, most))))
    return found


def acquisition_figure(
    report: ReportTrials, acquisitions: Sequence[StepAcquisition], name: str
) -> ReportFigure | None:
    """Return the figure of acquisition values by step; None where no model chose anything.

    Args:
        report: Trials of the campaign.
        acquisitions: Values of the candidates of each step.
        name: Name of the acquisition function.
    """
    chosen = [t for t in report.trials if t.acquisition is not None]
    if not chosen:
        return None
    by_step: Mapping[int, StepAcquisition] = {each.step: each for each in acquisitions}
    steps = sorted({trial.step for trial in chosen})
    most = _marks_per_step(len(steps))
    rejected = [(each.step, v) for each in acquisitions for v in _thinned(each.rejected, most)]
    best_rejected = [each.rejected[0] for each in acquisitions if each.rejected]
    values = [t.acquisition or 0.0 for t in chosen]
    limits = robust_limits([*values, *best_rejected, *(v for _, v in rejected)])

    def draw(figure: Any) -> Marks:  # noqa: ANN401 - matplotlib
        axes = figure.subplots()
        if rejected:
            x, y = zip(*rejected, strict=True)
            axes.scatter(
                x, clamped(y, limits), s=5, color=MUTED, alpha=0.6, linewidth=0, label="rejected"
            )
        axes.scatter(
            [t.step for t in chosen],
            clamped(values, limits),
            s=15,
            color=plotting.VERMILION,
            linewidth=0,
            zorder=3,
            label="chosen",
            gid="acquisition-chosen",
        )
        axes.set_ylim(*limits)
        axes.set_ylabel("acquisition")
        set_evaluation_axis(axes, "step")
        return {"acquisition-chosen": [t.number for t in chosen]}

    return ReportFigure(
        name="acquisition",
        title="Acquisition of chosen and rejected candidates",
        caption=(
            f"{name}: larger is better. A candidate above the chosen one was a duplicate of "
            f"something evaluated, or broken. Of many, {most} a step are drawn, evenly by rank; "
            "those beyond the frame on its edge."
        ),
        alt=f"Acquisition values of {len(chosen)} chosen structures and of rejected candidates.",
        columns=("step", "trial", "acquisition", "candidates", "best rejected"),
        rows=tuple(
            (
                t.step,
                t.number,
                t.acquisition,
                by_step[t.step].n_candidates if t.step in by_step else None,
                by_step[t.step].rejected[0]
                if t.step in by_step and by_step[t.step].rejected
                else None,
            )
            for t in chosen
        ),
        draw=draw,
    )


def _marks_per_step(n_steps: int) -> int:
    """Return the largest number of rejected candidates of a step that are drawn."""
    return max(MIN_PER_STEP, MAX_MARKS // max(n_steps, 1))


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """Return at most so many of some values, evenly by rank."""
    n = len(values)
    if n <= most:
        return list(values)
    return [values[i * (n - 1) // (most - 1)] for i in range(most)]

"""Pareto front of a campaign as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bostruct.campaign.analysis.outcome_table import QuarantinedValue
from bostruct.campaign.analysis.pareto_front import EvaluatedPoint, ParetoFront
from bostruct.campaign.member_names import trial_label
from bostruct.campaign.report.calibration_summary import CalibrationSummary
from bostruct.campaign.report.labels import format_number, format_objective, split_unit
from bostruct.campaign.report.pareto_summary import FrontStructure, ParetoSummary
from bostruct.campaign.report.summary import StepSummary, TrialSummary
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.objectives import OptimizationConfig
from bostruct.runtime.control_characters import visible_text

MAX_FRONT_ROWS = 12
"""Number of structures of the front in the table of a summary."""

HULL_NOTE = "(above the hull of all that was evaluated so far, the elements at 0)"

ERROR_NOTE = "(error of the prediction in calibrated σ; * is exact)"


def final_lines(summary: ParetoSummary, n_evaluations: int, n_failed: int) -> list[str]:
    """Return the result of a run, one sentence a line."""
    counts = f"{n_evaluations} evaluations ({n_failed} failed)"
    size = len(summary.structures)
    if not size:
        return [f"No structure on the front in {counts}."]
    front = "1 structure" if size == 1 else f"{size} structures"
    lines = [f"Front of {front} by {counts}, hypervolume {format_number(summary.hypervolume)}."]
    if summary.quarantined:
        lines.append(f"Not trusted: {_quarantine_counts(summary.quarantined)}.")
    return lines


def header_lines(
    summary: ParetoSummary, n_evaluations: int, names: Mapping[int, str]
) -> list[tuple[str, str]]:
    """Return label and text of each line on objectives, front and calibration."""
    lines = _front_lines(summary, f"{len(summary.structures)} structures")
    if summary.feasible_fraction is not None:
        counts = f"{summary.n_feasible} of {n_evaluations}"
        lines.append(("feasible", f"{counts} ({summary.feasible_fraction:.0%})"))
    lines += _quarantine_lines(summary.quarantined, names)
    for name, calibration in summary.calibration.items():
        label = split_unit(name)[0]
        lines.append(("calibration", f"{label}: {_calibration_text(calibration)}"))
        if calibration.stated_text:
            lines.append(("stated", f"{label}: {calibration.stated_text}"))
    return lines


def table_lines(
    summary: ParetoSummary, steps: Sequence[StepSummary], names: Mapping[int, str], folder: str
) -> list[str]:
    """Return the front and the last steps as tables."""
    config, structures = summary.optimization_config, summary.structures
    lines: list[str] = []
    if structures:
        lines += ["", *format_front_table(config, structures[:MAX_FRONT_ROWS])]
        if len(structures) > MAX_FRONT_ROWS:
            lines.append(f"and {len(structures) - MAX_FRONT_ROWS} more: bostruct front {folder}")
        lines += _table_notes(structures)
    rows = [
        row
        for step in steps
        for trial in step.trials
        for row in _trial_rows(config, step.step, trial, names)
    ]
    titles = (
        "step",
        "trial",
        *(["name"] if names else []),
        "outcome",
        "predicted",
        "calibrated",
        "result",
        "error/σ",
    )
    return [*lines, "", *align_columns([titles, *rows])]


def front_lines(
    front: ParetoFront, formulas: Mapping[int, str], e_above_hull: Mapping[int, float]
) -> list[str]:
    """Return a complete front as text.

    Args:
        front: Pareto front of a log.
        formulas: Chemical formulas by trial.
        e_above_hull: Energies above the hull by trial, eV/atom; empty where unknown.
    """
    summary = ParetoSummary.from_front(front, formulas, e_above_hull)
    counts = f"{len(summary.structures)} structures by {len(front.history)} evaluations"
    header = _front_lines(summary, f"{counts}, {summary.n_feasible} of them feasible")
    names = {p.trial: p.name for p in front.evaluated if p.name}
    header += _quarantine_lines(summary.quarantined, names)
    lines = [f"{name:<11}  {text}" for name, text in header]
    if summary.structures:
        lines += ["", *format_front_table(summary.optimization_config, summary.structures)]
        lines += _table_notes(summary.structures)
    return list(map(visible_text, lines))


def _front_lines(summary: ParetoSummary, counts: str) -> list[tuple[str, str]]:
    """Return objectives, constraints, the counts of the front, and its hypervolume."""
    config = summary.optimization_config
    lines = [("objectives", format_objective(objective)) for objective in config.objectives]
    lines += [("constraints", format_objective(constraint)) for constraint in config.constraints]
    lines.append(("front", counts))
    if not summary.reference_point:
        return lines
    point = ", ".join(
        f"{split_unit(name)[0]} {format_number(value)}"
        for name, value in summary.reference_point.items()
    )
    sources = {"step": "of the last step", "data": "from the data", "user": "given"}
    lines.append(("hypervolume", format_number(summary.hypervolume)))
    return [*lines, ("reference", f"{point} ({sources[summary.reference_source]})")]


def format_front_table(
    optimization_config: OptimizationConfig, structures: Sequence[FrontStructure]
) -> list[str]:
    """Return the structures of a front, at least one, as a table; `*` marks exact outcomes.

    Behind a value that had been predicted stands the error in σ; the last column is the energy
    above the hull, where it is known.
    """
    has_hull = _has_hull(structures)
    has_names = any(s.point.name not in ("", s.formula) for s in structures)
    titles = ["trial", "formula", *(["name"] if has_names else [])]
    for name in optimization_config.outcome_names:
        title, unit = split_unit(name, optimization_config.units[name])
        titles.append(f"{title}, {unit}" if unit else title)
    rows = [
        [
            str(structure.point.trial),
            structure.formula,
            *([structure.point.name] if has_names else []),
            *(
                _format_outcome(optimization_config, name, structure.point)
                for name in optimization_config.outcome_names
            ),
            *([format_number(structure.energy_above_hull)] if has_hull else []),
        ]
        for structure in structures
    ]
    hull_title = [", ".join(split_unit(ENERGY_ABOVE_HULL))] if has_hull else []
    return align_columns([titles + hull_title, *rows])


def _has_hull(structures: Sequence[FrontStructure]) -> bool:
    return any(structure.energy_above_hull is not None for structure in structures)


def _table_notes(structures: Sequence[FrontStructure]) -> list[str]:
    return [ERROR_NOTE, HULL_NOTE] if _has_hull(structures) else [ERROR_NOTE]


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns of equal width, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{text:<{n}}" for text, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _format_outcome(
    optimization_config: OptimizationConfig, name: str, point: EvaluatedPoint
) -> str:
    value, prediction = point.raw_outcomes[name], point.predictions.get(name)
    text = format_number(value)
    if name in point.exact_names:
        return f"{text}*"
    if value is None or prediction is None or not prediction.calibrated_sigma:
        return text
    error = optimization_config.transform(name, value) - prediction.mean
    return f"{text} ({error / prediction.calibrated_sigma:+.1f}σ)"


def _quarantine_counts(quarantined: Sequence[QuarantinedValue]) -> str:
    n_trials = sum(value.name == "all" for value in quarantined)
    n_doubted = sum(value.name == "doubted" for value in quarantined)
    n_values = len(quarantined) - n_trials - n_doubted
    parts = []
    if n_values:
        parts.append(f"{n_values} value{'s' * (n_values > 1)} in quarantine")
    if n_trials:
        parts.append(f"{n_trials} trial{'s' * (n_trials > 1)} retracted")
    if n_doubted:
        parts.append(f"{n_doubted} trial{'s' * (n_doubted > 1)} doubted")
    return " and ".join(parts)


def _quarantine_lines(
    quarantined: Sequence[QuarantinedValue], names: Mapping[int, str]
) -> list[tuple[str, str]]:
    """Return the counts, and the last of the values that are not trusted, a sentence each."""
    if not quarantined:
        return []
    lines = [("not trusted", _quarantine_counts(quarantined))]
    for value in quarantined[-5:]:
        outcome = "retracted" if value.name == "all" else split_unit(value.name)[0]
        lines.append(("", f"{trial_label(value.trial, names)}, {outcome}: {value.reason}"))
    return lines


def _calibration_text(calibration: CalibrationSummary) -> str:
    if not calibration.n_predictions:
        return "no prediction was tested yet"
    text = calibration.factor_text
    if calibration.alpha_interval is None:
        text += f", {calibration.n_predictions} tested"
    if calibration.n_intervals:
        text += f"; {calibration.n_covered} of {calibration.n_intervals} intervals of 90 % covered"
        text += " the outcome"
    return text


def _trial_rows(
    optimization_config: OptimizationConfig,
    step: int,
    trial: TrialSummary,
    names: Mapping[int, str],
) -> list[tuple[str, ...]]:
    """Return a row for each outcome of a trial."""
    rows: list[tuple[str, ...]] = []
    name_cells = (names.get(trial.trial, ""),) if names else ()
    first = (str(step), str(trial.trial), *name_cells)
    blank = ("",) * len(first)
    for name, outcome in trial.outcomes.items():
        title = split_unit(name)[0]
        title = f"log10 {title}" if name in optimization_config.log_outcomes else title
        result = trial.state if outcome.value is None else format_number(outcome.value)
        if outcome.value is None and trial.state == "done":
            result = "doubted" if trial.doubt else "in quarantine"
        predicted, calibrated, error = "-", "-", "-"
        prediction = outcome.prediction
        if outcome.is_exact:
            predicted = "exact"
        elif prediction is not None:
            predicted = f"{format_number(prediction.mean)} ± {format_number(prediction.sigma)}"
            calibrated = f"± {format_number(prediction.calibrated_sigma)}"
            if outcome.value is not None and prediction.sigma:
                error = f"{(outcome.value - prediction.mean) / prediction.sigma:+.2f}"
        rows.append((*first, title, predicted, calibrated, result, error))
        first = blank
    if trial.reason:
        rows.append((*blank, trial.reason, "", "", "", ""))
    return rows

"""Summary of a campaign as plain text for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from bostruct.campaign.analysis.calibration import CalibratedPrediction
from bostruct.campaign.member_names import trial_label
from bostruct.campaign.records import RelaxationReport
from bostruct.campaign.report import hull_text, pareto_text
from bostruct.campaign.report.assessment import Assessment
from bostruct.campaign.report.calibration_summary import CalibrationSummary
from bostruct.campaign.report.summary import (
    BestEvaluation,
    CampaignSummary,
    EnergySummary,
    FinalRelaxationSummary,
    TrialSummary,
)
from bostruct.runtime.control_characters import visible_text


def final_text(summary: CampaignSummary) -> str:
    """Return the text at the end of a run: the best result, and where to find it."""
    lines, out, folder = [], "front.extxyz", _shown_path(summary.folder)
    if summary.pareto is not None:
        lines += pareto_text.final_lines(summary.pareto, summary.n_evaluations, summary.n_failed)
    if summary.energy is not None:
        out = "best.extxyz"
        lines.append(_best_text(summary, summary.energy.best))
        lines += [f"Hull: {line}." for line in _hull_lines(summary.energy)]
        relaxations = _relaxation_lines(summary.energy.final_relaxation)
        lines += [f"Final relaxation: {line}." for line in relaxations]
    if summary.doubted:
        n = len(summary.doubted)
        lines.append(f"Doubted: {n} result{'s' * (n > 1)}, see `bostruct show {folder}`.")
    lines += [f"Warning: {sentence}" for sentence in summary.diagnoses]
    failures = [f"{line}." for line in _reason_lines(summary, summary.last_failures)]
    has_results = summary.n_evaluations + summary.n_initial_data > summary.n_failed
    lines += [f"Ended by {summary.reason}."]
    if not has_results:
        lines += failures
    if summary.n_failed:
        lines.append(f"Failed ones are evaluated again by: bostruct retry {folder}")
    lines += [f"Results are in {folder}", f"  bostruct show {folder}"]
    if has_results:
        lines.append(f"  bostruct export {folder} {out}")
    if has_results and summary.pareto is not None:
        lines.append(f"  bostruct front {folder} --out {folder}/front")
    if "network file system" in str(summary.journal):
        lines.append(f"Journal {summary.journal}.")
    return "\n".join(map(visible_text, lines))


def _best_text(summary: CampaignSummary, best: BestEvaluation | None) -> str:
    """Return the sentence on the lowest energy at the end of a run."""
    if best is None:
        return f"No energy in {summary.n_evaluations} evaluations."
    counts = f"{summary.n_evaluations} ({summary.n_failed} failed)"
    text = f"Best {_value_text(best)}{_name_text(best, summary.names)}, "
    if best.evaluation is None:
        return f"{text}given; {counts} evaluations."
    return f"{text}evaluation {best.evaluation} of {counts}, step {best.step}."


def _value_text(best: BestEvaluation) -> str:
    """Return the quantity that is minimized by name, with its value."""
    if best.energy_above_hull is not None:
        return f"{best.value:.4f} eV/atom above the hull"
    name = "energy" if best.enthalpy is None else "enthalpy"
    return f"{name} {best.value:.6f} eV"


def _best_value(best: BestEvaluation) -> str:
    """Return the energy of the best structure, after its enthalpy under a pressure."""
    energy = f"{best.energy:.6f} eV"
    if best.energy_above_hull is not None:
        return f"{best.energy_above_hull:.4f} eV/atom above the hull, energy {energy}"
    return energy if best.enthalpy is None else f"enthalpy {best.enthalpy:.6f} eV, energy {energy}"


def summary_text(summary: CampaignSummary) -> str:
    """Return the state and the results of a campaign."""
    reason = f", {summary.reason}" if summary.reason else ""
    refused = summary.n_initial_data_refused
    initial_data = f"; {summary.n_initial_data} given" if summary.n_initial_data or refused else ""
    initial_data += f" ({refused} refused)" if refused else ""
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in summary.seconds.items())
    lines = [
        f"folder       {_shown_path(summary.folder)}",
        f"status       {summary.status}{reason}",
        f"seed         {summary.seed}",
        f"evaluations  {summary.n_evaluations}, {summary.n_failed} failed, "
        f"{summary.n_pending} pending{initial_data}",
    ]
    lines += _labeled_lines("failed", _reason_lines(summary, summary.last_failures))
    tables: list[str] = []
    if summary.pareto is not None:
        header = pareto_text.header_lines(summary.pareto, summary.n_evaluations, summary.names)
        lines += [f"{name:<11}  {text}" for name, text in header]
        folder = _shown_path(summary.folder)
        tables = pareto_text.table_lines(summary.pareto, summary.steps, summary.names, folder)
    if summary.energy is not None:
        lines += _labeled_lines("retracted", _reason_lines(summary, summary.retracted))
    lines += _labeled_lines("doubted", _doubt_lines(summary))
    lines += _labeled_lines("warning", filter(None, [summary.contradiction, *summary.diagnoses]))
    if summary.energy is not None:
        lines += _energy_lines(summary.energy, summary.names)
        tables = _energy_tables(summary, summary.energy.assessment)
    lines += [
        f"seconds      {seconds}",
        f"device       {summary.device}, journal {summary.journal}",
        *tables,
    ]
    return "\n".join(map(visible_text, lines))


def _shown_path(folder: str) -> str:
    """Return a folder relative to the current one if it is in it."""
    relative = os.path.relpath(folder)
    return folder if relative.startswith(os.pardir) else relative


def _name_text(best: BestEvaluation, names: Mapping[int, str]) -> str:
    """Return the name of the best structure after a comma, "" without one."""
    name = names.get(best.trial, "")
    return f", {name}" if name else ""


def _reason_lines(summary: CampaignSummary, reasons: Mapping[int, str]) -> list[str]:
    """Return a line for each trial with a reason."""
    return [f"{trial_label(trial, summary.names)}: {text}" for trial, text in reasons.items()]


def _doubt_lines(summary: CampaignSummary) -> list[str]:
    """Return a line for each doubt, and the ways out."""
    if not summary.doubted:
        return []
    first, folder = next(iter(summary.doubted)), _shown_path(summary.folder)
    return [
        *_reason_lines(summary, summary.doubted),
        "nothing is learnt from them. If one is right: "
        f'bostruct trust {folder} {first} --reason "..."',
        f'If it is wrong: bostruct retract {folder} {first} --reason "..."',
    ]


def _hull_lines(energy: EnergySummary) -> list[str]:
    """Return the stable phases, or how far the best crystal is from the hull of references."""
    above = energy.above_references
    if above is None:
        return hull_text.hull_lines(energy.hull)
    side = "above" if above >= 0 else "below"
    return [f"the best is {abs(above):.4f} eV/atom {side} the hull of the references"]


def _energy_lines(energy: EnergySummary, names: Mapping[int, str]) -> list[str]:
    best = energy.best
    if best is None:
        text = "none yet"
    elif best.evaluation is None:
        text = f"{_best_value(best)}{_name_text(best, names)}, given"
    else:
        text = f"{_best_value(best)}{_name_text(best, names)}, evaluation {best.evaluation}, "
        text += f"step {best.step}, {best.generator}"
    return [
        f"best         {text}",
        *_labeled_lines("hull", _hull_lines(energy)),
        *_labeled_lines("relaxation", _relaxation_lines(energy.final_relaxation)),
        *_labeled_lines("calibration", _calibration_lines(energy.calibration)),
        *_labeled_lines("stated", filter(None, [energy.calibration.stated_text])),
        *_labeled_lines("intervals", _interval_lines(energy.calibration)),
        *_labeled_lines("unevaluated", [_unevaluated_text(energy.assessment, best)]),
    ]


def _energy_tables(summary: CampaignSummary, assessment: Assessment) -> list[str]:
    """Return the best structures and the last steps as tables."""
    width = max(map(len, summary.names.values()), default=0)
    lines = [
        *hull_text.phase_lines(None if summary.energy is None else summary.energy.hull),
        *_best_structure_lines(
            assessment, summary.names, width, bool(summary.energy and summary.energy.hull)
        ),
        *_crystal_lines(summary),
        "",
        f"step  trial  {_name_cell('name', width)}{'generator':<12}  {'predicted':<18}  calibrated"
        f"  {'energy':<13}  error/σ",
    ]
    for step in summary.steps:
        if step.kind == "initial_data":
            lines.append(f"{step.step:4d}  {len(step.trials)} structures given with energies")
        else:
            lines += [
                _trial_line(step.step, trial, _name_cell(summary.names.get(trial.trial, ""), width))
                for trial in step.trials
            ]
    return lines


def _name_cell(name: str, width: int) -> str:
    """Return a name as a column of the width of the longest, "" where there are none."""
    return f"{name:<{max(width, 4)}}  " if width else ""


def _labeled_lines(name: str, texts: Iterable[str]) -> list[str]:
    return [f"{name:<11}  {text}" for text in texts]


def _relaxation_lines(final_relaxation: FinalRelaxationSummary | None) -> list[str]:
    """Return a line for each structure of the final relaxation."""
    if final_relaxation is None:
        return []
    reports = final_relaxation.structures
    return [_relaxation_line(report, final_relaxation.fmax) for report in reports] or ["not begun"]


def _relaxation_line(report: RelaxationReport, fmax: float) -> str:
    moved = report.relaxed_trial != report.trial
    relaxed_trial = f" at trial {report.relaxed_trial}" if moved else ""
    force = "unknown" if report.max_force is None else f"{report.max_force:.3f} eV/Å"
    return (
        f"trial {report.trial}, {report.energy:.6f} -> {report.relaxed_energy:.6f} eV"
        f"{relaxed_trial}, {report.n_evaluations} evaluations, largest force {force} "
        f"(tolerance {fmax:g}), {report.state}"
    )


def _calibration_lines(calibration: CalibrationSummary) -> list[str]:
    """Return the factor on σ with its evidence."""
    one, two = calibration.coverage_1sigma, calibration.coverage_2sigma
    if one is None or two is None:
        return ["no prediction was tested yet"]
    coverages = ", ".join(
        f"within {k}σ {fraction:.0%} ({low:.0%} to {high:.0%})"
        for k, (fraction, low, high) in ((1, one), (2, two))
    )
    errors = f"mean z² {calibration.mean_z2:.2f}, mean z {calibration.bias:+.2f}, {coverages}"
    return [calibration.factor_text, errors, *(f"{note}." for note in calibration.notes)]


def _interval_lines(calibration: CalibrationSummary) -> list[str]:
    """Return the width of the conformal intervals, and how many covered the result."""
    if calibration.conformal_quantile is None:
        return []
    text = f"90 %: predicted ± {calibration.conformal_quantile:.2f} σ"
    if calibration.coverage_interval is not None:
        low, high = calibration.coverage_interval
        text += f"; {calibration.n_covered} of {calibration.n_intervals} earlier ones covered "
        text += f"the energy ({low:.0%} to {high:.0%})"
    return [text]


def _best_structure_lines(
    assessment: Assessment, names: Mapping[int, str], width: int, has_hull: bool = False
) -> list[str]:
    """Return the best structures with their predictions before and after the evaluation."""
    if not assessment.best:
        return []
    model = {difference.trial: difference.prediction for difference in assessment.differences}
    above_name = "above" if assessment.best[0].enthalpy is None else "H above"
    is_zero = "on hull" if has_hull else "the best"
    above_name = "eV/atom above" if has_hull else above_name
    lines = [
        "",
        f"trial  {_name_cell('name', width)}{'energy, eV':<16}  {'predicted before':<18}  "
        f"{'90 %':<20}  {above_name:<9}  {'' if has_hull else 'by the last model'}".rstrip(),
    ]
    for structure in assessment.best:
        logged = structure.logged_prediction
        prediction = None if logged is None else logged.prediction
        above = structure.energy_above_best
        line = (
            f"{structure.trial:5d}  {_name_cell(names.get(structure.trial, ''), width)}"
            f"{structure.energy:<16.6f}  "
            f"{_format_prediction(prediction):<18}  {_format_interval(prediction):<20}  "
            f"{f'{above:.4f}' if above else is_zero:<{max(9, len(above_name))}}"
        )
        if structure.trial in model:
            now = model[structure.trial]
            line += f"  {_format_prediction(now)}, {_format_interval(now)}"
        lines.append(line.rstrip())
    return lines


def _crystal_lines(summary: CampaignSummary) -> list[str]:
    """Return symmetry and cell of the best structures as a table."""
    crystals = {} if summary.energy is None else summary.energy.crystals
    if not crystals:
        return []
    tolerance = max(crystal.tolerance for crystal in crystals.values())
    is_layer = next(iter(crystals.values())).is_layer
    units = "Å²/atom   mg/m²" if is_layer else "Å³/atom   g/cm³"
    kind = "layer group" if is_layer else "space group"
    lines = [
        "",
        f"trial  {kind:<16}  {'a, b, c, Å':<20}  {'α, β, γ, °':<17}  {units}  "
        f"Wyckoff positions (within {tolerance:.2f} Å)",
    ]
    for trial, crystal in crystals.items():
        group = f"{crystal.space_group} ({crystal.space_group_number})"
        lengths = " ".join(f"{length:.3f}" for length in crystal.lengths)
        angles = " ".join(f"{angle:.1f}" for angle in crystal.angles)
        lines.append(
            f"{trial:5d}  {group:<16}  {lengths:<20}  {angles:<17}  "
            f"{crystal.volume_per_atom:7.3f}  {crystal.density:6.3f}  {crystal.wyckoff_positions}"
        )
    return lines


def _unevaluated_text(assessment: Assessment, best: BestEvaluation | None) -> str:
    """Return the prediction of the best of the candidates that were not evaluated."""
    if assessment.missing_reason:
        return f"not known: {assessment.missing_reason}"
    if not assessment.unevaluated:
        return "the last search found no other candidates"
    candidate = assessment.unevaluated[0]
    prediction = candidate.prediction
    name = f"{candidate.name}, " if candidate.name else ""
    has_hull = best is not None and best.energy_above_hull is not None
    has_enthalpy = best is not None and best.enthalpy is not None and not has_hull
    quantity = "enthalpy " if has_enthalpy else ""
    unit = "eV/atom above the hull" if has_hull else "eV"
    text = f"best {quantity}{_format_prediction(prediction)} {unit}, "
    text += f"{name}by {candidate.generator}"
    if prediction.low is None or best is None:
        return text
    verdict = "may" if prediction.low < best.value else "would not"
    what = "the hull" if has_hull else "the best"
    return f"{text}; 90 %: {_format_interval(prediction)}, {verdict} be below {what}"


def _format_prediction(prediction: CalibratedPrediction | None) -> str:
    if prediction is None:
        return "-"
    return f"{prediction.mean:.4f} ± {prediction.calibrated_sigma:.4f}"


def _format_interval(prediction: CalibratedPrediction | None) -> str:
    if prediction is None or prediction.low is None:
        return "-"
    return f"{prediction.low:.4f} to {prediction.high:.4f}"


def _trial_line(step: int, trial: TrialSummary, name_cell: str) -> str:
    energy, prediction = trial.energy, trial.prediction
    raw, calibrated, error = "-", "-", "-"
    if prediction is not None:
        raw = f"{prediction.mean:.4f} ± {prediction.sigma:.4f}"
        calibrated = f"± {prediction.calibrated_sigma:.4f}"
        if energy is not None:
            error = f"{(energy - prediction.mean) / prediction.sigma:+.2f}"
    result = trial.state if energy is None else f"{energy:.4f} eV"
    result += " ?" if trial.doubt else ""
    return (
        f"{step:4d}  {trial.trial:5d}  {name_cell}{trial.generator:<12}  {raw:<18}  "
        f"{calibrated:<10}  {result:<13}  {error}  {trial.reason}"
    ).rstrip()

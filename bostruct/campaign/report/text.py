"""A summary as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct.campaign.report import pareto_text

Summary = Mapping[str, Any]


def final_text(summary: Summary) -> str:
    """Return what is printed when a run has ended: what was found, and where it is."""
    lines = []
    if "goals" in summary:
        return "\n".join(pareto_text.final_lines(summary) + _result_lines(summary, "front.extxyz"))
    best = summary["best"]
    if best is None:
        lines.append(f"No energy in {summary['evaluations']} evaluations.")
    else:
        count = f"{summary['evaluations']} ({summary['failures']} failed)"
        lines.append(
            f"Best energy {best['energy']:.6f} eV, given; {count} evaluations."
            if best["evaluation"] is None
            else f"Best energy {best['energy']:.6f} eV, evaluation "
            f"{best['evaluation']} of {count}, step {best['step']}."
        )
    lines += [f"Check: {line}." for line in _relaxation_lines(summary["check"])]
    return "\n".join(lines + _result_lines(summary, "best.extxyz"))


def _result_lines(summary: Summary, out: str) -> list[str]:
    """Return why a run ended, and what to do with what it left."""
    folder = summary["folder"]
    lines = [
        f"Ended by {summary['reason']}.",
        f"Results are in {folder}",
        f"  bostruct show {folder}",
        f"  bostruct export {folder} {out}",
    ]
    if "goals" in summary:
        lines.append(f"  bostruct front {folder} --out {folder}/front")
    if str(summary["journal"]).startswith("DELETE"):
        lines.append(f"Journal {summary['journal']}.")
    return lines


def summary_text(summary: Summary) -> str:
    """Return where a campaign stands."""
    if "goals" in summary:
        named = [f"{name:<11}  {text}" for name, text in pareto_text.header_lines(summary)]
        lines = [
            *_header_lines(summary),
            *named,
            *_footer_lines(summary),
            *pareto_text.table_lines(summary),
        ]
        return "\n".join(lines)
    lines = [
        *_header_lines(summary),
        f"best         {_best_text(summary['best'])}",
        *_labeled_lines("check", _relaxation_lines(summary["check"])),
        *_labeled_lines("calibration", _calibration_lines(summary["calibration"])),
        *_labeled_lines("intervals", _interval_lines(summary["calibration"])),
        *_labeled_lines("remaining", _unevaluated_lines(summary["outlook"], summary["best"])),
        *_footer_lines(summary),
        *_best_structure_lines(summary["outlook"]),
        "",
        f"step  trial  {'generator':<12}  {'predicted':<18}  calibrated  {'energy':<13}  error/σ",
    ]
    for step in summary["steps"]:
        if step["kind"] == "initial_data":
            count = len(step["trials"])
            lines.append(f"{step['step']:4d}  {count} structures given with energies")
            continue
        lines += [_trial_line(step["step"], trial) for trial in step["trials"]]
    return "\n".join(lines)


def _header_lines(summary: Summary) -> list[str]:
    """Return the lines that every campaign begins with."""
    reason = f", {summary['reason']}" if summary["reason"] else ""
    lines = [
        f"folder       {summary['folder']}",
        f"status       {summary['status']}{reason}",
        f"seed         {summary['seed']}",
        f"evaluations  {summary['evaluations']}, {summary['failures']} failed, "
        f"{summary['pending']} pending{_initial_data_text(summary)}",
    ]
    if "goals" not in summary:  # else they are told with all that is doubted
        texts = [f"trial {t['trial']}: {t['reason']}" for t in summary["retracted"]]
        lines += _labeled_lines("retracted", texts)
    return lines


def _footer_lines(summary: Summary) -> list[str]:
    """Return the lines about time and place."""
    seconds = summary["seconds"].items()
    return [
        "seconds      " + ", ".join(f"{name} {value:.1f}" for name, value in seconds),
        f"device       {summary['device']}, journal {summary['journal']}",
    ]


def _best_text(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return "none yet"
    if best["evaluation"] is None:
        return f"{best['energy']:.6f} eV, given"
    return (
        f"{best['energy']:.6f} eV, evaluation {best['evaluation']}, "
        f"step {best['step']}, {best['generator']}"
    )


def _initial_data_text(summary: Summary) -> str:
    """Return how many structures came with their energies, "" without any."""
    refused = f" ({summary['refused']} refused)" if summary["refused"] else ""
    return f"; {summary['given']} given{refused}" if summary["given"] or refused else ""


def _relaxation_lines(final_relaxation: Mapping[str, Any] | None) -> list[str]:
    """Return what was checked, a line for each structure."""
    if final_relaxation is None:
        return []
    if not final_relaxation["structures"]:
        return ["not begun"]
    return [
        _relaxation_line(each, final_relaxation["fmax"]) for each in final_relaxation["structures"]
    ]


def _relaxation_line(report: Mapping[str, Any], fmax: float) -> str:
    change = "" if report["relaxed"] == report["trial"] else f" at trial {report['relaxed']}"
    force = "unknown" if report["force"] is None else f"{report['force']:.3f} eV/Å"
    return (
        f"trial {report['trial']}, {report['energy']:.6f} -> "
        f"{report['relaxed_energy']:.6f} eV{change}, {report['evaluations']} evaluations, "
        f"largest force {force} (tolerance {fmax:g}), {report['state']}"
    )


def _labeled_lines(name: str, texts: Sequence[str]) -> list[str]:
    return [f"{name:<11}  {text}" for text in texts]


def _calibration_lines(calibration: Mapping[str, Any]) -> list[str]:
    """Return by how much σ was wrong, as far as that is known."""
    if not calibration["n"]:
        return ["no prediction was tested yet"]
    n, of = calibration["n"], calibration["alpha_of_last"]
    if calibration["alpha"] is None:
        first = f"σ × {calibration['factor']:.2f}"
    else:
        which = f"{n} predictions" if of == n else f"the last {of} of {n} predictions"
        first = (
            f"σ × {calibration['alpha']:.2f} (90 %: {calibration['alpha_low']:.2f} to "
            f"{calibration['alpha_high']:.2f}) by {which}"
        )
    shares = ", ".join(
        f"within {k}σ {calibration[name]:.0%} ({low:.0%} to {high:.0%})"
        for k, name in ((1, "within_1sigma"), (2, "within_2sigma"))
        for low, high in [calibration[f"{name}_interval"]]
    )
    second = f"mean z² {calibration['z2']:.2f}, mean z {calibration['bias']:+.2f}, {shares}"
    return [first, second, *(f"{note}." for note in calibration["notes"])]


def _interval_lines(calibration: Mapping[str, Any]) -> list[str]:
    """Return how wide the conformal intervals are, and how many have held."""
    if calibration["conformal"] is None:
        return []
    text = f"90 %: predicted ± {calibration['conformal']:.2f} σ"
    if calibration["intervals"]:
        low, high = calibration["held_interval"]
        text += (
            f"; {calibration['held']} of {calibration['intervals']} given before have held "
            f"({low:.0%} to {high:.0%})"
        )
    return [text]


def _best_structure_lines(assessment: Mapping[str, Any]) -> list[str]:
    """Return the best structures, with what was, and is, said of them."""
    if not assessment["best"]:
        return []
    by_model = {each["trial"]: each["expected"] for each in assessment["differences"]}
    lines = [
        "",
        f"trial  {'energy, eV':<16}  {'predicted before':<18}  {'90 %':<20}  "
        f"{'above':<9}  by the last model",
    ]
    for each in assessment["best"]:
        found = (each["foretold"] or {}).get("expected")
        above = f"{each['above']:.4f}" if each["above"] else "the best"
        line = (
            f"{each['trial']:5d}  {each['energy']:<16.6f}  {_format_prediction(found):<18}  "
            f"{_format_interval(found):<20}  {above:<9}"
        )
        model = by_model.get(each["trial"])
        if model is not None:
            line += f"  {_format_prediction(model)}, {_format_interval(model)}"
        lines.append(line.rstrip())
    return lines


def _unevaluated_lines(assessment: Mapping[str, Any], best: Mapping[str, Any] | None) -> list[str]:
    """Return what is known of structures that were found and not evaluated."""
    if assessment["missing"]:
        return [f"not known: {assessment['missing']}"]
    if not assessment["remaining"]:
        return ["nothing new was found beside what was asked for"]
    first = assessment["remaining"][0]
    found = first["expected"]
    text = f"lowest {_format_prediction(found)} eV, by {first['generator']}"
    if found["low"] is None or best is None:
        return [text]
    verdict = "may" if found["low"] < best["energy"] else "would not"
    return [f"{text}; 90 %: {_format_interval(found)}, {verdict} be below the best"]


def _format_prediction(prediction: Mapping[str, Any] | None) -> str:
    """Return a prediction with its calibrated σ."""
    return (
        "-" if prediction is None else f"{prediction['mean']:.4f} ± {prediction['calibrated']:.4f}"
    )


def _format_interval(prediction: Mapping[str, Any] | None) -> str:
    """Return the ends of an interval."""
    if prediction is None or prediction["low"] is None:
        return "-"
    return f"{prediction['low']:.4f} to {prediction['high']:.4f}"


def _trial_line(step: int, trial: Mapping[str, Any]) -> str:
    energy, said = trial["energy"], trial["mean"] is not None
    raw = f"{trial['mean']:.4f} ± {trial['sigma']:.4f}" if said else "-"
    wider = f"± {trial['calibrated']:.4f}" if said else "-"
    found = trial["state"] if energy is None else f"{energy:.4f} eV"
    scaled = "-"
    if energy is not None and said:
        scaled = f"{(energy - trial['mean']) / trial['sigma']:+.2f}"
    line = (
        f"{step:4d}  {trial['trial']:5d}  {trial['generator']:<12}  {raw:<18}  "
        f"{wider:<10}  {found:<13}  {scaled}"
    )
    return f"{line}  {trial['reason']}".rstrip()

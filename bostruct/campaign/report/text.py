"""A summary as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bostruct.campaign.report import pareto_text

Summary = Mapping[str, Any]


def ending(summary: Summary) -> str:
    """Return what is printed when a run has ended: what was found, and where it is."""
    lines = []
    if "goals" in summary:
        return "\n".join(pareto_text.ending(summary) + _where(summary, "front.extxyz"))
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
    lines += [f"Check: {line}." for line in _check(summary["check"])]
    return "\n".join(lines + _where(summary, "best.extxyz"))


def _where(summary: Summary, out: str) -> list[str]:
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


def show(summary: Summary) -> str:
    """Return where a campaign stands."""
    if "goals" in summary:
        named = [f"{name:<11}  {text}" for name, text in pareto_text.head(summary)]
        lines = [
            *_first(summary),
            *named,
            *_last(summary),
            *pareto_text.tables(summary),
        ]
        return "\n".join(lines)
    lines = [
        *_first(summary),
        f"best         {_best(summary['best'])}",
        *_lines("check", _check(summary["check"])),
        *_lines("calibration", _quality(summary["calibration"])),
        *_lines("intervals", _intervals(summary["calibration"])),
        *_lines("remaining", _remaining(summary["outlook"], summary["best"])),
        *_last(summary),
        *_best_ones(summary["outlook"]),
        "",
        f"step  trial  {'origin':<12}  {'predicted':<18}  calibrated  {'energy':<13}  "
        "error/σ",
    ]
    for step in summary["steps"]:
        if step["kind"] == "given":
            count = len(step["trials"])
            lines.append(f"{step['step']:4d}  {count} structures given with energies")
            continue
        lines += [_trial(step["step"], trial) for trial in step["trials"]]
    return "\n".join(lines)


def _first(summary: Summary) -> list[str]:
    """Return the lines that every campaign begins with."""
    reason = f", {summary['reason']}" if summary["reason"] else ""
    lines = [
        f"folder       {summary['folder']}",
        f"status       {summary['status']}{reason}",
        f"seed         {summary['seed']}",
        f"evaluations  {summary['evaluations']}, {summary['failures']} failed, "
        f"{summary['pending']} pending{_given(summary)}",
    ]
    if "goals" not in summary:  # else they are told with all that is doubted
        texts = [f"trial {t['trial']}: {t['reason']}" for t in summary["retracted"]]
        lines += _lines("retracted", texts)
    return lines


def _last(summary: Summary) -> list[str]:
    """Return the lines about time and place."""
    seconds = summary["seconds"].items()
    return [
        "seconds      " + ", ".join(f"{name} {value:.1f}" for name, value in seconds),
        f"device       {summary['device']}, journal {summary['journal']}",
    ]


def _best(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return "none yet"
    if best["evaluation"] is None:
        return f"{best['energy']:.6f} eV, given"
    return (
        f"{best['energy']:.6f} eV, evaluation {best['evaluation']}, "
        f"step {best['step']}, {best['origin']}"
    )


def _given(summary: Summary) -> str:
    """Return how many structures came with their energies, "" without any."""
    refused = f" ({summary['refused']} refused)" if summary["refused"] else ""
    return f"; {summary['given']} given{refused}" if summary["given"] or refused else ""


def _check(check: Mapping[str, Any] | None) -> list[str]:
    """Return what was checked, a line for each structure."""
    if check is None:
        return []
    if not check["structures"]:
        return ["not begun"]
    return [_checked(each, check["tolerance"]) for each in check["structures"]]


def _checked(each: Mapping[str, Any], tolerance: float) -> str:
    change = "" if each["relaxed"] == each["trial"] else f" at trial {each['relaxed']}"
    force = "unknown" if each["force"] is None else f"{each['force']:.3f} eV/Å"
    return (
        f"trial {each['trial']}, {each['energy']:.6f} -> "
        f"{each['relaxed_energy']:.6f} eV{change}, {each['evaluations']} evaluations, "
        f"largest force {force} (tolerance {tolerance:g}), {each['state']}"
    )


def _lines(name: str, texts: Sequence[str]) -> list[str]:
    return [f"{name:<11}  {text}" for text in texts]


def _quality(quality: Mapping[str, Any]) -> list[str]:
    """Return by how much σ was wrong, as far as that is known."""
    if not quality["n"]:
        return ["no prediction was tested yet"]
    n, of = quality["n"], quality["alpha_of_last"]
    if quality["alpha"] is None:
        first = f"σ × {quality['factor']:.2f}"
    else:
        which = f"{n} predictions" if of == n else f"the last {of} of {n} predictions"
        first = (
            f"σ × {quality['alpha']:.2f} (90 %: {quality['alpha_low']:.2f} to "
            f"{quality['alpha_high']:.2f}) by {which}"
        )
    shares = ", ".join(
        f"within {k}σ {quality[name]:.0%} ({low:.0%} to {high:.0%})"
        for k, name in ((1, "within_1sigma"), (2, "within_2sigma"))
        for low, high in [quality[f"{name}_interval"]]
    )
    second = f"mean z² {quality['z2']:.2f}, mean z {quality['bias']:+.2f}, {shares}"
    return [first, second, *(f"{note}." for note in quality["notes"])]


def _intervals(quality: Mapping[str, Any]) -> list[str]:
    """Return how wide the conformal intervals are, and how many have held."""
    if quality["conformal"] is None:
        return []
    text = f"90 %: predicted ± {quality['conformal']:.2f} σ"
    if quality["intervals"]:
        low, high = quality["held_interval"]
        text += (
            f"; {quality['held']} of {quality['intervals']} given before have held "
            f"({low:.0%} to {high:.0%})"
        )
    return [text]


def _best_ones(outlook: Mapping[str, Any]) -> list[str]:
    """Return the best structures, with what was, and is, said of them."""
    if not outlook["best"]:
        return []
    by_model = {each["trial"]: each["expected"] for each in outlook["differences"]}
    lines = [
        "",
        f"trial  {'energy, eV':<16}  {'predicted before':<18}  {'90 %':<20}  "
        f"{'above':<9}  by the last model",
    ]
    for each in outlook["best"]:
        found = (each["foretold"] or {}).get("expected")
        above = f"{each['above']:.4f}" if each["above"] else "the best"
        line = (
            f"{each['trial']:5d}  {each['energy']:<16.6f}  {_spread(found):<18}  "
            f"{_ends(found):<20}  {above:<9}"
        )
        model = by_model.get(each["trial"])
        if model is not None:
            line += f"  {_spread(model)}, {_ends(model)}"
        lines.append(line.rstrip())
    return lines


def _remaining(outlook: Mapping[str, Any], best: Mapping[str, Any] | None) -> list[str]:
    """Return what is known of structures that were found and not evaluated."""
    if outlook["missing"]:
        return [f"not known: {outlook['missing']}"]
    if not outlook["remaining"]:
        return ["nothing new was found beside what was asked for"]
    first = outlook["remaining"][0]
    found = first["expected"]
    text = f"lowest {_spread(found)} eV, by {first['origin']}"
    if found["low"] is None or best is None:
        return [text]
    verdict = "may" if found["low"] < best["energy"] else "would not"
    return [f"{text}; 90 %: {_ends(found)}, {verdict} be below the best"]


def _spread(found: Mapping[str, Any] | None) -> str:
    """Return a prediction with its calibrated σ."""
    return "-" if found is None else f"{found['mean']:.4f} ± {found['calibrated']:.4f}"


def _ends(found: Mapping[str, Any] | None) -> str:
    """Return the ends of an interval."""
    if found is None or found["low"] is None:
        return "-"
    return f"{found['low']:.4f} to {found['high']:.4f}"


def _trial(step: int, trial: Mapping[str, Any]) -> str:
    energy, said = trial["energy"], trial["mean"] is not None
    raw = f"{trial['mean']:.4f} ± {trial['sigma']:.4f}" if said else "-"
    wider = f"± {trial['calibrated']:.4f}" if said else "-"
    found = trial["state"] if energy is None else f"{energy:.4f} eV"
    scaled = "-"
    if energy is not None and said:
        scaled = f"{(energy - trial['mean']) / trial['sigma']:+.2f}"
    line = (
        f"{step:4d}  {trial['trial']:5d}  {trial['origin']:<12}  {raw:<18}  "
        f"{wider:<10}  {found:<13}  {scaled}"
    )
    return f"{line}  {trial['reason']}".rstrip()

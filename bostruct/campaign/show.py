"""A summary as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Summary = Mapping[str, Any]


def ending(summary: Summary) -> str:
    """Return what is printed when a run has ended: what was found, and where it is."""
    lines = []
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
    lines.append(f"Ended by {summary['reason']}.")
    folder = summary["folder"]
    lines.append(f"Results are in {folder}")
    lines.append(f"  bostruct show {folder}")
    lines.append(f"  bostruct export {folder} best.extxyz")
    if str(summary["journal"]).startswith("DELETE"):
        lines.append(f"Journal {summary['journal']}.")
    return "\n".join(lines)


def show(summary: Summary) -> str:
    """Return where a campaign stands."""
    seconds, quality = summary["seconds"], summary["calibration"]
    reason = f", {summary['reason']}" if summary["reason"] else ""
    lines = [
        f"folder       {summary['folder']}",
        f"status       {summary['status']}{reason}",
        f"seed         {summary['seed']}",
        f"evaluations  {summary['evaluations']}, {summary['failures']} failed, "
        f"{summary['pending']} pending{_given(summary)}",
        f"best         {_best(summary['best'])}",
        *(f"check        {line}" for line in _check(summary["check"])),
        f"calibration  {_quality(quality)}",
        "seconds      "
        + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()),
        f"device       {summary['device']}, journal {summary['journal']}",
        "",
        "step  trial  origin        predicted         energy      error/σ",
    ]
    for step in summary["steps"]:
        if step["kind"] == "given":
            count = len(step["trials"])
            lines.append(f"{step['step']:4d}  {count} structures given with energies")
            continue
        lines += [_trial(step["step"], trial) for trial in step["trials"]]
    return "\n".join(lines)


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


def _quality(quality: Mapping[str, Any]) -> str:
    if not quality["n"]:
        return "no prediction was tested yet"
    wider = f", widen σ by {quality['widening']:.2f}"
    return (
        f"mean z² {quality['z2']:.2f}, within 1σ {quality['within_1sigma']:.0%}, "
        f"within 2σ {quality['within_2sigma']:.0%}, n {quality['n']}"
        f"{wider if quality['widening'] > 1 else ''}"
    )


def _trial(step: int, trial: Mapping[str, Any]) -> str:
    mean, sigma, energy = trial["mean"], trial["sigma"], trial["energy"]
    predicted = "-" if mean is None else f"{mean:.4f} ± {sigma:.4f}"
    found = trial["state"] if energy is None else f"{energy:.4f} eV"
    scaled = "-"
    if energy is not None and mean is not None and sigma:
        scaled = f"{(energy - mean) / sigma:+.2f}"
    line = (
        f"{step:4d}  {trial['trial']:5d}  {trial['origin']:<12}  {predicted:<16}  "
        f"{found:<10}  {scaled}"
    )
    return f"{line}  {trial['reason']}".rstrip()

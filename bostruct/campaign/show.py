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
        lines.append(
            f"Best energy {best['energy']:.6f} eV, evaluation {best['evaluation']} of "
            f"{summary['evaluations']} ({summary['failures']} failed), "
            f"step {best['step']}."
        )
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
        f"{summary['pending']} pending",
        f"best         {_best(summary['best'])}",
        f"calibration  {_quality(quality)}",
        "seconds      "
        + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()),
        f"device       {summary['device']}, journal {summary['journal']}",
        "",
        "step  trial  origin        predicted         energy      error/σ",
    ]
    for step in summary["steps"]:
        lines += [_trial(step["step"], trial) for trial in step["trials"]]
    return "\n".join(lines)


def _best(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return "none yet"
    return (
        f"{best['energy']:.6f} eV, evaluation {best['evaluation']}, "
        f"step {best['step']}, {best['origin']}"
    )


def _quality(quality: Mapping[str, Any]) -> str:
    if not quality["n"]:
        return "no prediction was tested yet"
    return (
        f"mean z² {quality['z2']:.2f}, within 1σ {quality['within_1sigma']:.0%}, "
        f"within 2σ {quality['within_2sigma']:.0%}, n {quality['n']}"
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

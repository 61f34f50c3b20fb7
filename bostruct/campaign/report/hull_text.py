"""Convex hull of a campaign as plain text for a terminal."""

from __future__ import annotations

from bostruct.campaign.report.hull_summary import HullSummary


def hull_lines(hull: HullSummary | None) -> list[str]:
    """Return the stable phases as lines; none without a hull."""
    if hull is None:
        return []
    if hull.missing:
        return [f"not known before there is an energy of {', '.join(hull.missing)}"]
    names = ", ".join(phase.formula for phase in hull.stable)
    text = f"{len(hull.stable)} stable phases: {names}"
    if hull.last_lowered is not None:
        text += f"; lowered last by trial {hull.last_lowered}"
    return [text]


def phase_lines(hull: HullSummary | None) -> list[str]:
    """Return the stable phases, and the others nearest to the hull, as a table."""
    if hull is None or not hull.phases:
        return []
    width = max(7, *(len(phase.formula) for phase in hull.shown))
    lines = [
        "",
        f"{'phase':<{width}}  trial  atoms  space group       formation, eV/atom  "
        "above the hull, eV/atom",
    ]
    for phase in hull.shown:
        trial = "given" if phase.trial is None else str(phase.trial)
        n_atoms = "" if phase.n_atoms is None else str(phase.n_atoms)
        above = "stable" if phase.is_stable else f"{phase.energy_above_hull:.4f}"
        line = (
            f"{phase.formula:<{width}}  {trial:>5}  {n_atoms:>5}  {phase.space_group:<16}  "
            f"{phase.formation_energy + 0.0:>18.4f}  {above}"
        )
        lines.append(line.rstrip())
    if len(hull.phases) > len(hull.shown):
        n = len(hull.phases) - len(hull.shown)
        lines.append(f"and {n} other composition{'s' * (n > 1)} farther above the hull")
    return lines

"""Minima of a campaign as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.campaign.analysis.minima import Minima, Minimum

N_SHOWN = 20
"""Minima that are printed."""


def minima_lines(minima: Minima, count: int = N_SHOWN) -> list[str]:
    """Return the lowest minima as lines of a table, and how likely a lower one is.

    Args:
        minima: Minima of a campaign.
        count: Maximum number of minima.
    """
    n, window = len(minima.minima), minima.energy_window
    lines = [
        f"minima       {n} within {window:.4g} eV of the lowest, {_count(minima.minima)}",
        f"lower one    {_probability_text(minima)}",
        f"trial  {'energy, eV':<16}  {'above':<9}  {'σ':<8}  {'weight':<6}  "
        f"at {minima.temperature:g} K, state",
    ]
    for minimum in minima.minima[:count]:
        trial = "-" if minimum.trial is None else str(minimum.trial)
        sigma = f"{minimum.sigma:.4f}" if minimum.evaluated is None else "-"
        lines.append(
            f"{trial:>5}  {minimum.energy:<16.6f}  {minimum.energy_above:<9.4f}  {sigma:<8}  "
            f"{minimum.weight:<6.4f}  {minimum_state(minimum)}"
        )
    if n > count:
        lines.append(f"and {n - count} more, which `bostruct export --minima` writes")
    return lines


def minimum_state(minimum: Minimum) -> str:
    """Return whether a minimum was evaluated and relaxed, in words."""
    if minimum.evaluated is None:
        return "not evaluated, a minimum of the model"
    force = "" if minimum.max_force is None else f", largest force {minimum.max_force:.3f} eV/Å"
    run = minimum.run
    where = "" if run is None else f", in relaxations/{run.folder.name}"
    why = ""
    if run is not None and run.report is not None and not minimum.is_relaxed:
        why = f": {run.report.state.removeprefix('not converged: ')}"
    return f"{'relaxed' if minimum.is_relaxed else 'not relaxed'}{why}{force}{where}"


def _count(minima: Sequence[Minimum]) -> str:
    n_evaluated = sum(minimum.evaluated is not None for minimum in minima)
    n_relaxed = sum(minimum.is_relaxed for minimum in minima)
    return f"{n_evaluated} evaluated, {n_relaxed} relaxed"


def _probability_text(minima: Minima) -> str:
    """Return how likely a lower minimum is."""
    if minima.probability_lower is None:
        return f"not known: {minima.missing_reason or 'structures are separate members'}"
    return (
        f"{minima.probability_lower:.1%} that one which the model shows, and nobody has evaluated, "
        "is below the best"
    )

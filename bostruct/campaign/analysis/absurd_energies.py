"""Sentence on first evaluations whose energies or forces are absurd."""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.campaign.records import Trial

N_FIRST = 5
"""Number of first evaluations that are looked at."""

MIN_ABSURD = 3
"""Number of absurd ones among them that no longer is bad luck."""

ABSURD = " absurd: "
"""Part of the reason for which such a result is refused; see `evaluators.check_result`."""


def absurd_sentence(trials: Sequence[Trial]) -> str:
    """Return the sentence on absurd first evaluations, "" if they are few.

    Args:
        trials: All trials, in order.
    """
    finished = [t for t in trials if t.state in ("done", "failed") and not t.is_initial_data]
    first = finished[:N_FIRST]
    n = sum(ABSURD in trial.reason for trial in first if trial.state == "failed")
    if n < MIN_ABSURD:
        return ""
    return (
        f"{n} of the first {len(first)} evaluations gave absurd energies or forces: the atomic "
        "radii are too small for this potential, or its units are not eV and Å; give "
        "`atomic_radii` that fit, or check the units."
    )

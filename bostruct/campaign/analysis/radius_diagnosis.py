"""Sentence on atomic radii that the contacts of the lowest structures have corrected."""

from __future__ import annotations

from collections.abc import Sequence

from bostruct.campaign.planning.radius_correction import (
    element_radii,
    logged_radius_factors,
    step_radius_factors,
)
from bostruct.campaign.records import Step
from bostruct.spaces import Space


def radius_sentence(space: Space, steps: Sequence[Step]) -> str:
    """Return the sentence on corrected radii, "" without any.

    Args:
        space: Space as the campaign describes it.
        steps: All steps.
    """
    factors = logged_radius_factors(steps)
    if not factors:
        return ""
    first = next(step.number for step in steps if step_radius_factors(step.hyperparameters))
    radii = element_radii(space)
    changes = ", ".join(
        f"{symbol} {radii[symbol]:.3g} -> {radii[symbol] * factor:.3g} Å"
        for symbol, factor in sorted(factors.items())
    )
    mapping = ", ".join(
        f'"{symbol}": {radii[symbol] * factor:.3g}' for symbol, factor in sorted(factors.items())
    )
    return (
        "the atomic radii do not fit the contacts of the lowest structures, and are corrected from "
        f"step {first} on: {changes}; give `atomic_radii={{{mapping}}}` to begin with these."
    )

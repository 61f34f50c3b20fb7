"""Sentences on the best structures that press on a bound of the space.

Beyond a bound on which the forces of a low structure press the energy falls further: the minimum
next to it is not in the space. A structure at a bound whose forces do not press on it is at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from bostruct.campaign.enthalpy import pressure_of
from bostruct.campaign.records import Trial
from bostruct.spaces import Space
from bostruct.spaces.active_bounds import (
    ActiveBound,
    SupportsActiveBounds,
    SupportsVolumeBound,
)

PRESSURE_FRACTION = 0.05
"""Least force on a bound that counts, in units of the median largest force of all trials."""

WAYS_OUT = {
    "radius": "a larger `radius`",
    "region": "a wider `region`",
    "min_distance": "a smaller `min_distance`, or other `atomic_radii`",
    "thickness": "a larger `thickness`",
    "allow_reactions": "`allow_reactions=True` if bonds of molecules may break and form",
    "max_gap_factor": "a larger `max_gap_factor`, or other `atomic_radii`",
}
"""Ways to move a bound, by the argument of the space."""


def bound_sentences(best: Sequence[Trial], trials: Sequence[Trial], space: Space) -> list[str]:
    """Return a sentence for each bound on which some of the best structures press.

    Args:
        best: Trials of the best structures, best first.
        trials: All trials, whose forces say how large a force is.
        space: Space with the radii that the campaign uses at last.
    """
    if not isinstance(space, SupportsActiveBounds):
        return []
    forces = [t.forces for t in trials if t.is_known and t.forces is not None]
    scale = median([float(torch.linalg.vector_norm(f, dim=-1).max()) for f in forces] or [0.0])
    found: dict[tuple[str, str], list[tuple[Trial, ActiveBound, float | None]]] = {}
    for trial in best:
        for bound in space.active_bounds(trial.X):
            pressure = None if trial.forces is None else bound.pressure(trial.forces)
            if pressure is None or pressure > PRESSURE_FRACTION * scale:
                key = (bound.argument, bound.pair)
                found.setdefault(key, []).append((trial, bound, pressure))
    return [_sentence(cases) for cases in found.values()] + _volume_sentences(best, space)


def bound_name(bound: ActiveBound) -> str:
    """Return a bound as a phrase: its argument, the pair and the length."""
    pair = f" of {bound.pair}" if bound.pair else ""
    return f"`{bound.argument}`{pair}, {bound.limit:.2f} Å"


def _volume_sentences(best: Sequence[Trial], space: Space) -> list[str]:
    """Return a sentence on the best structure whose stress presses on a bound of the volume."""
    if not isinstance(space, SupportsVolumeBound):
        return []
    for trial in best:
        bound = space.volume_bound(trial.X)
        if bound is None:
            continue
        limit, end = bound
        slope = None if trial.stress is None else float(trial.stress[:3].mean())  # dE/dV
        if slope is not None and end * (slope + pressure_of(space)) >= 0:
            continue
        name = "smallest" if end < 0 else "largest"
        return [
            f"trial {trial.number}, one of the best, leans on the {name} volume of the space, "
            f"{limit:.2f} Å³ per atom: a lower minimum may lie beyond it; give another `volume`, "
            "or a wider `volume_range`."
        ]
    return []


def _sentence(cases: Sequence[tuple[Trial, ActiveBound, float | None]]) -> str:
    """Return the sentence on one bound, with the best structure that leans on it."""
    trial, bound, pressure = cases[0]
    others = len(cases) - 1
    also = f" ({others} other{'s' * (others > 1)} of the best too)" if others else ""
    leans = "leans on"
    if pressure is not None:
        leans = f"presses with {pressure:.3g} eV/Å on"
    return (
        f"trial {trial.number}, one of the best, {leans} the bound {bound_name(bound)}{also}: a "
        f"lower minimum may lie beyond it; give {WAYS_OUT[bound.argument]}."
    )

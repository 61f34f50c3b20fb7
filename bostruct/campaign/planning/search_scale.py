"""Tolerances of the search of a step, in the scale of the problem."""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from bostruct.campaign.components import CandidateSearch
from bostruct.campaign.planning.step_context import StepContext
from bostruct.spaces.space import SupportsCompositions
from bostruct.structures.problem_scale import ProblemScale


@runtime_checkable
class SupportsScale(Protocol):
    """A search whose tolerances follow the scale of a problem."""

    def with_scale(self, value_scale: float, length: float) -> Self:
        """Return the search with its unknown tolerances set.

        Args:
            value_scale: Scale of differences of the acquisition.
            length: Length of a bond, Å.
        """
        ...


def scaled_search(step: StepContext, scale: ProblemScale | None) -> CandidateSearch:
    """Return the search of a step with tolerances in the scale of the problem.

    Values of an acquisition that are no energies, as logarithms and probabilities, have the scale
    one.

    Args:
        step: The step.
        scale: Scale of the energies; None with objectives.
    """
    search = step.search
    if not isinstance(search, SupportsScale):
        return search
    is_energy = getattr(step.acquisition, "has_energy_values", False)
    space = step.components.space
    value_scale = scale.energy if is_energy and scale is not None else 1.0
    if is_energy and isinstance(space, SupportsCompositions):  # values are energies per atom
        value_scale /= int(space.atom_counts.max())
    radii = space.atomic_radii
    length = 2 * float(radii.mean()) if scale is None else scale.length
    scaled: CandidateSearch = search.with_scale(value_scale, length)
    return scaled

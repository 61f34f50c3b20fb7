"""Components, seed, device and numbers that one step is planned with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch

from bostruct.acquisition import Acquisition
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.components import CampaignComponents, CandidateSearch
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling
from bostruct.campaign.planning.search_effort import SupportsEffort
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.runtime.rng import generator_for


@dataclass(frozen=True)
class StepContext:
    """One step to be planned.

    Args:
        components: The components of the campaign.
        seed: The seed of the campaign.
        device: The device of the tensor work.
        number: The number of the step.
        q: The number of trials to plan.
        effort: The effort of the search; see `search_effort`.
        kappa_factor: The factor on the weight of the uncertainty; see `adaptive_kappa`.
        radius_factors: The factors on the radii of the space, by element; see
            `radius_correction`.
        recalibrations: Corrections of the predictions of each modeled outcome, or of the energy, by
            name; none by default. See `recalibration`.
        columns: The columns of the log's trials, kept from the step before.
    """

    components: CampaignComponents
    seed: int
    device: torch.device
    number: int
    q: int
    effort: int = 0
    kappa_factor: float = 1.0
    radius_factors: Mapping[str, float] = field(default_factory=dict)
    recalibrations: Mapping[str, Recalibration] = field(default_factory=dict)
    columns: TrialColumns = field(default_factory=TrialColumns)

    @property
    def acquisition(self) -> Acquisition:
        """The campaign's acquisition, with its kappa scaled if it is adaptive."""
        acquisition = self.components.acquisition
        if isinstance(acquisition, SupportsKappaScaling):
            return cast("Acquisition", acquisition.scaled(self.kappa_factor))
        return acquisition

    @property
    def search(self) -> CandidateSearch:
        """The campaign's search with the effort of the step."""
        search = self.components.search
        return search.with_effort(self.effort) if isinstance(search, SupportsEffort) else search

    def generator_for(self, purpose: str) -> torch.Generator:
        """Return the random generator of this step for one purpose."""
        return generator_for(self.seed, self.number, purpose)

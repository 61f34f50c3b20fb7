"""Planner of steps: from the steps and trials so far to what is evaluated next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

import torch

from bostruct.campaign.components import CampaignComponents
from bostruct.campaign.planning.acquisition_context import recalibrations
from bostruct.campaign.planning.adaptive_kappa import SupportsKappaScaling, adapt_kappa_factor
from bostruct.campaign.planning.radius_correction import (
    add_to_lowest,
    correct_radii,
    logged_radius_factors,
    with_radius_factors,
)
from bostruct.campaign.planning.search_effort import choose_effort
from bostruct.campaign.planning.step import plan_step
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import PlannedStep, Step, Trial


@final
class StepPlanner:
    """Planner of the steps of one campaign.

    What it plans is a function of the steps and trials it is given: it keeps nothing but columns of
    these, which it computes anew wherever they are others.

    Args:
        components: Components of the campaign.
        seed: Seed of the campaign.
        device: Device of the tensor work.
    """

    def __init__(self, components: CampaignComponents, seed: int, device: torch.device) -> None:
        self.components, self.seed, self.device = components, seed, device
        self.columns = TrialColumns()
        self._radius_factors: Mapping[str, float] = {}  # of `columns`

    def plan(
        self, steps: Sequence[Step], trials: Sequence[Trial], q: int, effort: int | None = None
    ) -> PlannedStep:
        """Return the next step; no structures where none is left.

        Args:
            steps: All steps so far.
            trials: All trials so far.
            q: Number of trials to plan.
            effort: Effort of the search; None chooses it by the times of the steps and trials.
        """
        is_adaptive = isinstance(self.components.acquisition, SupportsKappaScaling)
        lowest: tuple[Trial, ...] = self.columns.fold("lowest", trials, add_to_lowest, ())
        radius_factors = correct_radii(self.components.space, lowest, logged_radius_factors(steps))
        context = StepContext(
            self._with_radius_factors(radius_factors),
            self.seed,
            self.device,
            number=len(steps),
            q=q,
            effort=choose_effort(self.components.search, trials, steps)
            if effort is None
            else effort,
            kappa_factor=adapt_kappa_factor(trials, self.columns, self.components.initial_hull)
            if is_adaptive
            else 1.0,
            radius_factors=radius_factors,
            recalibrations=recalibrations(self.components, trials, self.columns),
            columns=self.columns_with_radii(radius_factors),
        )
        return plan_step(context, trials)

    def columns_with_radii(self, factors: Mapping[str, float]) -> TrialColumns:
        """Return the columns of the trials, begun anew where the radii are others.

        Duplicates and features of structures depend on these, too.
        """
        if factors != self._radius_factors:
            self.columns, self._radius_factors = TrialColumns(), dict(factors)
        return self.columns

    def _with_radius_factors(self, factors: Mapping[str, float]) -> CampaignComponents:
        """Return the components with the radii of the space multiplied."""
        space = with_radius_factors(self.components.space, factors)
        return replace(self.components, space=space) if factors else self.components

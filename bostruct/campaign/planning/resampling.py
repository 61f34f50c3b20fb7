"""Structures near evaluated ones that may be evaluated all the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.campaign.planning.posterior_tensors import posterior_mean_variance
from bostruct.campaign.planning.retries import retry_candidates
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.trial_columns import is_known
from bostruct.campaign.records import Trial
from bostruct.spaces import DiscreteSpace, Space
from bostruct.structures import Structures
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates import FittedModel, TrainingData
from bostruct.surrogates.species import problem_scale

MIN_ENERGY_GAIN = 0.002
"""Energy, in units of `resampling_scale`, by which a candidate within the tolerance of an evaluated
structure is predicted below it where it counts as another one."""

PROMISING_ENERGY_GAIN = 0.008
"""Energy, in units of that scale, by which a candidate that may resample a structure is predicted
below the lowest."""


def resampling_scale(
    structures: Structures, space: Space, enthalpies: Tensor | None = None
) -> ProblemScale:
    """Return the scale of the lower half of the energies: what a search has come down to.

    The first structures of a stiff potential are so high that in their scale nothing would be left
    to gain at a minimum.

    Args:
        structures: All known structures, with energies.
        space: Space of the structures.
        enthalpies: `[t]` eV, by which the lower half is told; the energies where None.
    """
    value = structures.energy if enthalpies is None else enthalpies
    assert value is not None
    return problem_scale(structures[value <= value.median()], space)


def resampling_rules(
    step: StepContext,
    model: FittedModel,
    data: TrainingData,
    trials: Sequence[Trial],
    X_candidates: Tensor,
    scale: ProblemScale | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return which structures count as evaluated, and where a candidate may resample one.

    A member of a discrete space has one energy: only failures may be repeated. In a continuous
    space a candidate close to an evaluated structure may be evaluated where it is predicted lower.

    Args:
        step: The step.
        model: The fitted model, of the enthalpy.
        data: The training data, with enthalpies: the known ones of `trials`, in their order.
        trials: All so far in the order asked.
        X_candidates: `[c, d]` the candidates.
        scale: Scale of `resampling_scale`; None with objectives.

    Returns:
        `[t, d]` the structures evaluated or pending; `[c, t]` bool, which candidates are lower than
        which of them, or None; `[c]` bool, which candidates are promising, or None; as `select_top`
        takes them.
    """
    space = step.components.space
    X_evaluated = step.columns.coordinates(trials).to(data.X)
    if isinstance(space, DiscreteSpace):
        repeated = {trial.number for trial in retry_candidates(trials, space, step.columns)}
        if repeated:
            kept = torch.tensor([trial.number not in repeated for trial in trials])
            X_evaluated = X_evaluated[kept]
        return X_evaluated, None, None
    assert scale is not None  # there are no objectives in continuous spaces
    mean = posterior_mean_variance(model, X_candidates)[0].squeeze(-1)
    known = torch.tensor(step.columns.each("is known", trials, is_known), device=mean.device)
    energies = mean.new_full((len(trials),), torch.nan)
    energies[known] = data.Y.squeeze(-1).to(mean)
    return X_evaluated, is_lower(mean, energies, scale), is_promising(mean, energies[known], scale)


def is_lower(mean: Tensor, energies: Tensor, scale: ProblemScale) -> Tensor:
    """Return which candidates are predicted below which structures, `[c, t]` bool.

    Within the tolerance of a structure at its minimum none is, so that it is not evaluated again;
    next to one that is not, each evaluation comes closer to the minimum.

    Args:
        mean: `[c]` eV, predicted energies.
        energies: `[t]` eV, known energies; NaN where there is none yet, below which nothing is.
        scale: Scale of `resampling_scale`.
    """
    return mean.unsqueeze(-1) < energies - MIN_ENERGY_GAIN * scale.energy


def is_promising(mean: Tensor, energies: Tensor, scale: ProblemScale) -> Tensor:
    """Return which predicted energies `[c]` eV are well below all of `energies` `[t]` eV, `[c]`.

    In a stiff potential a structure within the tolerance of a minimum may still be far
    above it, so these are evaluated even next to an evaluated structure.
    """
    return mean < energies.min() - PROMISING_ENERGY_GAIN * scale.energy

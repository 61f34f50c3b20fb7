"""Structures near evaluated ones that may be evaluated all the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bostruct.campaign.enthalpy import has_variable_cell
from bostruct.campaign.enthalpy_gradient import enthalpy_gradient
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

RELAXED_MAX_FORCE = 0.1
"""Force, in units of `resampling_scale`, below which little is gained at a minimum."""

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
    space a candidate close to a structure that is not at its minimum may be evaluated.

    Args:
        step: The step.
        model: The fitted model, of the enthalpy.
        data: The training data, with enthalpies: the known ones of `trials`, in their order.
        trials: All so far in the order asked.
        X_candidates: `[c, d]` the candidates.
        scale: Scale of `resampling_scale`; None with objectives.

    Returns:
        `[t, d]` the structures evaluated or pending; `[t]` bool, which of them are relaxed, or
        None; `[c]` bool, which candidates are promising, or None; as `select_top` takes them.
    """
    space, repeated, promising = step.components.space, set[int](), None
    if isinstance(space, DiscreteSpace):
        repeated = {trial.number for trial in retry_candidates(trials, space, step.columns)}
    else:
        assert scale is not None  # there are no objectives in continuous spaces
        promising = is_promising(model, X_candidates, data.Y.squeeze(-1), scale)
    kept: slice | Tensor = slice(None)
    if repeated:
        kept = torch.tensor([trial.number not in repeated for trial in trials])
    X_evaluated = step.columns.coordinates(trials)[kept].to(data.X)
    if data.structures is None or scale is None:
        return X_evaluated, None, promising
    flags = torch.ones(len(trials), dtype=torch.bool)
    known = torch.tensor(step.columns.each("is known", trials, is_known))
    if has_variable_cell(space):
        relaxed = is_crystal_relaxed(space, data.X, data.structures, scale)
    else:
        relaxed = is_relaxed(data.structures, scale)
    flags[known] = torch.tensor(relaxed)
    return X_evaluated, flags[kept], promising


def is_relaxed(structures: Structures, scale: ProblemScale) -> list[bool]:
    """Return which structures are so close to a minimum that resampling gains little."""
    if structures.forces is None:
        return [False] * len(structures)
    size = structures.forces.abs().amax(-1).masked_fill(structures.fixed, 0)
    largest = size.new_zeros(len(structures))
    largest = largest.scatter_reduce(0, structures.index, size, "amax")
    return (largest < RELAXED_MAX_FORCE * scale.force).tolist()


def is_crystal_relaxed(
    space: Space, X: Tensor, structures: Structures, scale: ProblemScale
) -> list[bool]:
    """Return which crystals are close to a minimum in atoms and cell together.

    Where symmetry leaves no forces the stress tells; without forces or stress it is not known.

    Args:
        space: Space with a variable cell.
        X: `[t, d]` coordinates.
        structures: The t structures with what is known of them.
        scale: Scale of `resampling_scale`.
    """
    forces, stress = (structures.value_or_nan(name) for name in ("forces", "stress"))
    largest = enthalpy_gradient(space, X, forces, stress).abs().amax(-1)
    return (largest < RELAXED_MAX_FORCE * scale.force).tolist()


def is_promising(model: FittedModel, X: Tensor, energies: Tensor, scale: ProblemScale) -> Tensor:
    """Return which of X `[c, d]` are predicted well below all of `energies` `[t]`, `[c]` bool.

    In a stiff potential a structure within the tolerance of a minimum may still be far
    above it, so these are evaluated even next to an evaluated structure.
    """
    mean, _ = posterior_mean_variance(model, X)
    return mean.squeeze(-1) < energies.min() - PROMISING_ENERGY_GAIN * scale.energy

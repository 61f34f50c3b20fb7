"""Anything that believes, as a BoTorch model.

Notation
    b, q, n   structures, structures asked about jointly, atoms of all
    R    [.., q, k]   eV    root of the covariance
    v    [.., q]      eV²   variance that no other structure shares

    covariance = R R^T + diag(v)
    force_variance = sum_k (dR_k / dx)²
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures
from bostruct.surrogates.base import SupportsDecode
from bostruct.surrogates.botorch_models.conditioned_model import (
    ConditionedModel,
    condition_on_observations,
)
from bostruct.surrogates.botorch_models.low_rank_prediction import (
    LowRankPrediction,
    LowRankPredictor,
)
from bostruct.surrogates.botorch_models.posterior import (
    STRUCTURES_PER_CHUNK,
    add_noise,
    decode_structures,
    jitter,
    joint_posterior,
)
from bostruct.uncertainty import Prediction


@final
class LowRankModel(Model, FantasizeMixin):  # type: ignore[misc]
    """What the surrogates of this family return. Deterministic, and never changes.

    Args:
        predictor: what was fitted.
        space: gives structures to coordinates; None if only `predict` is needed.
    """

    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def __init__(self, predictor: LowRankPredictor, space: SupportsDecode | None = None) -> None:
        super().__init__()
        self.predictor, self.space = predictor, space

    @property
    def num_outputs(self) -> int:
        """Energies only: 1."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """One model, no batch."""
        return torch.Size()

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of q energies in eV, differentiable in X.

        Args:
            X: `[..., q, d]` coordinates of structures of one composition.
            output_indices: not used, there is one output.
            observation_noise: whether to add the noise of a measured energy, or a
                tensor `[..., q]` of noise variances, eV².
            posterior_transform: applied last.

        Raises:
            NotFittedError: the model was fitted without a space.
        """
        shape = X.shape[:-1]  # [..., q]
        belief = self.predictor.predict(decode_structures(self.space, X))
        root = belief.covariance_root.reshape(*shape, belief.covariance_root.shape[-1])
        C = root @ root.transpose(-1, -2)
        C = C + torch.diag_embed(_independent_variance(belief).view(shape))
        C = add_noise(C, observation_noise, belief.noise_variance.view(shape))
        return joint_posterior(belief.mean.view(*shape, 1), C, posterior_transform)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model that has also been told energies Y `[..., t, 1]` at X.

        Nothing is trained again; see `Conditioned`. Variance that structures do not
        share stays.
        """
        return condition_on_observations(self, X, Y, noise)

    def predict(
        self,
        structures: Structures,
        *,
        covariance: bool = False,
        force_variance: bool = False,
        member_forces: bool = False,
    ) -> Prediction:
        """Return energies, forces and uncertainties of any structures.

        Args:
            structures: b structures of n atoms in total, of the trained species.
            covariance: also the latent covariance `[b, b]` between the energies.
            force_variance: also the latent variance `[n, 3]` of each force, as far as
                weights or members tell it: one backward pass for each of them.
            member_forces: also the forces `[M, n, 3]` of each member, one backward
                pass each.

        Raises:
            InputError: a species the model was not trained on, member forces where
                there are no members, or force variances where nothing varies.
        """
        parts, roots, own = [], [], []
        for start in range(0, len(structures), STRUCTURES_PER_CHUNK):
            part = structures[start : start + STRUCTURES_PER_CHUNK]
            prediction, belief = self._predict(part, force_variance, member_forces)
            parts.append(prediction)
            roots.append(belief.covariance_root.detach())
            own.append(_independent_variance(belief).detach())
        found = Prediction.cat(parts)
        if covariance:
            root = torch.cat(roots)
            whole = root @ root.T + torch.diag_embed(torch.cat(own))
            return replace(found, covariance=whole)
        return found

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        return self.predictor.tensors()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        return self.predictor.hyperparameters()

    def _predict(
        self, structures: Structures, force_variance: bool, member_forces: bool
    ) -> tuple[Prediction, LowRankPrediction]:
        moving = structures.positions.detach().clone().requires_grad_()
        fixed = torch.zeros_like(structures.fixed)  # forces on these are wanted too
        with torch.enable_grad():
            where = replace(structures, positions=moving, fixed=fixed)
            belief = self.predictor.predict(where)
            (slope,) = torch.autograd.grad(belief.mean.sum(), moving, retain_graph=True)
            spread = _force_variance(belief, moving) if force_variance else None
            own_forces = _member_forces(belief, moving) if member_forces else None
        local, members = belief.atomic_energies, belief.members
        found = Prediction(
            mean=belief.mean.detach(),
            variance=(
                belief.covariance_root.square().sum(-1) + _independent_variance(belief)
            ).detach(),
            noise_variance=belief.noise_variance.detach(),
            forces=-slope,
            atomic_energies=None if local is None else local.detach(),
            force_variance=spread,
            members=None if members is None else members.detach(),
            member_forces=own_forces,
        )
        return found, belief


def _independent_variance(prediction: LowRankPrediction) -> Tensor:
    """Return the unshared variance `[b]`, and what keeps the covariance positive."""
    whole = prediction.covariance_root.square().sum(-1) + prediction.independent_variance
    return prediction.independent_variance + jitter(whole, whole)


def _force_variance(prediction: LowRankPrediction, positions: Tensor) -> Tensor:
    """Return the latent variance of each force component, `[n, 3]` (eV/Å)²."""
    if prediction.covariance_root.shape[-1] == 0:
        condition = "be false for a model without weights or members that vary"
        way_out = "Ask an ensemble for it."
        raise InputError(error_message("force_variance", condition, True, way_out))
    found = torch.zeros_like(positions)
    for column in prediction.covariance_root.unbind(-1):
        (slope,) = torch.autograd.grad(column.sum(), positions, retain_graph=True)
        found += slope.square()
    return found


def _member_forces(prediction: LowRankPrediction, positions: Tensor) -> Tensor:
    """Return the forces of each member, `[M, n, 3]` eV/Å."""
    if prediction.members is None:
        condition = "be false for a model without members"
        raise InputError(error_message("member_forces", condition, True, "Ask an ensemble."))
    found = [
        -torch.autograd.grad(member.sum(), positions, retain_graph=True)[0]
        for member in prediction.members
    ]
    return torch.stack(found)

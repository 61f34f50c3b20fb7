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

from bostruct.errors import InputError, must
from bostruct.structures import Structures
from bostruct.surrogates.base import Decodes
from bostruct.surrogates.botorch_models.conditioned_model import Conditioned, condition
from bostruct.surrogates.botorch_models.low_rank_prediction import Belief, Believer
from bostruct.surrogates.botorch_models.posterior import (
    CHUNK,
    decoded,
    joint,
    noisy,
    slack,
)
from bostruct.uncertainty import Prediction


@final
class BelievedModel(Model, FantasizeMixin):  # type: ignore[misc]
    """What the surrogates of this family return. Deterministic, and never changes.

    Args:
        believer: what was fitted.
        space: gives structures to coordinates; None if only `predict` is needed.
    """

    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def __init__(self, believer: Believer, space: Decodes | None = None) -> None:
        super().__init__()
        self.believer, self.space = believer, space

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
        belief = self.believer.belief(decoded(self.space, X))
        root = belief.root.reshape(*shape, belief.root.shape[-1])
        C = root @ root.transpose(-1, -2)
        C = C + torch.diag_embed(_own(belief).view(shape))
        C = noisy(C, observation_noise, belief.noise.view(shape))
        return joint(belief.mean.view(shape), C, posterior_transform)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> Conditioned:
        """Return the model that has also been told energies Y `[..., t, 1]` at X.

        Nothing is trained again; see `Conditioned`. Variance that structures do not
        share stays.
        """
        return condition(self, X, Y, noise)

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
        for start in range(0, len(structures), CHUNK):
            part = structures[start : start + CHUNK]
            prediction, belief = self._predict(part, force_variance, member_forces)
            parts.append(prediction)
            roots.append(belief.root.detach())
            own.append(_own(belief).detach())
        found = Prediction.cat(parts)
        if covariance:
            root = torch.cat(roots)
            whole = root @ root.T + torch.diag_embed(torch.cat(own))
            return replace(found, covariance=whole)
        return found

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        return self.believer.tensors()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names."""
        return self.believer.hyperparameters()

    def _predict(
        self, structures: Structures, force_variance: bool, member_forces: bool
    ) -> tuple[Prediction, Belief]:
        moving = structures.positions.detach().clone().requires_grad_()
        fixed = torch.zeros_like(structures.fixed)  # forces on these are wanted too
        with torch.enable_grad():
            where = replace(structures, positions=moving, fixed=fixed)
            belief = self.believer.belief(where)
            (slope,) = torch.autograd.grad(belief.mean.sum(), moving, retain_graph=True)
            spread = _force_variance(belief, moving) if force_variance else None
            own_forces = _member_forces(belief, moving) if member_forces else None
        local, members = belief.local, belief.members
        found = Prediction(
            mean=belief.mean.detach(),
            variance=(belief.root.square().sum(-1) + _own(belief)).detach(),
            noise=belief.noise.detach(),
            forces=-slope,
            local=None if local is None else local.detach(),
            force_variance=spread,
            members=None if members is None else members.detach(),
            member_forces=own_forces,
        )
        return found, belief


def _own(belief: Belief) -> Tensor:
    """Return the unshared variance `[b]`, and what keeps the covariance positive."""
    whole = belief.root.square().sum(-1) + belief.own
    return belief.own + slack(whole, whole)


def _force_variance(belief: Belief, moving: Tensor) -> Tensor:
    """Return the latent variance of each force component, `[n, 3]` (eV/Å)²."""
    if belief.root.shape[-1] == 0:
        condition = "be false for a model without weights or members that vary"
        way_out = "Ask an ensemble for it."
        raise InputError(must("force_variance", condition, True, way_out))
    found = torch.zeros_like(moving)
    for column in belief.root.unbind(-1):
        (slope,) = torch.autograd.grad(column.sum(), moving, retain_graph=True)
        found += slope.square()
    return found


def _member_forces(belief: Belief, moving: Tensor) -> Tensor:
    """Return the forces of each member, `[M, n, 3]` eV/Å."""
    if belief.members is None:
        condition = "be false for a model without members"
        raise InputError(must("member_forces", condition, True, "Ask an ensemble."))
    found = [
        -torch.autograd.grad(member.sum(), moving, retain_graph=True)[0]
        for member in belief.members
    ]
    return torch.stack(found)

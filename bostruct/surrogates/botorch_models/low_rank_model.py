"""BoTorch model of any predictor whose covariance is of low rank plus a diagonal.

Notation
    b, q, n   structures, structures of a joint posterior, atoms of all
    R    [.., q, k]   eV    root of the covariance
    v    [.., q]      eV²   variance that no other structure shares

    covariance = R R^T + diag(v)
    force_variance = sum_k (dR_k / dx)²
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.low_rank_prediction import (
    LowRankPrediction,
    LowRankPredictor,
)
from bostruct.surrogates.botorch_models.posterior import (
    STRUCTURES_PER_CHUNK,
    add_noise,
    decode_structures,
    jitter,
)
from bostruct.uncertainty import Prediction


@final
class LowRankModel(JointModel):
    """The fitted model of network surrogates; deterministic, and it never changes.

    Conditioned on observations it is not trained again, and variance that structures do not share
    stays.

    Args:
        predictor: The fitted predictor.
        space: Gives structures to coordinates; None if only `predict` is needed.
    """

    def __init__(self, predictor: LowRankPredictor, space: Space | None = None) -> None:
        super().__init__()
        self.predictor, self.space = predictor, space

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance of q energies in eV, differentiable in X.

        X `[..., q, d]` are coordinates of structures of one composition.
        """
        shape = X.shape[:-1]  # [..., q]
        prediction = self.predictor.predict(decode_structures(self.space, X))
        root = prediction.covariance_root
        root = root.reshape(*shape, root.shape[-1])
        C = root @ root.transpose(-1, -2)
        C = C + torch.diag_embed(_independent_variance(prediction).view(shape))
        C = add_noise(C, observation_noise, prediction.noise_variance.view(shape))
        return prediction.mean.view(*shape, 1), C, True

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
            covariance: Also the latent covariance `[b, b]` between the energies.
            force_variance: Also the latent variance `[n, 3]` of each force, as far as weights or
                members give it, one backward pass for each of them; and the noise variance of the
                forces where it is known.
            member_forces: Also the forces `[M, n, 3]` of each member, one backward pass each.

        Raises:
            InputError: a species is not in the training data, member forces where there are no
                members, or force variances where nothing varies.
        """
        predictions, roots, variances = [], [], []
        for start in range(0, len(structures), STRUCTURES_PER_CHUNK):
            chunk = structures[start : start + STRUCTURES_PER_CHUNK]
            prediction, low_rank = self._predict(chunk, force_variance, member_forces)
            predictions.append(prediction)
            roots.append(low_rank.covariance_root.detach())
            variances.append(_independent_variance(low_rank).detach())
        prediction = Prediction.cat(predictions)
        if not covariance:
            return prediction
        root = torch.cat(roots)
        return replace(
            prediction, covariance=root @ root.T + torch.diag_embed(torch.cat(variances))
        )

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        return self.predictor.tensors()

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, units in the names."""
        return self.predictor.hyperparameters()

    def _predict(
        self, structures: Structures, force_variance: bool, member_forces: bool
    ) -> tuple[Prediction, LowRankPrediction]:
        positions = structures.positions.detach().clone().requires_grad_()
        fixed = torch.zeros_like(structures.fixed)  # fixed atoms have forces, too
        with torch.enable_grad():
            low_rank = self.predictor.predict(replace(structures, positions=positions, fixed=fixed))
            (gradient,) = torch.autograd.grad(low_rank.mean.sum(), positions, retain_graph=True)
            variances = _force_variance(low_rank, positions) if force_variance else None
            forces = _member_forces(low_rank, positions) if member_forces else None
        atomic_energies, members = low_rank.atomic_energies, low_rank.members
        variance = low_rank.covariance_root.square().sum(-1) + _independent_variance(low_rank)
        prediction = Prediction(
            mean=low_rank.mean.detach(),
            variance=variance.detach(),
            noise_variance=low_rank.noise_variance.detach(),
            forces=-gradient,
            atomic_energies=None if atomic_energies is None else atomic_energies.detach(),
            force_variance=variances,
            force_noise_variance=_force_noise_variance(low_rank, structures)
            if force_variance
            else None,
            members=None if members is None else members.detach(),
            member_forces=forces,
        )
        return prediction, low_rank


def _independent_variance(prediction: LowRankPrediction) -> Tensor:
    """Return the unshared variance `[b]` with the jitter that keeps the covariance positive."""
    variance = prediction.covariance_root.square().sum(-1) + prediction.independent_variance
    scale = prediction.energy_scale
    unit_variance = torch.zeros_like(variance) if scale is None else scale.square()
    return prediction.independent_variance + jitter(variance, variance, unit_variance)


def _force_variance(prediction: LowRankPrediction, positions: Tensor) -> Tensor:
    """Return the latent variance of each force component, `[n, 3]` (eV/Å)²."""
    if prediction.covariance_root.shape[-1] == 0:
        condition = "be false for a model without weights or members that vary"
        raise InputError(error_message("force_variance", condition, True, "Use an ensemble."))
    variance = torch.zeros_like(positions)
    for column in prediction.covariance_root.unbind(-1):
        (gradient,) = torch.autograd.grad(column.sum(), positions, retain_graph=True)
        variance += gradient.square()
    return variance


def _force_noise_variance(prediction: LowRankPrediction, structures: Structures) -> Tensor | None:
    """Return the noise variance of each force component, `[n, 3]` (eV/Å)², if it is known."""
    noise = prediction.force_noise_variance
    if noise is None:
        return None
    return noise.detach()[structures.index].unsqueeze(-1).expand(-1, 3)


def _member_forces(prediction: LowRankPrediction, positions: Tensor) -> Tensor:
    """Return the forces of each member, `[M, n, 3]` eV/Å."""
    if prediction.members is None:
        condition = "be false for a model without members"
        raise InputError(error_message("member_forces", condition, True, "Use an ensemble."))
    forces = [
        -torch.autograd.grad(member.sum(), positions, retain_graph=True)[0]
        for member in prediction.members
    ]
    return torch.stack(forces)

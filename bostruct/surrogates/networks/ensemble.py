"""Ensembles: several networks, or one under several masks, with the variance between them.

Notation, with equation numbers of [G25]
    M, b     members, structures
    y  [M, b]   eV    energies of the members, the prior included
    m  [b]      eV    their mean                                            (17)
    t  [M, b]   eV    standard deviations that members predict

    covariance = sum (y - m)(y' - m') / (M - ddof)                        (18)
        + mean t² for a structure with itself                               (20)

A predicted standard deviation is a sum over atoms: the errors of like environments are alike, and
those of N copies of a structure together are N times those of one.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.training import LossFunction, training_error

TENSOR_NAMES = ("dropout_masks", "ddof", "predicts_variance", "energy_noise_std", "training_losses")


@final
@dataclass(frozen=True, eq=False)
class NetworkEnsemble:
    """The fitted predictor of surrogates whose members are networks.

    Attributes:
        featurizer: Inputs and prior mean of the networks.
        weights: Weights of the members.
        dropout_masks: Factors on the units of both layers that make members of one network,
            `[2, M + 1, h]`, the first all ones: the network without masks is the mean, and the
            members are shifted onto it. Or ones, `[2, 1, h]`.
        ddof: 1 for the divisor M - 1 between members, 0 for M.
        predicts_variance: True to add the variances that members predict.
        energy_noise_std: Noise standard deviation of an energy, eV per root atom: the training
            error of the mean; or the floor of the predicted standard deviation.
        training_losses: Loss, and root mean square errors of energies in eV per root atom and of
            forces in eV/Å, at the end of training, `[3]`.
    """

    featurizer: Featurizer
    weights: NetworkWeights
    dropout_masks: Tensor
    ddof: Tensor
    predicts_variance: Tensor
    energy_noise_std: Tensor
    training_losses: Tensor

    @classmethod
    def from_training(
        cls,
        featurizer: Featurizer,
        weights: NetworkWeights,
        training_set: TrainingSet,
        loss: LossFunction,
        *,
        dropout_masks: Tensor | None = None,
        ddof: int = 1,
        predicts_variance: bool = False,
        noise_floor: float | None = None,
    ) -> NetworkEnsemble:
        """Return the ensemble of trained networks.

        Args:
            featurizer: Inputs and prior mean of the networks.
            weights: Weights of the members.
            training_set: The training data.
            loss: The minimized loss.
            dropout_masks: Masks of the members of one network, `[2, M + 1, h]`; or None.
            ddof: 1 for the divisor M - 1 between members, 0 for M.
            predicts_variance: True if members predict standard deviations.
            noise_floor: Noise standard deviation, in the scale per root atom; None for the training
                error of the mean.
        """
        scale = featurizer.energy_scale
        losses = scale.new_tensor(training_error(weights, training_set, loss))
        units = torch.ones_like(scale), scale, scale / featurizer.length_scale()
        losses = losses * torch.stack(units)
        if dropout_masks is None:
            dropout_masks = weights.last_weights.new_ones(2, 1, weights.last_weights.shape[1])
        return cls(
            featurizer,
            weights,
            dropout_masks.to(weights.last_weights),
            torch.tensor(ddof),
            torch.tensor(predicts_variance),
            losses[1].clone() if noise_floor is None else noise_floor * scale,
            losses,
        )

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return the joint prediction of b structures.

        Raises:
            InputError: a species is not in the training data.
        """
        x, species_index = self.featurizer(structures)
        prior = self.featurizer.prior_mean(structures, species_index)
        scale = self.featurizer.energy_scale
        first, second = self.dropout_masks.unsqueeze(2)
        layers = self.weights.hidden_layers(x, species_index, (first, second))
        atomic = scale * self.weights.atomic_energies(layers)  # [M, n]
        zero = atomic.new_zeros(len(atomic), len(structures))
        y = zero.index_add(1, structures.index, atomic)
        if self.dropout_masks.shape[1] > 1:
            atomic, mean, y = atomic[:1], y[0], y[1:]
            y = y - y.mean(0) + mean
        else:
            mean = y.mean(0)
        divisor = max(len(y) - int(self.ddof), 1)
        variance = torch.zeros_like(mean)
        if bool(self.predicts_variance):
            t = zero.index_add(1, structures.index, scale * self.weights.atomic_std(layers))
            variance = t.square().mean(0)
        single = len(y) == 1
        return LowRankPrediction(
            mean=prior + mean,
            covariance_root=(y - mean).T[:, single:] / divisor**0.5,
            independent_variance=variance,
            noise_variance=self.energy_noise_std**2 * structures.counts,
            energy_scale=self.featurizer.energy_scale,
            atomic_energies=self.featurizer.species_energies[species_index] + atomic.mean(0),
            members=None if single else prior + y,
            force_noise_variance=self.training_losses[2].square().expand(len(structures)),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        tensors = {f"ensemble_{name}": getattr(self, name) for name in TENSOR_NAMES}
        return self.featurizer.tensors() | self.weights.tensors() | tensors

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> NetworkEnsemble:
        """Return the ensemble with these tensors."""
        tensors = {name: state[f"ensemble_{name}"] for name in TENSOR_NAMES}
        return cls(Featurizer.restore(state), NetworkWeights.restore(state), **tensors)

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, units in the names.

        In place of a marginal likelihood there is minus the loss at the end of training, over all
        of the data.
        """
        loss, energies, forces = self.training_losses.tolist()
        n_members = max(len(self.weights.last_weights), self.dropout_masks.shape[1] - 1)
        return {
            "log_marginal_likelihood": -loss,
            "energy_error_eV_per_root_atom": energies,
            "force_error_eV_per_angstrom": forces,
            "n_members": float(n_members),
        } | self.featurizer.hyperparameters()

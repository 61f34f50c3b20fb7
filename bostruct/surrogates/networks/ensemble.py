"""Several networks, or several readings of one, and what their differences say.

Notation, with equation numbers of [G25]
    M, b     members, structures
    y  [M, b]   eV    energies of the members, the prior included
    m  [b]      eV    their mean                                            (17)
    t  [M, b]   eV    deviations that members predict for themselves

    covariance = sum (y - m)(y' - m') / (M - ddof)                        (18)
        + mean t² for a structure with itself                               (20)

A deviation is a sum over atoms: the errors of like environments are alike, and those of
N copies of a structure together are N times one's.

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


@final
@dataclass(frozen=True, eq=False)
class NetworkEnsemble:
    """Trained members: a `Believer`.

    Attributes:
        featurizer: what comes before the networks.
        weights: of the members.
        dropout_masks: `[2, M + 1, h]`, factors on the units of both layers that tell members of
            one network apart, the first all ones: what the whole network says is the
            mean, and the members are moved onto it. Or ones, `[2, 1, h]`.
        ddof: 1 for the divisor M - 1 between members, 0 for M.
        predicts_variance: whether the deviations that members predict count.
        energy_noise_std: eV per root atom, what the mean misses of the training energies; or,
            where that is counted by the variance, the least deviation it was taught.
        training_losses: `[3]`, loss, and the misfits of energies in eV per root atom and of
            forces in eV/Å, at the end of training.
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
        """Return what has been trained on a lesson.

        Args:
            featurizer: of the lesson.
            weights: of the members.
            training_set: all of the training data.
            loss: that was minimised.
            dropout_masks: `[2, M + 1, h]`, if members are readings of one network.
            ddof: 0 or 1.
            predicts_variance: whether members predict deviations.
            noise_floor: deviation that counts as noise, in the scale per root atom; None for
                what the mean misses of the data.
        """
        total, energies, forces = training_error(weights, training_set, loss)
        scale = featurizer.energy_scale
        marks = scale.new_tensor([total, energies, forces])
        marks = marks * torch.stack((torch.ones_like(scale), scale, scale))
        if dropout_masks is None:
            dropout_masks = weights.last_weights.new_ones(2, 1, weights.last_weights.shape[1])
        return cls(
            featurizer,
            weights,
            dropout_masks.to(weights.last_weights),
            torch.tensor(ddof),
            torch.tensor(predicts_variance),
            marks[1].clone() if noise_floor is None else noise_floor * scale,
            marks,
        )

    def predict(self, structures: Structures) -> LowRankPrediction:
        """Return what is believed of b structures.

        Raises:
            InputError: a species it was not trained on.
        """
        x, place = self.featurizer(structures)
        prior = self.featurizer.prior_mean(structures, place)
        scale, constants = (
            self.featurizer.energy_scale,
            self.featurizer.species_energies[place],
        )
        first, second = self.dropout_masks.unsqueeze(2)
        layers = self.weights.hidden_layers(x, place, (first, second))
        local = scale * self.weights.atomic_energies(layers)  # [M, n]
        zero = local.new_zeros(len(local), len(structures))
        sums = zero.index_add(1, structures.index, local)
        if self.dropout_masks.shape[1] > 1:
            local, mean, sums = local[:1], sums[0], sums[1:]
            sums = sums - sums.mean(0) + mean
        else:
            mean = sums.mean(0)
        divisor = max(len(sums) - int(self.ddof), 1)
        own = torch.zeros_like(mean)
        if bool(self.predicts_variance):
            each = scale * self.weights.atomic_std(layers)
            t = zero.index_add(1, structures.index, each)
            own = t.square().mean(0)
        single = len(sums) == 1
        return LowRankPrediction(
            mean=prior + mean,
            covariance_root=(sums - mean).T[:, single:] / divisor**0.5,
            independent_variance=own,
            noise_variance=self.energy_noise_std**2 * structures.counts,
            atomic_energies=constants + local.mean(0),
            members=None if single else prior + sums,
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return all numbers it consists of, by name."""
        names = (
            "dropout_masks",
            "ddof",
            "predicts_variance",
            "energy_noise_std",
            "training_losses",
        )
        own = {f"ensemble_{name}": getattr(self, name) for name in names}
        return self.featurizer.tensors() | self.weights.tensors() | own

    @classmethod
    def restore(cls, state: Mapping[str, Tensor]) -> NetworkEnsemble:
        """Return the crowd that `tensors` were taken from."""
        names = (
            "dropout_masks",
            "ddof",
            "predicts_variance",
            "energy_noise_std",
            "training_losses",
        )
        own = {name: state[f"ensemble_{name}"] for name in names}
        return cls(Featurizer.restore(state), NetworkWeights.restore(state), **own)

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers a person wants to see, units in the names.

        There is no marginal likelihood: minus the loss at the end of training, over all
        of the data, stands in.
        """
        loss, energies, forces = self.training_losses.tolist()
        found = {
            "log_marginal_likelihood": -loss,
            "energy_misfit_eV_per_root_atom": energies,
            "force_misfit_eV_per_angstrom": forces,
            "members": float(max(len(self.weights.last_weights), self.dropout_masks.shape[1] - 1)),
        }
        return found | self.featurizer.hyperparameters()

"""Dropout: an ensemble of one network under random masks (row U10).

Mean and variance of the members are (17) and (18) of Grasselli et al., Digital Discovery 2025, 4,
2654.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from bostruct.errors import check_fraction
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import check_members
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import draw_dropout_masks, squared_loss, train


@final
@dataclass(frozen=True)
class Dropout(NetworkSurrogate):
    """One network trained with dropout; its members are the network under random masks.

    Gal and Ghahramani, ICML 2016. In training, units of both hidden layers are left out at random,
    others for each structure. The mean is that of the network without masks, and members are
    shifted to this mean. The masks of the members are drawn once and kept with the model, so that
    the posterior is a fixed function of the positions; a mask is the same for all atoms, so that
    forces are derivatives of energies. The effects of masks on atoms add up in an energy, and the
    variance is as a rule far larger than the squared error: calibrate it.

    Attributes:
        network: Settings of the network and of its training.
        n_members: Number of members M, at least 2.
        dropout_rate: Fraction of the units that are left out; at 0.05 the errors of held-out
            energies of clusters were three times those at 0.02.

    Raises:
        InputError: there are fewer than 2 members, or the rate is not between 0 and 1.
    """

    n_members: int = 16
    dropout_rate: float = 0.02

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_fraction("dropout_rate", self.dropout_rate)

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> NetworkEnsemble:
        """Return the trained network with the masks of its members."""
        M, h, rate, loss = self.n_members, self.network.width, self.dropout_rate, squared_loss()
        weights = self.initial_weights(featurizer, generator)
        weights = train(weights, self.network, training_set, loss, generator, dropout_rate=rate)
        masks = draw_dropout_masks(2 * M, h, rate, generator).view(2, M, h)
        masks = torch.cat((masks.new_ones(2, 1, h), masks), 1)
        return NetworkEnsemble.from_training(
            featurizer, weights, training_set, loss, dropout_masks=masks
        )

"""One network, read through masks (row U10).

Mean and variance of what is read are (17) and (18) of Grasselli et al., Digital
Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from bostruct.errors import check_fraction
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.network import (
    DEFAULT_NETWORK,
    NetworkConfig,
    NetworkWeights,
    check_members,
)
from bostruct.surrogates.networks.training import (
    draw_dropout_masks,
    squared_loss,
    train,
)


@final
@dataclass(frozen=True)
class Dropout:
    """One network trained with dropout; members are what is left of it by masks.

    Gal and Ghahramani, ICML 2016. In training units of both hidden layers are left out
    at random, others for each structure. The mean is what the whole network says, and
    members are moved so that it is theirs. The masks of the members are drawn once and
    kept with the model, so that the posterior is a fixed function of the positions; a
    mask is the same for all atoms, so that forces are slopes of energies. What masks do
    to atoms adds up in an energy, and its spread is as a rule far larger than its
    error: calibrate it.

    Attributes:
        network: how it looks and how it is trained.
        n_members: M, at least 2.
        dropout_rate: share of the units that are left out; at 0.05 the errors of held-out
            energies of clusters were three times those at 0.02.

    Raises:
        InputError: there are fewer than 2 members, or the rate is not between 0 and 1.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_members: int = 16
    dropout_rate: float = 0.02
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_fraction("dropout_rate", self.dropout_rate)

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"n_members": self.n_members, "dropout_rate": self.dropout_rate}
        return {"type": "Dropout", "network": self.network.description()} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare_training_set(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        h, loss = self.network.width, squared_loss()
        sizes = lesson.inputs.shape[1], len(encoder.radii), h
        weights = train(
            NetworkWeights.initialize(sizes, generator),
            self.network,
            lesson,
            loss,
            generator,
            dropout_rate=self.dropout_rate,
        )
        kept = draw_dropout_masks(2 * self.n_members, h, self.dropout_rate, generator)
        kept = kept.view(2, self.n_members, h)
        kept = torch.cat((kept.new_ones(2, 1, h), kept), 1)
        found = NetworkEnsemble.from_training(encoder, weights, lesson, loss, dropout_masks=kept)
        return LowRankModel(found, space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return LowRankModel(NetworkEnsemble.restore(state), space)

"""The part that all surrogates made of networks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.low_rank_model import LowRankModel
from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPredictor
from bostruct.surrogates.networks.dataset import TrainingSet, prepare_training_set
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import DEFAULT_NETWORK, NetworkConfig, NetworkWeights


@dataclass(frozen=True)
class NetworkSurrogate(ABC):
    """A surrogate made of networks on atomic environments.

    Attributes:
        network: Settings of a network and of its training.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    supports_multiple_outcomes: ClassVar[bool] = False
    predictor_class: ClassVar[type[LowRankPredictor]] = NetworkEnsemble

    @abstractmethod
    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> LowRankPredictor:
        """Return the predictor trained on a training set."""

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        return {"type": type(self).__name__} | asdict(self)

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model fitted to energies and forces.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        featurizer, training_set = prepare_training_set(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        return LowRankModel(self.train(featurizer, training_set, generator), space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model with this state; its predictions are equal."""
        return LowRankModel(self.predictor_class.restore(state), space)

    def initial_weights(
        self,
        featurizer: Featurizer,
        generator: torch.Generator,
        *,
        n_backbones: int = 1,
        n_heads: int = 1,
    ) -> NetworkWeights:
        """Return random weights of the size of the features; see `NetworkWeights.initialize`."""
        sizes = featurizer.basis.shape[1], len(featurizer.radii), self.network.width
        return NetworkWeights.initialize(sizes, generator, n_backbones=n_backbones, n_heads=n_heads)

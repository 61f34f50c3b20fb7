"""Committees: networks that differ by their training data, or by their first weights (row U10).

Equations are those of Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final, get_args

import torch

from bostruct.errors import check_choice
from bostruct.surrogates.networks.dataset import TrainingSet
from bostruct.surrogates.networks.ensemble import NetworkEnsemble
from bostruct.surrogates.networks.featurizer import Featurizer
from bostruct.surrogates.networks.network import check_members
from bostruct.surrogates.networks.network_surrogate import NetworkSurrogate
from bostruct.surrogates.networks.training import squared_loss, train
from bostruct.uncertainty import subsample_rows

Diversity = Literal["subsample", "seed"]


@final
@dataclass(frozen=True)
class Committee(NetworkSurrogate):
    """Networks trained at once; mean (17) and variance (18) of their energies.

    Members that share data are alike, and agree where all are wrong: calibrate them. The training
    error of their mean counts as noise.

    Attributes:
        network: Settings of each network and of its training.
        n_members: Number of members M, at least 2.
        diversity: "subsample", each member is trained on (M - 1) / M of the structures, as is
            usual; "seed", each is trained on all. First weights differ in both, the order of
            structures in training in neither.

    Raises:
        InputError: there are fewer than 2 members, or `diversity` is something else.
    """

    n_members: int = 5
    diversity: Diversity = "subsample"

    def __post_init__(self) -> None:
        check_members(self.n_members)
        check_choice("diversity", self.diversity, get_args(Diversity))

    def train(
        self, featurizer: Featurizer, training_set: TrainingSet, generator: torch.Generator
    ) -> NetworkEnsemble:
        """Return the trained committee."""
        M, b = self.n_members, len(training_set)
        weights = self.initial_weights(featurizer, generator, n_backbones=M, n_heads=M)
        weight = torch.ones(M, b, dtype=torch.float64)
        if self.diversity == "subsample" and b > 1:
            rows = subsample_rows(b, M, generator)  # (M - 1) b / M of them
            weight = torch.zeros_like(weight).scatter(1, rows, 1.0)
        loss = squared_loss(weight.to(training_set.inputs))
        weights = train(weights, self.network, training_set, loss, generator)
        return NetworkEnsemble.from_training(featurizer, weights, training_set, loss)

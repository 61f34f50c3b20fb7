"""Networks that differ by what they have seen, or by where they began (row U10).

Equations are those of Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
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
from bostruct.surrogates.networks.training import squared_loss, train
from bostruct.uncertainty import subsample_rows

Diversity = Literal["subsample", "seed"]


@final
@dataclass(frozen=True)
class Committee:
    """Networks trained at once; mean (17) and variance (18) of what they say.

    Members that share data are alike, and agree where all are wrong: calibrate them.
    What their mean misses of the training energies counts as noise.

    Attributes:
        network: how each looks and how it is trained.
        n_members: M, at least 2.
        diversity: "subsample", each sees (M - 1) / M of the structures, as is usual; "seed",
            each sees all. First weights differ in both, the order of structures in
            training in neither.

    Raises:
        InputError: there are fewer than 2 members, or `diversity` is something else.
    """

    network: NetworkConfig = DEFAULT_NETWORK
    n_members: int = 5
    diversity: Diversity = "subsample"
    supports_multiple_outcomes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_members(self.n_members)
        if self.diversity not in ("subsample", "seed"):
            raise InputError(
                error_message("diversity", "be subsample or seed", repr(self.diversity))
            )

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"n_members": self.n_members, "diversity": self.diversity}
        return {"type": "Committee", "network": self.network.description()} | own

    def fit(self, structures: Structures, space: Space | None = None) -> LowRankModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare_training_set(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        M, b = self.n_members, len(lesson)
        sizes = lesson.inputs.shape[1], len(encoder.radii), self.network.width
        start = NetworkWeights.initialize(sizes, generator, n_backbones=M, n_heads=M)
        weight = torch.ones(M, b, dtype=torch.float64)
        if self.diversity == "subsample" and b > 1:
            seen = subsample_rows(b, M, generator, size=max(1, (M - 1) * b // M))
            weight = torch.zeros_like(weight).scatter(1, seen, 1.0)
        loss = squared_loss(weight.to(lesson.inputs))
        weights = train(start, self.network, lesson, loss, generator)
        return LowRankModel(NetworkEnsemble.from_training(encoder, weights, lesson, loss), space)

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> LowRankModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return LowRankModel(NetworkEnsemble.restore(state), space)

"""Networks that differ by what they have seen, or by where they began (row U10).

Equations are those of Grasselli et al., Digital Discovery 2025, 4, 2654.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, must
from bostruct.structures import Structures
from bostruct.surrogates.base import Decodes
from bostruct.surrogates.botorch_models.low_rank_model import BelievedModel
from bostruct.surrogates.networks.dataset import prepare
from bostruct.surrogates.networks.ensemble import Crowd
from bostruct.surrogates.networks.network import (
    NETWORK,
    Network,
    Weights,
    check_members,
)
from bostruct.surrogates.networks.training import squared, train
from bostruct.uncertainty import subsamples

By = Literal["subsample", "seed"]


@final
@dataclass(frozen=True)
class Committee:
    """Networks trained at once; mean (17) and variance (18) of what they say.

    Members that share data are alike, and agree where all are wrong: calibrate them.
    What their mean misses of the training energies counts as noise.

    Attributes:
        network: how each looks and how it is trained.
        members: M, at least 2.
        by: "subsample", each sees (M - 1) / M of the structures, as is usual; "seed",
            each sees all. First weights differ in both, the order of structures in
            training in neither.

    Raises:
        InputError: there are fewer than 2 members, or `by` is something else.
    """

    network: Network = NETWORK
    members: int = 5
    by: By = "subsample"

    def __post_init__(self) -> None:
        check_members(self.members)
        if self.by not in ("subsample", "seed"):
            raise InputError(must("by", "be subsample or seed", repr(self.by)))

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        own = {"members": self.members, "by": self.by}
        return {"surrogate": "Committee", "network": self.network.description()} | own

    def fit(
        self, structures: Structures, space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that these energies and forces teach.

        Raises:
            InputError: an energy is missing, there is no structure, or memory is short.
        """
        encoder, lesson = prepare(self.network, structures, space)
        generator = torch.Generator().manual_seed(self.network.seed)
        M, b = self.members, len(lesson)
        sizes = lesson.x.shape[1], len(encoder.radii), self.network.width
        start = Weights.draw(sizes, generator, backbones=M, heads=M)
        weight = torch.ones(M, b, dtype=torch.float64)
        if self.by == "subsample" and b > 1:
            seen = subsamples(b, M, generator, size=max(1, (M - 1) * b // M))
            weight = torch.zeros_like(weight).scatter(1, seen, 1.0)
        loss = squared(weight.to(lesson.x))
        weights = train(start, self.network, lesson, loss, generator)
        return BelievedModel(Crowd.of(encoder, weights, lesson, loss), space)

    def restore(
        self, state: Mapping[str, Tensor], space: Decodes | None = None
    ) -> BelievedModel:
        """Return the model that `state` was taken from; its predictions are equal."""
        return BelievedModel(Crowd.restore(state), space)

"""BoTorch models of one outcome, the energy of a structure."""

from __future__ import annotations

import torch
from botorch.models.model import FantasizeMixin, Model
from torch import Tensor

from bostruct.surrogates.botorch_models.conditioned_model import (
    ConditionedModel,
    condition_on_observations,
)


class EnergyModel(Model, FantasizeMixin):  # type: ignore[misc]
    """A fitted model of energies, one without batches; it never changes."""

    num_outputs: int = 1
    batch_shape: torch.Size = torch.Size()  # no batch of models
    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model conditioned on energies Y `[..., t, 1]` at X; see `ConditionedModel`."""
        return condition_on_observations(self, X, Y, noise)

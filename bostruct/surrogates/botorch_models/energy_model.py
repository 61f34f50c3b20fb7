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

    likelihood: None = None  # `fantasize` looks for one; the noise is in `posterior`

    @property
    def num_outputs(self) -> int:
        """The number of outcomes, 1."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """No batch of models."""
        return torch.Size()

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model conditioned on energies Y `[..., t, 1]` at X; see `ConditionedModel`."""
        return condition_on_observations(self, X, Y, noise)

"""What a campaign asks of a surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from botorch.acquisition.objective import PosteriorTransform
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.uncertainty import Prediction


class FittedModel(Protocol):
    """A BoTorch model over the coordinates of a space that can be logged."""

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of q energies at X `[..., q, d]`."""
        ...

    def predict(self, structures: Structures) -> Prediction:
        """Return what the model says of b structures."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return named numbers for people, "log_marginal_likelihood" among them."""
        ...


class Surrogate(Protocol):
    """A description of a model that can be written down before there is data."""

    def fit(self, structures: Structures, space: Space | None = None) -> FittedModel:
        """Return the model that structures with energies teach."""
        ...

    def restore(self, state: Mapping[str, Tensor], space: Space | None = None) -> FittedModel:
        """Return the model that `state` was taken from."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        ...

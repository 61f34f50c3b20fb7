"""Intensive properties: sums over environments per atom, by a surrogate of energies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates.base import FittedModel, Surrogate
from bostruct.surrogates.local_gp.local_gp import LocalGP
from bostruct.surrogates.properties.state_header import (
    decode_header,
    encode_header,
    tensors_under,
)

BATCHES_PER_CHUNK = 256  # joint batches whose features are in memory at once


@final
@dataclass(frozen=True)
class IntensiveProperty:
    """An energy per atom, or another sum over atoms divided by their number.

    A surrogate of energies is fitted to value times number of atoms for the structures as the space
    decodes them, without forces, and predicts the value.

    Attributes:
        surrogate: Surrogate of energies.
    """

    surrogate: Surrogate = field(default_factory=LocalGP)

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        return {"type": "IntensiveProperty", "surrogate": self.surrogate.description()}

    def fit(self, X: Tensor, y: Tensor, space: DiscreteSpace) -> FittedIntensiveProperty:
        """Return the model fitted to values per atom y `[t]` at X `[t, d]`."""
        structures = space.decode(X)
        energy = y.to(structures.positions) * structures.counts
        structures = replace(structures, energy=energy, forces=None)
        kind = str(self.surrogate.description()["type"])
        return FittedIntensiveProperty(kind, self.surrogate.fit(structures, space), space)

    def restore(self, state: Mapping[str, Tensor], space: DiscreteSpace) -> FittedIntensiveProperty:
        """Return the model with this state.

        Raises:
            InputError: the state belongs to another kind of surrogate.
        """
        stored = decode_header(state["header"])["surrogate"]
        kind = str(self.surrogate.description()["type"])
        if stored != kind:
            condition = f"be of the kind that the state is of ({stored})"
            raise InputError(error_message("surrogate", condition, kind))
        model = self.surrogate.restore(tensors_under(state, "surrogate."), space)
        return FittedIntensiveProperty(kind, model, space)


@final
@dataclass(frozen=True, eq=False)
class FittedIntensiveProperty:
    """A fitted intensive property.

    Attributes:
        surrogate_name: Class name of the surrogate of energies.
        model: Fitted model of energies.
        space: Space of the coordinates X.
    """

    surrogate_name: str
    model: FittedModel
    space: DiscreteSpace

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, covariance and noise at X `[..., q, d]`, as `FittedProperty` does."""
        shape, q = X.shape[:-1], X.shape[-2]
        chunks = X.reshape(-1, q, X.shape[-1]).split(BATCHES_PER_CHUNK)
        predictions = zip(*(self._predict_chunk(chunk) for chunk in chunks), strict=True)
        mean, C, noise = (torch.cat(values) for values in predictions)
        return mean.view(shape), C.view(*shape, q), noise.view(shape)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        state = {f"surrogate.{name}": value for name, value in self.model.state().items()}
        header = {"type": "IntensiveProperty", "surrogate": self.surrogate_name}
        return state | {"header": encode_header(header)}

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers of the surrogate."""
        return self.model.hyperparameters()

    def _predict_chunk(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, covariance and noise at X `[b, q, d]`."""
        with torch.no_grad():
            latent, noisy = (self.model.posterior(X, None, noise) for noise in (False, True))
        C = latent.distribution.covariance_matrix
        noise = (noisy.variance - latent.variance).squeeze(-1).clamp(min=0)
        counts = self.space.decode(X).counts.to(C).view(noise.shape)
        C = C / counts.unsqueeze(-1) / counts.unsqueeze(-2)
        return latent.mean.squeeze(-1) / counts, C, noise / counts.square()

"""A property per atom as a sum over environments, by a surrogate of energies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.descriptors import SupportsComposition
from bostruct.errors import InputError, error_message
from bostruct.surrogates.base import FittedModel, Surrogate
from bostruct.surrogates.local_gp.local_gp import LocalGP
from bostruct.surrogates.properties.state_header import decode_header, encode_header

BATCHES_PER_CHUNK = 256  # sets of structures whose features are in memory at once


@final
@dataclass(frozen=True)
class IntensiveProperty:
    """Energies per atom, and what else is a sum over atoms divided by their number.

    A surrogate of energies learns value times number of atoms of the structures as the
    space decodes them, without forces, and predicts value.

    Attributes:
        surrogate: of energies.
    """

    surrogate: Surrogate = field(default_factory=LocalGP)

    def description(self) -> dict[str, Any]:
        """Return what identifies the learner, as JSON values."""
        return {"type": "IntensiveProperty", "surrogate": self.surrogate.description()}

    def fit(self, X: Tensor, y: Tensor, space: SupportsComposition) -> FittedIntensiveProperty:
        """Return what values per atom y `[t]` at X `[t, d]` teach."""
        structures = space.decode(X)
        energy = y.to(structures.positions) * structures.counts
        structures = replace(structures, energy=energy, forces=None)
        kind = str(self.surrogate.description()["type"])
        return FittedIntensiveProperty(kind, self.surrogate.fit(structures, space), space)

    def restore(
        self, state: Mapping[str, Tensor], space: SupportsComposition
    ) -> FittedIntensiveProperty:
        """Return what `state` was taken from.

        Raises:
            InputError: it is of another kind of surrogate.
        """
        told, kind = (
            decode_header(state["header"]),
            self.surrogate.description()["type"],
        )
        if told["surrogate"] != kind:
            condition = f"be of the kind that the state is of ({told['surrogate']})"
            raise InputError(error_message("surrogate", condition, kind))
        own = {
            name.removeprefix("surrogate."): value
            for name, value in state.items()
            if name.startswith("surrogate.")
        }
        return FittedIntensiveProperty(told["surrogate"], self.surrogate.restore(own, space), space)


@final
@dataclass(frozen=True, eq=False)
class FittedIntensiveProperty:
    """What a surrogate has learnt of a property per atom.

    Attributes:
        surrogate_name: name of the surrogate.
        model: of energies.
        space: of X.
    """

    surrogate_name: str
    model: FittedModel
    space: SupportsComposition

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, covariance and noise at X `[..., q, d]`, as `Learnt` says."""
        shape, q = X.shape[:-1], X.shape[-2]
        parts = X.reshape(-1, q, X.shape[-1]).split(BATCHES_PER_CHUNK)
        found = zip(*(self._predict_chunk(part) for part in parts), strict=True)
        mean, C, noise = (torch.cat(values) for values in found)
        return mean.view(shape), C.view(*shape, q), noise.view(shape)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        own = {f"surrogate.{name}": value for name, value in self.model.state().items()}
        told = {"type": "IntensiveProperty", "surrogate": self.surrogate_name}
        return own | {"header": encode_header(told)}

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers of the surrogate."""
        return self.model.hyperparameters()

    def _predict_chunk(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is believed at X `[b, q, d]`."""
        with torch.no_grad():
            latent, noisy = (self.model.posterior(X, None, own) for own in (False, True))
        C = latent.distribution.covariance_matrix
        noise = (noisy.variance - latent.variance).squeeze(-1).clamp(min=0)
        counts = self.space.decode(X).counts.to(C).view(noise.shape)
        C = C / counts.unsqueeze(-1) / counts.unsqueeze(-2)
        return latent.mean.squeeze(-1) / counts, C, noise / counts.square()

"""Several properties of structures, each with its own learner.

Notation
    k, q   properties, structures asked about jointly
    Y      [t, k]   values; NaN where unknown
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, final

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors import Posterior
from torch import Tensor

from bostruct.errors import InputError, NotFittedError, check_shape, error_message
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates.base import TrainingData
from bostruct.surrogates.botorch_models.conditioned_model import (
    ConditionedModel,
    condition_on_observations,
)
from bostruct.surrogates.botorch_models.posterior import add_noise, joint_posterior
from bostruct.surrogates.properties.gp import GP
from bostruct.surrogates.properties.intensive_property import IntensiveProperty
from bostruct.surrogates.properties.state_header import decode_header, encode_header


class FittedProperty(Protocol):
    """What is known of one property."""

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise at X.

        X is `[..., q, d]`; the noise is a variance that expands to `[..., q]`.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly; "header" is bytes of JSON."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return named numbers for people, "log_marginal_likelihood" among them."""
        ...


class PropertySurrogate(Protocol):
    """A description of how one property is learnt."""

    def fit(self, X: Tensor, y: Tensor, space: DiscreteSpace) -> FittedProperty:
        """Return what values y `[t]` at X `[t, d]` teach."""
        ...

    def restore(self, state: Mapping[str, Tensor], space: DiscreteSpace) -> FittedProperty:
        """Return what `state` was taken from."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the learner, as JSON values; "type" is its name."""
        ...


PROPERTY_SURROGATES: dict[str, Callable[[], PropertySurrogate]] = {
    "GP": GP,
    "IntensiveProperty": IntensiveProperty,
}
"""Learners that read a state without having been told of it."""


@final
@dataclass(frozen=True)
class IndependentProperties:
    """Independent models of several properties, each fitted to the structures where it is known.

    Attributes:
        default: the surrogate of every property.
        overrides: the surrogates of some properties, by name, as in
            `{"energy": IntensiveProperty()}`.
    """

    default: PropertySurrogate = field(default_factory=GP)
    overrides: Mapping[str, PropertySurrogate] = field(default_factory=dict)
    supports_multiple_outcomes: ClassVar[bool] = True

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        of = {name: self.overrides[name].description() for name in sorted(self.overrides)}
        default = self.default.description()
        return {"type": "IndependentProperties", "default": default, "overrides": of}

    def fit(self, data: TrainingData, /, space: DiscreteSpace | None = None) -> PropertyModel:
        """Return the models of the outcomes, each fitted to the values that are known of it.

        Args:
            data: coordinates and values of t structures, NaN where unknown.
            space: of the coordinates, with separate structures.

        Raises:
            InputError: a property without any value, or one that is infinite; a name in
                `overrides` that is not an outcome; or no space of separate structures.
            ShapeError: X, Y and names do not belong together.
        """
        checked_space, names = check_property_data(data, space), data.outcome_names
        for name in self.overrides:
            if name not in names:
                condition = f"name outcomes of the data ({', '.join(names)})"
                raise InputError(error_message("overrides", condition, repr(name)))
        models = []
        for name, y in zip(names, data.Y.T, strict=True):
            known = ~y.isnan()
            surrogate = self.overrides.get(name, self.default)
            models.append(surrogate.fit(data.X[known], y[known], checked_space))
        return PropertyModel(IndependentModels(tuple(models)), tuple(names))

    def restore(
        self, state: Mapping[str, Tensor], space: DiscreteSpace | None = None
    ) -> PropertyModel:
        """Return the model that `state` was taken from; its predictions are equal.

        Raises:
            InputError: a surrogate of a property is of a kind that is not among those given.
        """
        checked_space = require_discrete(space)
        header = decode_header(state["header"])
        models = []
        for i, name in enumerate(header["names"]):
            prefix = f"{i}."
            own_state = {
                key.removeprefix(prefix): state[header["same"].get(key, key)]
                for key in header["keys"]
                if key.startswith(prefix)
            }
            surrogate = self._surrogate_for(name, decode_header(own_state["header"])["type"])
            models.append(surrogate.restore(own_state, checked_space))
        return PropertyModel(IndependentModels(tuple(models)), tuple(header["names"]))

    def _surrogate_for(self, name: str, surrogate_name: str) -> PropertySurrogate:
        """Return the learner that reads what one of that kind wrote."""
        own = self.overrides.get(name, self.default)
        if own.description()["type"] == surrogate_name:
            return own
        if surrogate_name not in PROPERTY_SURROGATES:
            condition = f"name a surrogate of the kind that is read ({surrogate_name})"
            raise InputError(error_message("overrides", condition, f"none for {name}"))
        return PROPERTY_SURROGATES[surrogate_name]()


class JointModel(Protocol):
    """What is known of all properties together."""

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance and noise `[..., q, k]` at X.

        The covariance is `[..., q, k, q, k]`.
        """
        ...

    def state(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly."""
        ...

    def hyperparameters(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return named numbers for people."""
        ...


@final
@dataclass(frozen=True, eq=False)
class IndependentModels:
    """Properties that know nothing of each other.

    Attributes:
        models: each of them.
    """

    models: tuple[FittedProperty, ...]

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance `[..., q, k, q, k]` and noise."""
        found = [part(X) for part in self.models]
        mean = torch.stack([m for m, _, _ in found], -1)
        C = torch.diag_embed(torch.stack([c for _, c, _ in found], -1))
        noise = torch.stack([n.expand(X.shape[:-1]) for _, _, n in found], -1)
        return mean, C.transpose(-3, -2), noise  # [..., q, q, k, k] before

    def state(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the tensors that rebuild it exactly; equal ones are there once."""
        found: dict[str, Tensor] = {}
        first: dict[tuple[int, tuple[int, ...]], str] = {}
        same, keys = {}, []
        for i, part in enumerate(self.models):
            for name, value in part.state().items():
                key = f"{i}.{name}"
                keys.append(key)
                place = value.data_ptr(), tuple(value.shape)
                if value.numel() and place in first:
                    same[key] = first[place]
                else:
                    first[place] = key
                    found[key] = value
        told = {"names": list(names), "keys": keys, "same": same}
        return found | {"header": encode_header(told)}

    def hyperparameters(self, names: tuple[str, ...]) -> dict[str, float]:
        """Return named numbers for people, and the sum of the evidences."""
        found = {"log_marginal_likelihood": 0.0}
        for name, part in zip(names, self.models, strict=True):
            own = part.hyperparameters()
            found["log_marginal_likelihood"] += own["log_marginal_likelihood"]
            found |= {f"{key}_of_{name}": value for key, value in own.items()}
        return found


@final
class PropertyModel(Model):  # type: ignore[misc]
    """What `Properties.fit` returns. Deterministic, and never changes.

    Args:
        joint_model: what is known.
        names: of the properties.
    """

    likelihood: None = None

    def __init__(self, joint_model: JointModel, names: tuple[str, ...]) -> None:
        super().__init__()
        self.joint_model, self.names = joint_model, names

    @property
    def num_outputs(self) -> int:
        """The number of properties k."""
        return len(self.names)

    @property
    def batch_shape(self) -> torch.Size:
        """One model, no batch."""
        return torch.Size()

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of k properties of q structures; no gradient.

        Args:
            X: `[..., q, d]`.
            output_indices: of the properties that are wanted; all by default.
            observation_noise: whether to add the noise of a measured value, or
                variances that expand to `[..., q, k]`.
            posterior_transform: applied last.
        """
        mean, C, noise = self.joint_model(X)
        C = C.reshape(*mean.shape[:-2], -1, mean.shape[-2:].numel())
        C = add_noise(C, observation_noise, noise.flatten(-2), len(self.names))
        like = X.dtype if X.dtype.is_floating_point else torch.float64
        mean, C = mean.to(X.device, like), C.to(X.device, like)
        return joint_posterior(mean, C, posterior_transform, output_indices, unclamped=True)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model of one property that has also been told Y `[..., t, 1]`.

        Hyperparameters stay; see `Conditioned`.

        Raises:
            InputError: there are several properties.
        """
        if len(self.names) > 1:
            condition_ = "be one where a model is told more values"
            way_out = "Fit again, or give pending candidates to a joint acquisition."
            raise InputError(error_message("names", condition_, ", ".join(self.names), way_out))
        return condition_on_observations(self, X, Y, noise)

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, latent and observed variance of each of X `[c, d]`, `[c, k]`."""
        mean, C, noise = self.joint_model(X.unsqueeze(-2))
        k = len(self.names)
        own = C.reshape(len(X), k, k).diagonal(dim1=-2, dim2=-1)
        return mean.squeeze(-2), own, own + noise.reshape(-1, k)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        return self.joint_model.state(self.names)

    def hyperparameters(self) -> dict[str, float]:
        """Return named numbers for people, "log_marginal_likelihood" of all."""
        return self.joint_model.hyperparameters(self.names)


def require_discrete(space: DiscreteSpace | None) -> DiscreteSpace:
    """Return the space.

    Raises:
        NotFittedError: there is none, or one whose structures are all of one kind.
    """
    if space is None or not hasattr(space, "composition"):
        condition = "be one of separate structures, such as Orderings or Composition"
        raise NotFittedError(error_message("space", condition, type(space).__name__))
    return space


def check_property_data(data: TrainingData, space: DiscreteSpace | None) -> DiscreteSpace:
    """Return the space of training data, checked.

    Raises:
        InputError: a property without any value, or one that is infinite.
        NotFittedError: no space of separate structures.
        ShapeError: X, Y and names do not belong together.
    """
    checked_space, names = require_discrete(space), data.outcome_names
    check_shape("X", data.X, [None, None])
    check_shape("Y", data.Y, [len(data.X), len(names)], "One column for each of `outcome_names`.")
    for name, column in zip(names, data.Y.T, strict=True):
        if column.isinf().any():
            raise InputError(error_message("Y", "be finite, or NaN", f"infinity of {name}"))
        if not column.isfinite().any():
            condition = "hold at least one value of each property"
            raise InputError(error_message("Y", condition, f"none of {name}"))
    return checked_space

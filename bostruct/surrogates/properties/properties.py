"""Several properties of structures, each with its own surrogate.

Notation
    k, q   properties, structures of a joint posterior
    Y      [t, k]   values; NaN where unknown
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Tensor

from bostruct.errors import InputError, NotFittedError, check_shape, error_message
from bostruct.spaces import DiscreteSpace
from bostruct.surrogates.botorch_models.conditioned_model import (
    ConditionedModel,
    JointModel,
    condition_on_observations,
)
from bostruct.surrogates.botorch_models.posterior import add_noise
from bostruct.surrogates.properties.gp import GP
from bostruct.surrogates.properties.intensive_property import IntensiveProperty
from bostruct.surrogates.properties.state_header import (
    decode_header,
    encode_header,
    tensors_under,
)
from bostruct.surrogates.training_data import TrainingData


class FittedProperty(Protocol):
    """A fitted model of one property."""

    def __call__(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise at X.

        X is `[..., q, d]`; the noise is a variance that expands to `[..., q]`.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly; "header" is bytes of JSON."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, "log_marginal_likelihood" among them."""
        ...


class PropertySurrogate(Protocol):
    """A description of a model of one property, written down before there is data."""

    def fit(self, X: Tensor, y: Tensor, space: DiscreteSpace) -> FittedProperty:
        """Return the model fitted to values y `[t]` at X `[t, d]`."""
        ...

    def restore(self, state: Mapping[str, Tensor], space: DiscreteSpace) -> FittedProperty:
        """Return the model with this state."""
        ...

    def description(self) -> dict[str, Any]:
        """Return the class, under "type", and its arguments as JSON values."""
        ...


PROPERTY_SURROGATES: dict[str, Callable[[], PropertySurrogate]] = {
    "GP": GP,
    "IntensiveProperty": IntensiveProperty,
}
"""Surrogates that read states of their kind by default."""


@final
@dataclass(frozen=True)
class IndependentProperties:
    """Independent models of several properties, each fitted to the structures where it is known.

    Attributes:
        default: Surrogate of every property.
        overrides: Surrogates of some properties, by name, as in `{"energy": IntensiveProperty()}`.
    """

    default: PropertySurrogate = field(default_factory=GP)
    overrides: Mapping[str, PropertySurrogate] = field(default_factory=dict)
    supports_multiple_outcomes: ClassVar[bool] = True

    def description(self) -> dict[str, Any]:
        """Return the class and its arguments as JSON values."""
        overrides = {name: self.overrides[name].description() for name in sorted(self.overrides)}
        default = self.default.description()
        return {"type": "IndependentProperties", "default": default, "overrides": overrides}

    def fit(self, data: TrainingData, /, space: DiscreteSpace | None = None) -> PropertyModel:
        """Return the models of the outcomes, each fitted to the values that are known of it.

        Args:
            data: Coordinates and values of t structures, NaN where unknown.
            space: Space of the coordinates, with separate structures.

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
        return IndependentModels(tuple(names), tuple(models))

    def restore(
        self, state: Mapping[str, Tensor], space: DiscreteSpace | None = None
    ) -> PropertyModel:
        """Return the model with this state; its predictions are equal.

        Raises:
            InputError: a surrogate of a property is of a kind that is not among those given.
        """
        checked_space = require_discrete(space)
        header = decode_header(state["header"])
        whole = {key: state[header["same"].get(key, key)] for key in header["keys"]}
        models = []
        for i, name in enumerate(header["names"]):
            part = tensors_under(whole, f"{i}.")
            surrogate = self._surrogate_for(name, decode_header(part["header"])["type"])
            models.append(surrogate.restore(part, checked_space))
        return IndependentModels(tuple(header["names"]), tuple(models))

    def _surrogate_for(self, name: str, surrogate_name: str) -> PropertySurrogate:
        """Return the surrogate that reads a state of that kind."""
        surrogate = self.overrides.get(name, self.default)
        if surrogate.description()["type"] == surrogate_name:
            return surrogate
        if surrogate_name not in PROPERTY_SURROGATES:
            condition = f"name a surrogate of the kind that is read ({surrogate_name})"
            raise InputError(error_message("overrides", condition, f"none for {name}"))
        return PROPERTY_SURROGATES[surrogate_name]()


class PropertyModel(JointModel):
    """The fitted model of several properties; deterministic, and it never changes.

    Args:
        names: Names of the properties.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names, self.num_outputs = names, len(names)

    @abstractmethod
    def joint_moments(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance and noise `[..., q, k]` at X.

        The covariance is `[..., q, k, q, k]`.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers to show, "log_marginal_likelihood" of all."""

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance of k properties of q structures; no gradient."""
        mean, C, noise = self.joint_moments(X)
        C = C.reshape(*mean.shape[:-2], -1, mean.shape[-2:].numel())
        C = add_noise(C, observation_noise, noise.flatten(-2), len(self.names))
        dtype = X.dtype if X.dtype.is_floating_point else torch.float64
        return mean.to(X.device, dtype), C.to(X.device, dtype), True

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: object
    ) -> ConditionedModel:
        """Return the model of one property conditioned on Y `[..., t, 1]`; see `ConditionedModel`.

        Raises:
            InputError: there are several properties.
        """
        if len(self.names) > 1:
            condition, names = "be one where a model is conditioned", ", ".join(self.names)
            hint = "Fit again, or give pending candidates to a joint acquisition."
            raise InputError(error_message("names", condition, names, hint))
        return condition_on_observations(self, X, Y, noise)

    def marginals(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, latent and predictive variance `[c, k]` at each of X `[c, d]`."""
        mean, C, noise = self.joint_moments(X.unsqueeze(-2))
        k = len(self.names)
        variance = C.reshape(len(X), k, k).diagonal(dim1=-2, dim2=-1)
        return mean.squeeze(-2), variance, variance + noise.reshape(-1, k)


@final
class IndependentModels(PropertyModel):
    """Fitted models of uncorrelated properties.

    Args:
        names: Names of the properties.
        models: Fitted model of each property.
    """

    def __init__(self, names: tuple[str, ...], models: tuple[FittedProperty, ...]) -> None:
        super().__init__(names)
        self.models = models

    def joint_moments(self, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q, k]`, covariance `[..., q, k, q, k]` and noise."""
        means, covariances, noises = zip(*(model(X) for model in self.models), strict=True)
        C = torch.diag_embed(torch.stack(covariances, -1))  # [..., q, q, k, k]
        noise = torch.stack([noise.expand(X.shape[:-1]) for noise in noises], -1)
        return torch.stack(means, -1), C.transpose(-3, -2), noise

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the models exactly; shared ones are stored once."""
        state: dict[str, Tensor] = {}
        key_of_memory: dict[tuple[int, tuple[int, ...]], str] = {}
        same, keys = {}, []
        for i, model in enumerate(self.models):
            for name, value in model.state().items():
                key, memory = f"{i}.{name}", (value.data_ptr(), tuple(value.shape))
                keys.append(key)
                if value.numel() and memory in key_of_memory:
                    same[key] = key_of_memory[memory]
                else:
                    key_of_memory[memory], state[key] = key, value
        header = {"names": list(self.names), "keys": keys, "same": same}
        return state | {"header": encode_header(header)}

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers of each property, and the sum of log marginal likelihoods."""
        numbers = {"log_marginal_likelihood": 0.0}
        for name, model in zip(self.names, self.models, strict=True):
            values = model.hyperparameters()
            numbers["log_marginal_likelihood"] += values["log_marginal_likelihood"]
            numbers |= {f"{key}_of_{name}": value for key, value in values.items()}
        return numbers


def require_discrete(space: DiscreteSpace | None) -> DiscreteSpace:
    """Return the space.

    Raises:
        NotFittedError: there is none, or one whose structures all have one composition.
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

"""Protocols of surrogates and their fitted models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures import Structures
from bostruct.surrogates.training_data import TrainingData
from bostruct.uncertainty import Prediction

if TYPE_CHECKING:
    from botorch.acquisition.objective import PosteriorTransform
    from botorch.posteriors import Posterior


class FittedModel(Protocol):
    """A BoTorch model over the coordinates of a space that can be logged."""

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """Return the joint posterior of k outcomes of q structures at X `[..., q, d]`."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        ...

    def hyperparameters(self) -> dict[str, float]:
        """Return named numbers for people, "log_marginal_likelihood" among them."""
        ...


class FittedEnergyModel(FittedModel, Protocol):
    """A fitted model of the energy, which also predicts structures outside of a space."""

    def predict(self, structures: Structures) -> Prediction:
        """Return energies, forces and uncertainties of b structures."""
        ...


class Surrogate(Protocol):
    """A description of a model, written down before there is data."""

    @property
    def supports_multiple_outcomes(self) -> bool:
        """True if it is fitted to `TrainingData` of any outcomes, False if to `Structures`."""
        ...

    def fit(self, data: Any, /, space: Any = None) -> FittedModel:  # noqa: ANN401 - see Args
        """Return the model fitted to data.

        Args:
            data: `TrainingData` if `supports_multiple_outcomes`; else `Structures` with energies in
                eV and, where known, forces, so that a surrogate of energies is of use without a
                space or a campaign.
            space: Decodes X and describes compositions; None if only `predict` is needed.
        """
        ...

    def restore(self, state: Mapping[str, Tensor], space: Any = None) -> FittedModel:  # noqa: ANN401
        """Return the model that `state` was taken from; its predictions are equal."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the surrogate, as JSON values."""
        ...


@runtime_checkable
class SupportsScreening(Protocol):
    """A surrogate of energies that leaves out those it does not believe, unless it is told to."""

    def contradicted_energies(self, structures: Structures, /) -> Tensor:
        """Return the rows of energies that the others contradict."""
        ...

    def fit(
        self,
        structures: Structures,
        space: Any = None,  # noqa: ANN401 - of the kind that the surrogate needs
        *,
        screen: bool = True,
    ) -> FittedModel:
        """Return the model fitted to the energies that it believes, or without `screen` to all."""
        ...


@runtime_checkable
class UsesCoordinates(Protocol):
    """A surrogate of energies over the coordinates X themselves.

    Its `fit` takes `TrainingData` too.
    """

    @property
    def uses_coordinates(self) -> bool:
        """True."""
        ...


def fit_surrogate(
    surrogate: Surrogate,
    data: TrainingData,
    space: Any = None,  # noqa: ANN401 - of the kind that the surrogate needs
) -> FittedModel:
    """Fit a surrogate of either kind to training data, all of which it is to believe.

    Raises:
        InputError: The surrogate is one of energies, and the data hold no structures.
    """
    if surrogate.supports_multiple_outcomes:
        return surrogate.fit(data, space)
    if data.structures is None:
        way_out = "Pass a surrogate that supports multiple outcomes, or structures with energies."
        raise InputError(error_message("structures", "be given", None, way_out))
    if isinstance(surrogate, UsesCoordinates):
        return surrogate.fit(data, space)
    if isinstance(surrogate, SupportsScreening):
        return surrogate.fit(data.structures, space, screen=False)
    return surrogate.fit(data.structures, space)

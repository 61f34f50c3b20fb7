"""Closed forms of acquisitions in the mean and the standard deviation of one energy.

Notation
    b      structures, each a candidate of its own
    mu, σ  [b]     eV   posterior mean and standard deviation of their energies
    a      [b]          acquisition values
    X      [b, d]       coordinates

With da/dmu and da/dσ at hand the gradient by X is da/dmu dmu/dX + da/dσ dσ/dX, which a model may
give without autograd, and at once for both.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext


class PosteriorMoments(Protocol):
    """Means and standard deviations of b energies, and their gradients."""

    @property
    def mean(self) -> Tensor:
        """Posterior means, `[b]` eV."""
        ...

    @property
    def std(self) -> Tensor:
        """Latent standard deviations, `[b]` eV."""
        ...

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`.

        Args:
            mean_factor: `[b]`.
            std_factor: `[b]`.
        """
        ...


@runtime_checkable
class SupportsPosteriorMoments(Protocol):
    """A fitted model of the energy with gradients of its mean and σ in closed form."""

    @property
    def has_closed_form_gradients(self) -> bool:
        """False where the model is on a device that lacks them."""
        ...

    def posterior_moments(self, X: Tensor) -> PosteriorMoments:
        """Return mean and σ at X `[b, d]`; those of `posterior`, to rounding."""
        ...


class ValueAndDerivatives(NamedTuple):
    """Acquisition values with their derivatives by the moments.

    Attributes:
        value: `[b]`, larger is better.
        mean_derivative: `[b]`, derivative by the mean.
        std_derivative: `[b]`, derivative by the standard deviation.
    """

    value: Tensor
    mean_derivative: Tensor
    std_derivative: Tensor


@runtime_checkable
class ClosedFormAcquisition(Protocol):
    """An acquisition of single candidates that is a function of mean and σ."""

    def value_and_derivatives(
        self, context: AcquisitionContext, mean: Tensor, std: Tensor
    ) -> ValueAndDerivatives:
        """Return what `build(context)` gives for these moments, with derivatives.

        Args:
            context: The context that `build` takes; its model is not used.
            mean: `[b]` eV.
            std: `[b]` eV.
        """
        ...

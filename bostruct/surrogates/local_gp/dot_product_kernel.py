"""Kernels of two environments as functions g of the dot product of their features.

Notation
    t   1   dot product of two feature vectors of unit length; 1 - t is half their squared distance
    g   1   kernel, g(1) = 1
    λ   1   length scale of an exponential, in units of 1 - t

    power          g(t) = t^zeta
    exponentials   g(t) = sum_k w_k exp(-(1 - t) / λ_k),   sum_k w_k = 1

The power is SOAP's kernel (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), eq. 36). An
exponential of the dot product of unit vectors is a squared exponential of their distance
(Rasmussen and Williams 2006, eq. 4.9); a sum has several length scales. All coefficients of their
power series in t are positive or zero, so that they are positive definite for vectors of any
length.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_positive, error_message


class DotProductKernel(Protocol):
    """Kernel of two environments as a function of the dot product of their features."""

    def value(self, t: Tensor) -> Tensor:
        """Return g, elementwise; differentiable twice by torch."""

    def derivative(self, t: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Return `factor` times dg/dt, elementwise."""

    def second_derivative(self, t: Tensor) -> Tensor:
        """Return d²g/dt², elementwise."""


@final
@dataclass(frozen=True)
class PowerKernel:
    """Power of the dot product.

    Attributes:
        zeta: Exponent, at least 1.

    Raises:
        InputError: the exponent is no positive integer.
    """

    zeta: int = 3

    def __post_init__(self) -> None:
        check_count("zeta", self.zeta)

    def value(self, t: Tensor) -> Tensor:
        """Return t^zeta, elementwise."""
        return t**self.zeta

    def derivative(self, t: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Return `factor` times zeta t^(zeta - 1), elementwise."""
        return self.zeta * factor * t ** (self.zeta - 1)

    def hyperparameters(self) -> dict[str, float]:
        """Return the exponent to show, if it is not the default."""
        return {} if self == PowerKernel() else {"zeta": float(self.zeta)}

    def second_derivative(self, t: Tensor) -> Tensor:
        """Return zeta (zeta - 1) t^(zeta - 2), elementwise."""
        return self.zeta * (self.zeta - 1) * t ** max(self.zeta - 2, 0)


@final
@dataclass(frozen=True)
class ExponentialKernel:
    """Weighted mean of exponentials of the dot product.

    Attributes:
        weights: Weights; they are scaled to the sum 1.
        length_scales: Length scale of each exponential, in units of 1 - t: half the squared
            distance of two feature vectors of unit length.

    Raises:
        InputError: a number is not positive, or there are not as many of both.
    """

    weights: tuple[float, ...]
    length_scales: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.weights or len(self.weights) != len(self.length_scales):
            condition = "be as many as `length_scales`, at least one"
            raise InputError(error_message("weights", condition, len(self.weights)))
        for name in ("weights", "length_scales"):
            for value in getattr(self, name):
                check_positive(name, value)
            object.__setattr__(self, name, tuple(getattr(self, name)))  # hashable, from a list

    def value(self, t: Tensor) -> Tensor:
        """Return the mean of exp(-(1 - t) / λ), elementwise."""
        return self._sum(t, 0)

    def derivative(self, t: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Return `factor` times the mean of exp(-(1 - t) / λ) / λ, elementwise."""
        return self._sum(t, 1) * factor

    def hyperparameters(self) -> dict[str, float]:
        """Return the weights and length scales to show."""
        numbers = {}
        pairs = zip(self.weights, self.length_scales, strict=True)
        for number, (weight, scale) in enumerate(pairs, 1):
            numbers[f"kernel_weight_{number}"] = weight
            numbers[f"kernel_length_scale_{number}"] = scale
        return numbers

    def second_derivative(self, t: Tensor) -> Tensor:
        """Return the mean of exp(-(1 - t) / λ) / λ², elementwise."""
        return self._sum(t, 2)

    def _sum(self, t: Tensor, order: int) -> Tensor:
        """Return the derivative of an order."""
        total = math.fsum(self.weights)
        terms = [
            weight / total / scale**order * torch.exp((t - 1) / scale)
            for weight, scale in zip(self.weights, self.length_scales, strict=True)
        ]
        return functools.reduce(torch.add, terms)


def kernel_to_state(kernel: PowerKernel | ExponentialKernel) -> tuple[int, dict[str, Tensor]]:
    """Return zeta, 0 for exponentials, and the tensors of these."""
    if isinstance(kernel, PowerKernel):
        return kernel.zeta, {}
    numbers = (kernel.weights, kernel.length_scales)
    return 0, {"kernel_exponentials": torch.tensor(numbers, dtype=torch.float64)}


def kernel_from_state(zeta: int, state: Mapping[str, Tensor]) -> PowerKernel | ExponentialKernel:
    """Return the kernel of `kernel_to_state`; states of earlier versions have zeta alone."""
    if zeta:
        return PowerKernel(zeta)
    weights, length_scales = state["kernel_exponentials"].tolist()
    return ExponentialKernel(tuple(weights), tuple(length_scales))

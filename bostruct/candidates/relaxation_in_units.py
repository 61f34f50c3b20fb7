"""Relaxation of named coordinates in units in which all their ranges are 2 π.

A step limit or a convergence criterion is one number, and an angle in degrees is no distance in Å.
Periodic coordinates are wrapped at the end: a jump by a period on the way would spoil the history
of an optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, final

from torch import Tensor

from bostruct.candidates.batched_lbfgs import (
    AcquisitionCallable,
    RelaxationResult,
    SupportsGradient,
    value_and_gradient_by_autograd,
)
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain


class Relax(Protocol):
    """`batched_lbfgs.relax` with its tolerances."""

    def __call__(
        self,
        acq_function: AcquisitionCallable,
        X: Tensor,
        *,
        project: Callable[[Tensor], Tensor],
        contains: Callable[[Tensor], Tensor] | None,
    ) -> RelaxationResult:
        """Return X `[b, d]` relaxed."""
        ...


@final
@dataclass(frozen=True, eq=False)
class AcquisitionInUnits:
    """An acquisition function of coordinates in other units.

    Attributes:
        acq_function: the acquisition function of X `[b, d]`.
        units: `[d]` what X is a multiple of.
    """

    acq_function: AcquisitionCallable
    units: Tensor

    def __call__(self, U: Tensor) -> Tensor:
        """Return the values `[b]` at U `[b, d]`."""
        return self.acq_function(U * self.units)

    def value_and_gradient(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values `[b]` and their gradients `[b, d]` by U."""
        if not isinstance(self.acq_function, SupportsGradient):
            return value_and_gradient_by_autograd(self, U)
        value, gradient = self.acq_function.value_and_gradient(U * self.units)
        return value, gradient * self.units


def relax_in_units(
    relax: Relax,
    acq_function: AcquisitionCallable,
    domain: CoordinateDomain,
    X: Tensor,
    contains: Callable[[Tensor], Tensor] | None = None,
) -> RelaxationResult:
    """Climb to the nearest maxima of `acq_function` between the bounds of a domain.

    Args:
        relax: climbs in any coordinates; its tolerances are per unit of the domain.
        acq_function: the function of X `[b, d]` to be maximized.
        domain: names, bounds and periods of the coordinates.
        X: `[b, d]` the starts.
        contains: a function that says which X are allowed; no step leads to others.
    """
    units = domain.units.to(X)

    def is_allowed(U: Tensor) -> Tensor:
        assert contains is not None
        return contains(U * units)

    result = relax(
        AcquisitionInUnits(acq_function, units),
        X / units,
        project=lambda U: domain.clamp(U * units) / units,
        contains=None if contains is None else is_allowed,
    )
    return replace(result, X=domain.project(result.X * units))

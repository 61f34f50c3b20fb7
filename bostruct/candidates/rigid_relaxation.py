"""Relaxation in which molecules move as rigid bodies and bend by their torsions alone.

A model that knows few structures knows little of bonds and would tear molecules apart. So the
acquisition is climbed in the coordinates q of rigid motions from where each structure started,

    f(q) = a(x(X, q)),    df/dq = (dx/dq)ᵀ da/dx,    x(X, 0) = X

and the start stays beside q in one row Z = (X, q), whose first part has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import (
    AcquisitionCallable,
    RelaxationResult,
    SupportsGradient,
    relax,
    value_and_gradient_by_autograd,
)
from bostruct.spaces.space import SupportsMolecules


@final
@dataclass(frozen=True, eq=False)
class RigidAcquisition:
    """An acquisition function of rigid motions.

    Args:
        acq_function: the acquisition function of coordinates X `[b, d]`.
        space: the space, whose molecules move.
    """

    acq_function: AcquisitionCallable
    space: SupportsMolecules

    def moved(self, Z: Tensor) -> Tensor:
        """Return the coordinates `[b, d]` after the motions of Z `[b, d + m]`."""
        m = self.space.rigid_dimension
        return self.space.rigid_motion(Z[..., :-m], Z[..., -m:])

    def __call__(self, Z: Tensor) -> Tensor:
        """Return the values at Z `[b, d + m]`, `[b]`."""
        return self.acq_function(self.moved(Z))

    def value_and_gradient(self, Z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values `[b]` and their gradients `[b, d + m]`, zero by the starts."""
        m = self.space.rigid_dimension
        start, q = Z[..., :-m].detach(), Z[..., -m:].detach().requires_grad_()
        with torch.enable_grad():
            X = self.space.rigid_motion(start, q)
        if isinstance(self.acq_function, SupportsGradient):
            value, by_X = self.acq_function.value_and_gradient(X.detach())
        else:
            value, by_X = value_and_gradient_by_autograd(self.acq_function, X)
        (by_q,) = torch.autograd.grad(X, q, by_X)
        return value, torch.cat((torch.zeros_like(start), by_q), -1)


def relax_rigidly(
    acq_function: AcquisitionCallable,
    space: SupportsMolecules,
    X: Tensor,
    *,
    fmax: float,
    max_steps: int,
    max_step: float,
) -> RelaxationResult:
    """Climb to the nearest maxima that rigid motions reach inside the space.

    Args:
        acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
        space: the space, whose molecules move.
        X: `[b, d]` the starts.
        fmax: the largest component of the gradient by q at convergence.
        max_steps: the most steps of each structure.
        max_step: the largest displacement by one coordinate in one step, Å.

    Raises:
        InputError: A number is out of range.
    """
    rigid = RigidAcquisition(acq_function, space)
    Z = torch.cat((X, X.new_zeros(len(X), space.rigid_dimension)), -1)
    end = relax(
        rigid,
        Z,
        fmax=fmax,
        max_steps=max_steps,
        max_step=max_step,
        contains=lambda Z: space.contains(rigid.moved(Z)),
    )
    return RelaxationResult(rigid.moved(end.X), end.acq_value, end.n_steps, end.converged)

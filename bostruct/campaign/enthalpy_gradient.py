"""Gradient of the enthalpy by the coordinates of a space, from forces and stresses.

Notation
    P, C   [n, 3], [b, 3, 3]   positions and cells at X
    f, σ   [n, 3], [b, 3, 3]   forces and stresses
    V      [b]                 volumes
    dH = -Σ f · d(P C⁻¹) C + V Σ σ (C⁻¹ dC) + p dV

The first two terms are the energy at fixed cell and at fixed fractional coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bostruct.campaign.enthalpy import pressure_of
from bostruct.spaces import Space
from bostruct.structures.strain import from_voigt


def enthalpy_gradient(space: Space, X: Tensor, forces: Tensor, stress: Tensor | None) -> Tensor:
    """Return the gradient of the enthalpy by X, `[b, d]` eV/Å; NaN where a term is unknown.

    Args:
        space: Space with a variable cell.
        X: `[b, d]` coordinates.
        forces: `[n, 3]` eV/Å, of all atoms.
        stress: `[b, 6]` eV/Å³ in Voigt order; None for the gradient at fixed cells.
    """
    with torch.enable_grad():
        leaf = X.detach().requires_grad_()
        structures = space.decode(leaf)
        C, index = structures.cell, structures.index
        P = structures.positions.unsqueeze(1)
        C0, f = C.detach(), forces.to(C)
        value = -(f * (P @ (torch.linalg.inv(C) @ C0)[index]).squeeze(1)).sum()
        if stress is not None:
            volume = torch.linalg.det(C).abs()
            sigma = from_voigt(stress.to(C))
            work = volume.detach() * (sigma * (torch.linalg.inv(C0) @ C)).sum((-2, -1))
            value = value + work.sum() + pressure_of(space) * volume.sum()
        gradient: Tensor = torch.autograd.grad(value, leaf)[0]
    return gradient

"""Forces projected on the coordinates of a space: the gradient of the energy by X.

    dE/dX = -sum_atoms F . dR/dX      (chain rule)

and where the cell varies, with fractional coordinates in place of R, the work of the stress on it,
V σ : dε. Notation: b structures of n atoms in total, X `[b, d]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.structures.strain import from_voigt

SAME_FRAME = 1e-4
"""Å. Largest difference of positions with which forces are not rotated."""

FIXED_CELL = 1e-9
"""Change of a cell over the range of a coordinate, in its longest vector, that is rounding."""


def energy_gradients(space: Any, X: Tensor, structures: Structures) -> Tensor:  # noqa: ANN401 - a space with few coordinates
    """Return the gradients of the energies by X, `[b, d]` eV; NaN where they are not known.

    Args:
        space: space with a decode that is differentiable in X.
        X: `[b, d]` coordinates of the structures.
        structures: the structures with forces, and stresses where cells vary. Isolated ones may be
            rotated as a whole.
    """
    if structures.forces is None:
        return torch.full_like(X, torch.nan)
    with torch.enable_grad():
        leaf = X.detach().clone().requires_grad_()
        decoded = space.decode(leaf)
        P, C = decoded.positions, decoded.cell
        is_unknown = structures.forces.isnan().any(-1) & ~structures.fixed
        known = torch.ones(len(structures), dtype=torch.bool, device=X.device)
        known[structures.index[is_unknown]] = False
        F = structures.forces.nan_to_num().to(P)
        F = _in_frame_of(P.detach(), structures, F)
        C0 = C.detach()
        if not _varies(C, leaf, space):
            value = -(F * P).sum()
        elif structures.stress is None:
            return torch.full_like(X, torch.nan)
        else:
            known &= structures.stress.isfinite().all(-1)
            index = structures.index
            fractional = P.unsqueeze(1) @ (torch.linalg.inv(C) @ C0)[index]
            sigma = from_voigt(structures.stress.nan_to_num().to(C))
            work = torch.linalg.det(C0).abs() * (sigma * (torch.linalg.inv(C0) @ C)).sum((-2, -1))
            value = work.sum() - (F * fractional.squeeze(1)).sum()
        if not value.requires_grad:  # a space from a log, without its function
            return torch.full_like(X, torch.nan)
        (gradient,) = torch.autograd.grad(value, leaf)
    return torch.where(known.unsqueeze(-1), gradient, torch.nan)


def _varies(C: Tensor, X: Tensor, space: Any) -> bool:  # noqa: ANN401 - a space
    """Return whether cells C `[b, 3, 3]` Å change with the coordinates X `[b, d]`."""
    if not C.requires_grad:
        return False
    size = space.domain.range.to(X) / C.detach().abs().amax().clamp(min=torch.finfo(C.dtype).tiny)
    for entry in C.flatten(1).sum(0):
        (slope,) = torch.autograd.grad(entry, X, retain_graph=True, allow_unused=True)
        if slope is not None and bool((slope.abs() * size > FIXED_CELL).any()):
            return True
    return False


def _in_frame_of(P: Tensor, structures: Structures, F: Tensor) -> Tensor:
    """Return forces `[n, 3]` turned as the positions of structures are to reach P `[n, 3]`."""
    if bool(structures.pbc.any()) or not len(structures):
        return F
    b = len(structures)
    Q, R, G = (values.reshape(b, -1, 3) for values in (structures.positions.to(P), P, F))
    Q, R = (positions - positions.mean(1, keepdim=True) for positions in (Q, R))
    moved = (Q - R).abs().amax((1, 2)) > SAME_FRAME
    U, _, Vh = torch.linalg.svd(Q.transpose(1, 2) @ R)  # Kabsch, as in `superposition`
    sign = torch.ones(b, 3, dtype=P.dtype, device=P.device)
    sign[:, 2] = torch.linalg.det(U @ Vh).sign()
    turned = G @ (U * sign.unsqueeze(1)) @ Vh
    return torch.where(moved.view(b, 1, 1), turned, G).reshape(-1, 3)

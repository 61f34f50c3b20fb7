"""Log strain: six coordinates of a cell, up to rotation.

    H = L exp(S),   S = (1/2) log(H Hᵀ / L²)

with lattice vectors in the rows of H, a reference length L and a symmetric S, is a smooth bijection
between all S and all right-handed cells up to rotation (the polar decomposition of H). The trace of
S is the logarithm of the volume over L³.

Notation
    H   [..., 3, 3]   Å   cell
    S   [..., 3, 3]       log strain
    s   [..., 6]          S in Voigt order xx, yy, zz, yz, xz, xy, those off the diagonal times √2,
                          so that the norm of s is that of S
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.structures.strain import VOIGT_COLUMNS, VOIGT_ROWS, from_voigt

ELEMENT_WEIGHTS = tuple(
    tuple(1.0 if row == column else math.sqrt(0.5) for column in range(3)) for row in range(3)
)
"""Factor on the component of each element of a matrix."""


def log_strain_matrix(s: Tensor) -> Tensor:
    """Return the symmetric matrices S `[..., 3, 3]` of components s `[..., 6]`."""
    return from_voigt(s) * s.new_tensor(ELEMENT_WEIGHTS)


def log_strain_components(S: Tensor) -> Tensor:
    """Return the components s `[..., 6]` of symmetric matrices S `[..., 3, 3]`."""
    weights = S.new_tensor([1.0] * 3 + [math.sqrt(2.0)] * 3)
    components: Tensor = S[..., VOIGT_ROWS, VOIGT_COLUMNS] * weights
    return components


def cell_of_log_strain(s: Tensor, length: float) -> Tensor:
    """Return the cells H `[..., 3, 3]` Å of components s `[..., 6]`, differentiable.

    Args:
        s: components of the log strain.
        length: reference length L, Å.
    """
    cell: Tensor = length * torch.linalg.matrix_exp(log_strain_matrix(s))
    return cell


def log_strain_of_cell(H: Tensor, length: float) -> Tensor:
    """Return the components s `[..., 6]` of cells H `[..., 3, 3]` Å in any orientation.

    Args:
        H: cells that span a volume.
        length: reference length L, Å.
    """
    values, vectors = torch.linalg.eigh(H @ H.mT / length**2)
    return log_strain_components((vectors * (0.5 * values.log()).unsqueeze(-2)) @ vectors.mT)


def polar_factor(H: Tensor, *, is_metric: bool = False) -> Tensor:
    """Return the symmetric positive matrices (H Hᵀ)^1/2 that are cells `[..., d, d]` Å rotated.

    Args:
        H: cells, or where `is_metric` their metrics H Hᵀ in Å².
        is_metric: True for metrics.
    """
    values, vectors = torch.linalg.eigh(H if is_metric else H @ H.mT)
    factor: Tensor = (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT
    return factor

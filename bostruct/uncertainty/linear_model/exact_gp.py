"""Gaussian-process regression in function space (row U3).

Notation, with equation numbers of Grasselli et al., Digital Discovery 2025, 4, 2654
    κ    [t, t]   1    kernel between training rows, without the prior variance
    κ*   [b, t]   1    kernel between the predicted rows and the training rows
    κ**  [b]      1    kernel of each predicted row with itself
    z2   []       1    ridge; noise over prior variance
    a2   []       eV²  noise variance; a2 / z2 is the prior variance

    s2 = a2 / z2 (κ** - κ*ᵀ (κ + z2 1)⁻¹ κ*)                                      (8)

which is the function-space form of (7), the Bayesian linear model of features f with κ = fᵀ f. Use
the linear model where there are fewer features than rows. Kernels that contain the prior variance
(k = a2 / z2 κ) take `ridge = alpha2`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_positive, check_shape, error_message
from bostruct.runtime.memory import check_memory, free_bytes, rows_per_block
from bostruct.uncertainty.linear_model.cholesky import CholeskyFactor, psd_safe_cholesky
from bostruct.uncertainty.linear_model.row_kinds import VARIANCE_KINDS
from bostruct.uncertainty.linear_model.sufficient_statistics import check_finite_rows
from bostruct.uncertainty.prediction import VarianceKind


@final
@dataclass(frozen=True, eq=False)
class ExactGP:
    """Gaussian process on the full kernel matrix of its training rows.

    Attributes:
        kernel_cholesky: `[t, t]`, Cholesky factor of κ + z2 1.
        coefficients: `[t]`, (κ + z2 1)⁻¹ y, eV.
        ridge: z2, noise over prior variance.
        alpha2: a2, noise variance, eV².
        jitter: number added to the diagonal of the kernel; 0 as a rule.
    """

    kernel_cholesky: Tensor
    coefficients: Tensor
    ridge: float
    alpha2: float
    jitter: float = 0.0

    @classmethod
    def fit(
        cls,
        kernel: Tensor,
        targets: Tensor,
        *,
        ridge: float,
        alpha2: float = 1.0,
    ) -> ExactGP:
        """Return the process of a kernel `[t, t]` and targets `[t]`, both of energies.

        Raises:
            ShapeError: the kernel is not square, or targets do not match it.
            InputError: a number is not finite, ridge or alpha2 not positive, the kernel
                not symmetric or not positive, or memory does not suffice.
        """
        check_positive("ridge", ridge)
        check_positive("alpha2", alpha2)
        matrix = check_kernel(kernel)
        check_finite_rows("targets", check_shape("targets", targets, [len(matrix)]))
        matrix = matrix + ridge * torch.eye(len(matrix)).to(matrix)
        factor = psd_safe_cholesky(matrix, ridge)
        coefficients = factor.solve(targets.to(matrix).unsqueeze(1)).squeeze(1)
        return cls(factor.lower, coefficients, float(ridge), float(alpha2), factor.jitter)

    def calibrated(self, alpha2: float) -> ExactGP:
        """Return the process with another a2: noise and prior are scaled alike.

        Another noise alone, inside the inverse, would be another model.

        Raises:
            InputError: `alpha2` is not positive and finite.
        """
        return replace(self, alpha2=check_positive("alpha2", alpha2))

    def mean(self, cross: Tensor) -> Tensor:
        """Return κ*ᵀ (κ + z2 1)⁻¹ y, `[b]` eV, from κ* `[b, t]`.

        Raises:
            ShapeError: κ* has another width.
            InputError: a number is not finite.
        """
        check_finite_rows("cross", cross, len(self.kernel_cholesky))
        return cross.to(self.kernel_cholesky) @ self.coefficients

    def variance(
        self,
        cross: Tensor,
        diagonal: Tensor,
        *,
        variance_kind: VarianceKind = "latent",
    ) -> Tensor:
        """Return s2 of (8), `[b]` eV², from κ* `[b, t]` and κ** `[b]`; at least 0.

        Args:
            cross: κ* `[b, t]`; processed block by block.
            diagonal: κ** `[b]`, prior variances of the predicted rows.
            variance_kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.

        Raises:
            ShapeError: κ* has another width, or κ** another length.
            InputError: a number is not finite, the kind is unknown, or memory does not suffice.
        """
        check_choice("variance_kind", variance_kind, VARIANCE_KINDS)
        latent = self.alpha2 / self.ridge * self.schur_complement(cross, diagonal)
        return latent if variance_kind == "latent" else latent + self.alpha2

    def schur_complement(self, cross: Tensor, diagonal: Tensor) -> Tensor:
        """Return κ** - κ*ᵀ (κ + z2 1)⁻¹ κ*, `[b]`; at least 0, below which it is only by rounding.

        Args:
            cross: κ* `[b, t]`; processed block by block.
            diagonal: κ** `[b]`, prior variances of the predicted rows.

        Raises:
            ShapeError: κ* has another width, or κ** another length.
            InputError: a number is not finite, or memory does not suffice.
        """
        check_finite_rows("cross", check_shape("cross", cross, [None, len(self.kernel_cholesky)]))
        check_finite_rows("diagonal", check_shape("diagonal", diagonal, [len(cross)]))
        L = self.kernel_cholesky
        factor, blocks = CholeskyFactor(L), split_into_blocks(cross, len(L))
        explained = torch.cat([factor.inv_quad(block.to(L)) for block in blocks])
        return (diagonal.to(L) - explained).clamp(min=0)


def split_into_blocks(cross: Tensor, n_features: int) -> list[Tensor]:
    """Return kernels `[n, m]` in blocks of rows whose features fit into memory.

    Args:
        cross: `[n, m]`, kernels of the predicted rows.
        n_features: number of features computed from each row.

    Raises:
        InputError: one block and a number for each row do not fit into memory.
    """
    step = max(1, min(len(cross), rows_per_block(2 * n_features)))
    required = 8 * (2 * step * n_features + 4 * len(cross))
    check_memory("cross", required, free_bytes(cross.device), "Ask about fewer rows at once.")
    return list(cross.split(step))


def check_kernel(kernel: Tensor) -> Tensor:
    """Return a kernel `[n, n]` in float64 if it is square, finite and symmetric.

    Raises:
        ShapeError: the kernel is not square.
        InputError: it is not finite or not symmetric, or its factor does not fit into memory.
    """
    check_shape("kernel", kernel, [len(kernel), len(kernel)])
    hint = "Use fewer rows, or a linear model of features."
    check_memory("kernel", 4 * 8 * kernel.numel(), free_bytes(kernel.device), hint)
    check_finite_rows("kernel", kernel)
    matrix = kernel.detach().to(torch.float64)
    gap, scale = float((matrix - matrix.mT).abs().max()), float(matrix.abs().max())
    if gap > 1e-6 * scale:
        raise InputError(error_message("kernel", "be symmetric", f"differences of {gap:.3g}"))
    return (matrix + matrix.mT) / 2

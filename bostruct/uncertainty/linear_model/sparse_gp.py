"""Nyström features and sparse Gaussian processes with inducing points (row U4).

Notation, with equation numbers of [G25]
    κs   [m, m]  1    kernel between the inducing points, without the prior variance
    κx   [n, m]  1    kernel between rows and the inducing points
    f    [n, r]  1    κx U Λ^-1/2 with κs = U Λ Uᵀ, (57)-(59); r ≤ m are kept
    κ**  [n]     1    kernel of each row with itself; f² is the part the points explain
    z2   []      1    ridge: noise over prior variance
    a2   []      eV²  noise variance; a2 / z2 is the prior variance

    sor   a2 fᵀ (Fᵀ F + z2 1)⁻¹ f    (7); vanishes far from the inducing points
    dtc   sor + a2 / z2 (κ** - f²)   far away the prior; exact with all rows inducing
    fitc  dtc with row i of weight 1 / (1 + (κ_ii - f_i²) / z2); moves the mean too
    gap   a2 / z2 (κ** - f²)         of the inducing points alone, independent of the data

With all training rows as inducing points, sor has the exact mean everywhere and the exact variance
at the training rows only; dtc has both everywhere. GPyTorch's `InducingPointKernel` predicts fitc
by default, and sor with its diagonal correction off.

Kernels that contain the prior variance (k = a2 / z2 κ) take `ridge = alpha2`; any other combination
has a wrong scale.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. The names are those of
Quiñonero-Candela and Rasmussen, J. Mach. Learn. Res. 2005, 6, 1939.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final, get_args

import torch
from torch import Tensor

from bostruct.errors import InputError, check_choice, check_positive, check_shape, error_message
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.exact_gp import check_kernel, split_into_blocks
from bostruct.uncertainty.linear_model.row_kinds import VARIANCE_KINDS
from bostruct.uncertainty.linear_model.sufficient_statistics import check_finite_rows
from bostruct.uncertainty.prediction import Prediction, VarianceKind

SparseApproximation = Literal["sor", "dtc", "fitc", "gap"]
SPARSE_APPROXIMATIONS = get_args(SparseApproximation)


@final
@dataclass(frozen=True, eq=False)
class Nystroem:
    """Nyström feature map from kernels with m inducing points to r features.

    Attributes:
        projection: `[m, r]`, U Λ^-1/2 of the eigenvalues that are kept.
    """

    projection: Tensor

    @classmethod
    def fit(cls, kernel: Tensor) -> Nystroem:
        """Return the feature map of inducing points from their kernel `[m, m]`.

        Eigenvalues below m times the machine precision of the largest are dropped, so coincident
        points are allowed.

        Raises:
            ShapeError: the kernel is not square.
            InputError: it is not finite, not symmetric or nowhere positive, or memory does not
                suffice.
        """
        values, vectors = torch.linalg.eigh(check_kernel(kernel))
        if float(values[-1]) <= 0:
            raise InputError(error_message("kernel", "have a positive eigenvalue", "none"))
        keep = values > len(values) * torch.finfo(torch.float64).eps * values[-1]
        return cls(vectors[:, keep] / values[keep].sqrt())

    @property
    def rank(self) -> int:
        """Number r of features."""
        return self.projection.shape[1]

    def __call__(self, cross: Tensor) -> Tensor:
        """Return F `[..., r]` of rows with kernels `[..., m]`; linear, so valid for gradients too.

        Raises:
            ShapeError: the kernels have another width.
            InputError: a number is not finite.
        """
        check_finite_rows("cross", cross, len(self.projection))
        return cross.to(self.projection) @ self.projection


@final
@dataclass(frozen=True, eq=False)
class SparseGP:
    """Gaussian process with inducing points.

    Attributes:
        feature_map: map from kernels to features, in the eigenbasis of the linear model's H.
        linear_model: fitted to the features of the training rows.
        coefficients: `[r]` eV, weights of the mean; by QR, not by normal equations.
        approximation: formula of the variance, see the module.
    """

    feature_map: Nystroem
    linear_model: BayesianLinearModel
    coefficients: Tensor
    approximation: SparseApproximation = "dtc"

    @classmethod
    def fit(
        cls,
        kernel: Tensor,
        cross: Tensor,
        targets: Tensor,
        *,
        ridge: float,
        alpha2: float = 1.0,
        approximation: SparseApproximation = "dtc",
        diagonal: Tensor | None = None,
        fingerprint: str = "",
    ) -> SparseGP:
        """Return the process of inducing points, training rows and their targets.

        Args:
            kernel: κs `[m, m]` of the inducing points.
            cross: κx `[t, m]` of the training rows.
            targets: `[t]` eV, of the training rows.
            ridge: z2 > 0, noise over prior variance.
            alpha2: a2 > 0, noise variance, eV².
            approximation: formula of the variance, see the module.
            diagonal: κ** `[t]` of the training rows; only fitc needs it.
            fingerprint: identifier of the model and the data of the kernels.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite, ridge or alpha2 not positive, the approximation
                unknown, fitc has no diagonal, or memory does not suffice.
        """
        check_choice("approximation", approximation, SPARSE_APPROXIMATIONS)
        check_positive("ridge", ridge)
        check_positive("alpha2", alpha2)
        feature_map = Nystroem.fit(kernel)
        check_shape("cross", cross, [None, len(kernel)])
        required = 4 * 8 * (len(cross) + feature_map.rank) * feature_map.rank
        check_memory("cross", required, free_bytes(cross.device), "Choose fewer points.")
        f = feature_map(cross)
        check_finite_rows("targets", check_shape("targets", targets, [len(f)]))
        weights = None
        if approximation == "fitc":
            if diagonal is None:
                condition = "be given for fitc, whose noise it sets"
                raise InputError(error_message("diagonal", condition, "None"))
            weights = 1 / (1 + _nystroem_residual(f, diagonal) / ridge)
        y = targets.to(f)
        scale, rotation, coefficients = _regularized_least_squares(f, y, weights, ridge)
        linear_model = BayesianLinearModel.fit(
            *(f @ rotation, y), ridge=ridge, alpha2=alpha2, weights=weights, fingerprint=fingerprint
        )
        linear_model = linear_model.with_cholesky(scale.diag())
        rotated = Nystroem(feature_map.projection @ rotation)
        return cls(rotated, linear_model, coefficients, approximation)

    def calibrated(self, alpha2: float) -> SparseGP:
        """Return the process with another a2: noise and prior are scaled alike.

        Raises:
            InputError: `alpha2` is not positive and finite.
        """
        return replace(self, linear_model=self.linear_model.calibrated(alpha2))

    def with_approximation(self, approximation: SparseApproximation) -> SparseGP:
        """Return the process with another of sor, dtc and gap, which share the mean.

        Raises:
            InputError: the approximation is unknown, or one of the two is fitc.
        """
        check_choice("approximation", approximation, SPARSE_APPROXIMATIONS)
        if "fitc" in (approximation, self.approximation) and approximation != self.approximation:
            condition = f"not go from {self.approximation} to {approximation}, whose weights differ"
            value, hint = repr(approximation), "Fit it anew."
            raise InputError(error_message("approximation", condition, value, hint))
        return replace(self, approximation=approximation)

    def mean(self, cross: Tensor) -> Tensor:
        """Return the mean `[...]` eV of rows with kernels κx `[..., m]`.

        Raises:
            ShapeError: the kernels have another width.
            InputError: a number is not finite.
        """
        return self.feature_map(cross) @ self.coefficients

    def variance(
        self,
        cross: Tensor,
        diagonal: Tensor | None = None,
        *,
        variance_kind: VarianceKind = "latent",
    ) -> Tensor:
        """Return s2 of the approximation, `[n]` eV².

        Args:
            cross: κx `[n, m]` of the predicted rows; processed block by block.
            diagonal: κ** `[n]` of the predicted rows; sor does not need it.
            variance_kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite, the kind unknown, memory does not suffice, or a
                required diagonal is missing.
        """
        check_choice("variance_kind", variance_kind, VARIANCE_KINDS)
        latent = self._mean_and_variance(cross, diagonal)[1]
        return latent if variance_kind == "latent" else latent + self.linear_model.alpha2

    def predict(self, cross: Tensor, diagonal: Tensor | None = None) -> Prediction:
        """Return mean, latent variance and noise of rows with kernels κx `[n, m]`.

        One product of `[n, m]` with `[m, r]` serves the mean and the variance, which together cost
        as much as the mean, up to a few per cent.

        Args:
            cross: κx `[n, m]` of the predicted rows; processed block by block.
            diagonal: κ** `[n]` of the predicted rows; sor does not need it.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite, memory does not suffice, or a required diagonal is
                missing.
        """
        mean, latent = self._mean_and_variance(cross, diagonal)
        return Prediction(mean, latent, self.linear_model.alpha2.expand(len(mean)))

    def nystroem_residual(self, cross: Tensor, diagonal: Tensor) -> Tensor:
        """Return κ** - f², the variance that the inducing points do not explain, at least 0.

        Raises:
            ShapeError: the shapes do not match.
            InputError: a number is not finite.
        """
        return _nystroem_residual(self.feature_map(cross), diagonal)

    def _mean_and_variance(self, cross: Tensor, diagonal: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return mean and latent variance, `[n]` each, block by block."""
        check_shape("cross", cross, [None, len(self.feature_map.projection)])
        if diagonal is not None:
            check_shape("diagonal", diagonal, [len(cross)])
        mean, variance, start = [], [], 0
        for block in split_into_blocks(cross, self.feature_map.rank):
            f, stop = self.feature_map(block), start + len(block)
            block_diagonal = None if diagonal is None else diagonal[start:stop]
            mean.append(f @ self.coefficients)
            variance.append(self._latent_variance(f, block_diagonal))
            start = stop
        return torch.cat(mean), torch.cat(variance)

    def _latent_variance(self, f: Tensor, diagonal: Tensor | None) -> Tensor:
        variance = f.new_zeros(len(f))
        if self.approximation != "gap":
            variance = variance + self.linear_model.variance(f)
        if self.approximation != "sor":
            if diagonal is None:
                condition = f"be given for the variance of {self.approximation}"
                raise InputError(error_message("diagonal", condition, "None", "sor needs none."))
            prior = self.linear_model.alpha2 / self.linear_model.ridge
            variance = variance + prior * _nystroem_residual(f, diagonal)
        return variance


def _nystroem_residual(f: Tensor, diagonal: Tensor) -> Tensor:
    check_finite_rows("diagonal", check_shape("diagonal", diagonal, [len(f)]))
    return (diagonal.to(f) - f.square().sum(1)).clamp(min=0)


def _regularized_least_squares(
    f: Tensor, y: Tensor, weights: Tensor | None, ridge: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return S `[r]` and V `[r, r]` of Fᵀ w F + z2 1 = V S² Vᵀ, and coefficients `[r]`.

    From [F √w; √z2 1] = Q R = Q U S Vᵀ, whose condition number is the root of that of the product.
    In features f V the matrix H is diagonal, and the variance costs no solve.
    """
    scale = torch.ones_like(y) if weights is None else weights.sqrt()
    r = f.shape[1]
    table = torch.cat([f * scale.unsqueeze(1), ridge**0.5 * torch.eye(r).to(f)])
    q, upper = torch.linalg.qr(table)
    u, s, vh = torch.linalg.svd(upper)
    return s, vh.mT.contiguous(), (u.mT @ (q[: len(f)].mT @ (scale * y))) / s

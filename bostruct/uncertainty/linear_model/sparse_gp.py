"""Features of a few chosen points, and sparse Gaussian processes (row U4).

Notation, with equation numbers of [G25]
    κs   [m, m]  1    kernel between the chosen points, without the prior variance
    κx   [n, m]  1    kernel between rows and the chosen points
    f    [n, r]  1    κx U Λ^-1/2 with κs = U Λ Uᵀ, (57)-(59); r ≤ m are kept
    κ**  [n]     1    kernel of each row with itself; f² is what the points know of it
    z2   []      1    ridge: noise over prior variance
    a2   []      eV²  noise variance; a2 / z2 is the prior variance

    sor   a2 fᵀ (Fᵀ F + z2 1)⁻¹ f    (7); vanishes far from the chosen points
    dtc   sor + a2 / z2 (κ** - f²)   far away the prior; exact if all are chosen
    fitc  dtc with row i of weight 1 / (1 + (κ_ii - f_i²) / z2); moves the mean too
    gap   a2 / z2 (κ** - f²)         of the chosen points alone, blind to data

With all training rows chosen, sor has the exact mean everywhere and the exact variance
at the training rows only; dtc has both everywhere. GPyTorch's `InducingPointKernel`
predicts fitc by default, and sor with its diagonal correction off.

Kernels that contain the prior variance (k = a2 / z2 κ) go with `ridge = alpha2`; any
other mixture has a wrong scale.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. The names are those of
Quiñonero-Candela and Rasmussen, J. Mach. Learn. Res. 2005, 6, 1939.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, check_shape, error_message
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.uncertainty.linear_model.bayesian_linear_model import BayesianLinearModel
from bostruct.uncertainty.linear_model.exact_gp import (
    ClampedDifference,
    check_kernel,
    clamp_nonnegative,
    split_into_blocks,
)
from bostruct.uncertainty.linear_model.row_kinds import VARIANCE_KINDS, VarianceKind
from bostruct.uncertainty.linear_model.sufficient_statistics import check_choice, check_finite_rows
from bostruct.uncertainty.prediction import Prediction

SparseApproximation = Literal["sor", "dtc", "fitc", "gap"]
SPARSE_APPROXIMATIONS = ("sor", "dtc", "fitc", "gap")


@final
@dataclass(frozen=True, eq=False)
class Nystroem:
    """What turns kernels with m chosen points into r features.

    Attributes:
        projection: `[m, r]`, U Λ^-1/2 of the eigenvalues that are kept.
    """

    projection: Tensor

    @classmethod
    def fit(cls, kernel: Tensor, *, memory: int | None = None) -> Nystroem:
        """Return the features of chosen points from their kernel `[m, m]`.

        Eigenvalues below m times the machine's precision of the largest are dropped;
        points that say the same are no harm.

        Raises:
            ShapeError: the kernel is not square.
            InputError: it is not finite, not symmetric or nowhere positive, or memory
                does not suffice.
        """
        matrix = check_kernel(kernel, memory)
        values, vectors = torch.linalg.eigh(matrix)
        if float(values[-1]) <= 0:
            raise InputError(error_message("kernel", "have a positive eigenvalue", "none"))
        least = len(values) * torch.finfo(torch.float64).eps * values[-1]
        keep = values > least
        return cls(vectors[:, keep] / values[keep].sqrt())

    @property
    def rank(self) -> int:
        """How many features there are, r."""
        return self.projection.shape[1]

    def __call__(self, cross: Tensor) -> Tensor:
        """F `[..., r]` of rows with kernels `[..., m]`; linear, so good for slopes too.

        Raises:
            ShapeError: the kernels have another width.
            InputError: a number is not finite.
        """
        check_finite_rows("cross", cross, len(self.projection))
        return cross.to(self.projection) @ self.projection


@final
@dataclass(frozen=True, eq=False)
class SparseGP:
    """A Gaussian process that knows its training rows by a few chosen points.

    Attributes:
        feature_map: from kernels to features, in the axes of the metric.
        linear_model: of the features of the training rows.
        coefficients: `[r]` eV, of the mean; by QR, not by normal equations.
        approximation: which variance, see the module.
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
        memory: int | None = None,
    ) -> SparseGP:
        """Return the process of chosen points, training rows and their targets.

        Args:
            kernel: κs `[m, m]`.
            cross: κx `[t, m]` of the training rows.
            targets: `[t]` eV.
            ridge: z2 > 0.
            alpha2: a2 > 0, eV².
            approximation: which variance, see the module.
            diagonal: κ** `[t]` of the training rows; only fitc needs it.
            fingerprint: fingerprint of what the kernels were computed with.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, ridge or alpha2 not positive, the method
                unknown, fitc has no diagonal, or memory does not suffice.
        """
        check_choice("approximation", approximation, SPARSE_APPROXIMATIONS)
        check_positive("ridge", ridge)
        check_positive("alpha2", alpha2)
        features = Nystroem.fit(kernel, memory=memory)
        check_shape("cross", cross, [None, len(kernel)])
        have = free_bytes(cross.device) if memory is None else memory
        need = 4 * 8 * (len(cross) + features.rank) * features.rank
        check_memory("cross", need, have, "Choose fewer points.")
        f = features(cross)
        check_finite_rows("targets", check_shape("targets", targets, [len(f)]))
        weights = None
        if approximation == "fitc":
            if diagonal is None:
                wanted = "be given for fitc, whose noise it sets"
                raise InputError(error_message("diagonal", wanted, "None"))
            rest = _nystroem_residual(f, diagonal).value
            weights = 1 / (1 + rest / ridge)
        y = targets.to(f)
        scale, rotation, coefficients = _regularized_least_squares(f, y, weights, ridge)
        metric = BayesianLinearModel.fit(
            *(f @ rotation, y), ridge=ridge, alpha2=alpha2, weights=weights, fingerprint=fingerprint
        )
        features = Nystroem(features.projection @ rotation)
        return cls(features, metric.with_cholesky(scale.diag()), coefficients, approximation)

    def calibrated(self, alpha2: float) -> SparseGP:
        """Return the process with another a2: noise and prior are scaled alike.

        Raises:
            InputError: it is not positive and finite.
        """
        return replace(self, linear_model=self.linear_model.calibrated(alpha2))

    def with_approximation(self, approximation: SparseApproximation) -> SparseGP:
        """Return the process with another of sor, dtc and gap, which share the mean.

        Raises:
            InputError: the method is unknown, or one of the two is fitc.
        """
        check_choice("approximation", approximation, SPARSE_APPROXIMATIONS)
        if "fitc" in (approximation, self.approximation) and approximation != self.approximation:
            wanted = f"not go from {self.approximation} to {approximation}, whose weights differ"
            raise InputError(
                error_message("approximation", wanted, repr(approximation), "Fit it anew.")
            )
        return replace(self, approximation=approximation)

    def mean(self, cross: Tensor) -> Tensor:
        """Mean `[...]` eV of rows with kernels κx `[..., m]`.

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
        memory: int | None = None,
    ) -> Tensor:
        """s2 of the method, `[n]` eV².

        Args:
            cross: κx `[n, m]` of the rows asked about; taken block by block.
            diagonal: κ** `[n]` of them; sor does not need it.
            variance_kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, the kind unknown, memory does not
                suffice, or the diagonal is needed and was not given.
        """
        check_choice("variance_kind", variance_kind, VARIANCE_KINDS)
        found = self._mean_and_variance(cross, diagonal, memory)[1]
        return found if variance_kind == "latent" else found + self.linear_model.alpha2

    def predict(
        self, cross: Tensor, diagonal: Tensor | None = None, *, memory: int | None = None
    ) -> Prediction:
        """Return mean, latent variance and noise of rows with kernels κx `[n, m]`.

        One product of `[n, m]` with `[m, r]` serves the mean and the variance, which
        together cost what the mean costs, up to a few per cent.

        Args:
            cross: κx; taken block by block.
            diagonal: κ** `[n]`; sor does not need it.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, memory does not suffice, or the diagonal
                is needed and was not given.
        """
        mean, latent = self._mean_and_variance(cross, diagonal, memory)
        return Prediction(mean, latent, self.linear_model.alpha2.expand(len(mean)))

    def nystroem_residual(self, cross: Tensor, diagonal: Tensor) -> ClampedDifference:
        """κ** - f², what the chosen points do not know, and the most negative one.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite.
        """
        return _nystroem_residual(self.feature_map(cross), diagonal)

    def _mean_and_variance(
        self, cross: Tensor, diagonal: Tensor | None, memory: int | None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and latent variance, `[n]` each, block by block."""
        check_shape("cross", cross, [None, len(self.feature_map.projection)])
        if diagonal is not None:
            check_shape("diagonal", diagonal, [len(cross)])
        mean, variance, start = [], [], 0
        for part in split_into_blocks(cross, self.feature_map.rank, memory):
            f, stop = self.feature_map(part), start + len(part)
            own = None if diagonal is None else diagonal[start:stop]
            mean.append(f @ self.coefficients)
            variance.append(self._latent_variance(f, own))
            start = stop
        return torch.cat(mean), torch.cat(variance)

    def _latent_variance(self, f: Tensor, diagonal: Tensor | None) -> Tensor:
        found = f.new_zeros(len(f))
        if self.approximation != "gap":
            found = found + self.linear_model.variance(f)
        if self.approximation != "sor":
            if diagonal is None:
                wanted = f"be given for the variance of {self.approximation}"
                raise InputError(error_message("diagonal", wanted, "None", "sor needs none."))
            prior = self.linear_model.alpha2 / self.linear_model.ridge
            found = found + prior * _nystroem_residual(f, diagonal).value
        return found


def _nystroem_residual(f: Tensor, diagonal: Tensor) -> ClampedDifference:
    check_finite_rows("diagonal", check_shape("diagonal", diagonal, [len(f)]))
    return clamp_nonnegative(diagonal.to(f) - f.square().sum(1))


def _regularized_least_squares(
    f: Tensor, y: Tensor, weights: Tensor | None, ridge: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return S `[r]` and V `[r, r]` of Fᵀ w F + z2 1 = V S² Vᵀ, and coefficients `[r]`.

    From [F √w; √z2 1] = Q R = Q U S Vᵀ, whose condition is the root of that of the
    product. In features f V the metric is diagonal, and its variance costs no solve.
    """
    scale = torch.ones_like(y) if weights is None else weights.sqrt()
    r = f.shape[1]
    table = torch.cat([f * scale.unsqueeze(1), ridge**0.5 * torch.eye(r).to(f)])
    q, upper = torch.linalg.qr(table)
    u, s, vh = torch.linalg.svd(upper)
    return s, vh.mT.contiguous(), (u.mT @ (q[: len(f)].mT @ (scale * y))) / s

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

from bostruct.errors import InputError, check_positive, check_shape, must
from bostruct.runtime.memory import check_memory, free_bytes
from bostruct.uncertainty.linear_model.bayesian_linear_model import Metric
from bostruct.uncertainty.linear_model.exact_gp import (
    Clamped,
    blocks,
    check_kernel,
    clamp,
)
from bostruct.uncertainty.linear_model.row_kinds import KINDS, Kind
from bostruct.uncertainty.linear_model.sufficient_statistics import (
    check_among,
    check_rows,
)
from bostruct.uncertainty.prediction import Prediction

Method = Literal["sor", "dtc", "fitc", "gap"]
METHODS = ("sor", "dtc", "fitc", "gap")


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
            raise InputError(must("kernel", "have a positive eigenvalue", "none"))
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
        check_rows("cross", cross, len(self.projection))
        return cross.to(self.projection) @ self.projection


@final
@dataclass(frozen=True, eq=False)
class SparseGP:
    """A Gaussian process that knows its training rows by a few chosen points.

    Attributes:
        features: from kernels to features, in the axes of the metric.
        metric: of the features of the training rows.
        coefficients: `[r]` eV, of the mean; by QR, not by normal equations.
        method: which variance, see the module.
    """

    features: Nystroem
    metric: Metric
    coefficients: Tensor
    method: Method = "dtc"

    @classmethod
    def fit(
        cls,
        kernel: Tensor,
        cross: Tensor,
        targets: Tensor,
        *,
        ridge: float,
        alpha2: float = 1.0,
        method: Method = "dtc",
        diagonal: Tensor | None = None,
        source: str = "",
        memory: int | None = None,
    ) -> SparseGP:
        """Return the process of chosen points, training rows and their targets.

        Args:
            kernel: κs `[m, m]`.
            cross: κx `[t, m]` of the training rows.
            targets: `[t]` eV.
            ridge: z2 > 0.
            alpha2: a2 > 0, eV².
            method: which variance, see the module.
            diagonal: κ** `[t]` of the training rows; only fitc needs it.
            source: fingerprint of what the kernels were computed with.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, ridge or alpha2 not positive, the method
                unknown, fitc has no diagonal, or memory does not suffice.
        """
        check_among("method", method, METHODS)
        check_positive("ridge", ridge)
        check_positive("alpha2", alpha2)
        features = Nystroem.fit(kernel, memory=memory)
        check_shape("cross", cross, [None, len(kernel)])
        have = free_bytes(cross.device) if memory is None else memory
        need = 4 * 8 * (len(cross) + features.rank) * features.rank
        check_memory("cross", need, have, "Choose fewer points.")
        f = features(cross)
        check_rows("targets", check_shape("targets", targets, [len(f)]))
        weights = None
        if method == "fitc":
            if diagonal is None:
                wanted = "be given for fitc, whose noise it sets"
                raise InputError(must("diagonal", wanted, "None"))
            rest = _unknown(f, diagonal).value
            weights = 1 / (1 + rest / ridge)
        y = targets.to(f)
        scale, rotation, coefficients = _least_squares(f, y, weights, ridge)
        metric = Metric.fit(
            *(f @ rotation, y),
            ridge=ridge,
            alpha2=alpha2,
            weights=weights,
            source=source,
        )
        features = Nystroem(features.projection @ rotation)
        return cls(features, metric.rooted(scale.diag()), coefficients, method)

    def calibrated(self, alpha2: float) -> SparseGP:
        """Return the process with another a2: noise and prior are scaled alike.

        Raises:
            InputError: it is not positive and finite.
        """
        return replace(self, metric=self.metric.calibrated(alpha2))

    def with_method(self, method: Method) -> SparseGP:
        """Return the process with another of sor, dtc and gap, which share the mean.

        Raises:
            InputError: the method is unknown, or one of the two is fitc.
        """
        check_among("method", method, METHODS)
        if "fitc" in (method, self.method) and method != self.method:
            wanted = f"not go from {self.method} to {method}, whose weights differ"
            raise InputError(must("method", wanted, repr(method), "Fit it anew."))
        return replace(self, method=method)

    def mean(self, cross: Tensor) -> Tensor:
        """Mean `[...]` eV of rows with kernels κx `[..., m]`.

        Raises:
            ShapeError: the kernels have another width.
            InputError: a number is not finite.
        """
        return self.features(cross) @ self.coefficients

    def variance(
        self,
        cross: Tensor,
        diagonal: Tensor | None = None,
        *,
        kind: Kind = "latent",
        memory: int | None = None,
    ) -> Tensor:
        """s2 of the method, `[n]` eV².

        Args:
            cross: κx `[n, m]` of the rows asked about; taken block by block.
            diagonal: κ** `[n]` of them; sor does not need it.
            kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite, the kind unknown, memory does not
                suffice, or the diagonal is needed and was not given.
        """
        check_among("kind", kind, KINDS)
        found = self._both(cross, diagonal, memory)[1]
        return found if kind == "latent" else found + self.metric.alpha2

    def predict(
        self,
        cross: Tensor,
        diagonal: Tensor | None = None,
        *,
        memory: int | None = None,
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
        mean, latent = self._both(cross, diagonal, memory)
        return Prediction(mean, latent, self.metric.alpha2.expand(len(mean)))

    def difference(self, cross: Tensor, diagonal: Tensor) -> Clamped:
        """κ** - f², what the chosen points do not know, and the most negative one.

        Raises:
            ShapeError: the shapes do not fit.
            InputError: a number is not finite.
        """
        return _unknown(self.features(cross), diagonal)

    def _both(
        self, cross: Tensor, diagonal: Tensor | None, memory: int | None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and latent variance, `[n]` each, block by block."""
        check_shape("cross", cross, [None, len(self.features.projection)])
        if diagonal is not None:
            check_shape("diagonal", diagonal, [len(cross)])
        mean, variance, start = [], [], 0
        for part in blocks(cross, self.features.rank, memory):
            f, stop = self.features(part), start + len(part)
            own = None if diagonal is None else diagonal[start:stop]
            mean.append(f @ self.coefficients)
            variance.append(self._latent(f, own))
            start = stop
        return torch.cat(mean), torch.cat(variance)

    def _latent(self, f: Tensor, diagonal: Tensor | None) -> Tensor:
        found = f.new_zeros(len(f))
        if self.method != "gap":
            found = found + self.metric.variance(f)
        if self.method != "sor":
            if diagonal is None:
                wanted = f"be given for the variance of {self.method}"
                raise InputError(must("diagonal", wanted, "None", "sor needs none."))
            prior = self.metric.alpha2 / self.metric.ridge
            found = found + prior * _unknown(f, diagonal).value
        return found


def _unknown(f: Tensor, diagonal: Tensor) -> Clamped:
    check_rows("diagonal", check_shape("diagonal", diagonal, [len(f)]))
    return clamp(diagonal.to(f) - f.square().sum(1))


def _least_squares(
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

"""The metric of features behind every closed-form variance.

Notation, with equation numbers of [G25]
    F   [n, f]  1    training features, one row per training target
    w   [n]     1    weights of the rows in the loss (second derivatives, l'')
    z2  []      1    ridge, in units of features squared
    H   [f, f]  1    Fᵀ w F + z2 I, no division by n
    L   [f, f]  1    Cholesky factor of H
    a2  []      eV²  calibration; the noise variance of a row of weight 1

    variance of a noise-free prediction   s2(f) = a2 fᵀ H⁻¹ f = a2 |L⁻¹ f|²       (1)

which is Bayesian ridge regression (2)-(4), a Gaussian process in weight space (7), the
Laplace approximation (12) when rows are gradients of predictions, and the last-layer
variance (14) when they are the inputs of a network's last layer.

What a row may be of is told in `kinds`. A mean costs f products for each row and a
variance f²/2, as half a layer of a network as wide as the features: little beside what
makes the features, much beside a mean of features that are there already.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. The last-layer form is Bigi
et al., Mach. Learn.: Sci. Technol. 2024, doi 10.1088/2632-2153/ad805f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.errors import InputError, NotFittedError, check_positive, check_shape, error_message
from bostruct.runtime.memory import check_memory, free_bytes, rows_per_block
from bostruct.uncertainty.linear_model.cholesky import CholeskyFactor, psd_safe_cholesky
from bostruct.uncertainty.linear_model.row_kinds import (
    OFFSETS,
    ROW_KINDS,
    VARIANCE_KINDS,
    Offset,
    RowKind,
    VarianceKind,
    with_bias,
)
from bostruct.uncertainty.linear_model.sufficient_statistics import (
    WeightedMoments,
    check_all_positive,
    check_alpha2,
    check_choice,
    check_finite_rows,
    check_targets,
)
from bostruct.uncertainty.prediction import Prediction


@final
@dataclass(frozen=True, eq=False)
class BayesianLinearModel:
    """Training features as what they say about predictions (rows U1-U3, U5, U7).

    Attributes:
        moments: sums over the training rows, features first, then targets.
        n_features: f, the features, the column of ones of `offset="bias"` included.
        ridge: z2, features squared; positive.
        alpha2: a2, `[]` or one per target `[t]`, target squared.
        offset: what happens to a constant, see `kinds`.
        fingerprint: fingerprint of the model and data that the features came from.
        is_multi_target: whether targets were given as columns `[n, t]`.
    """

    moments: WeightedMoments
    n_features: int
    ridge: float
    alpha2: Tensor
    offset: Offset = "none"
    fingerprint: str = ""
    is_multi_target: bool = False

    @classmethod
    def fit(
        cls,
        features: Tensor,
        targets: Tensor | None = None,
        *,
        ridge: float,
        alpha2: Tensor | float = 1.0,
        weights: Tensor | None = None,
        row_kind: RowKind = "energy",
        offset: Offset = "none",
        fingerprint: str = "",
        memory: int | None = None,
    ) -> BayesianLinearModel:
        """Return the metric of training rows.

        Energies and forces: `Metric.fit(f, e, ...) + Metric.fit(g, y, rows="force",
        ...)`. The features of an energy are those of the loss: sums over atoms for a
        loss of total energies, sums over atoms divided by their number for a loss of
        energies per atom; rows asked about are sums in both cases.

        Args:
            features: `[n, f]`, any float dtype; summed in float64.
            targets: `[n]` or `[n, t]`; without them there are variances but no means.
            ridge: z2 > 0, features squared.
            alpha2: a2 > 0, `[]` or `[t]`, target squared.
            weights: `[n]` > 0, l'' of (10): 1 for e²/2, 2 for e², 1/variance for a
                Gaussian likelihood.
            row_kind: what a row is, see `kinds`.
            offset: what happens to a constant, see `kinds`; Sec. 2.1 of [G25].
            fingerprint: fingerprint of what the features were computed with.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: features are not `[n, f]`, or others do not fit to them.
            InputError: a number is not finite, ridge, alpha2 or a weight is not
                positive, rows or offset are unknown, or memory does not suffice.
        """
        check_positive("ridge", ridge, "It has the units of features squared.")
        check_choice("row_kind", row_kind, ROW_KINDS)
        check_choice("offset", offset, OFFSETS)
        check_finite_rows("features", check_shape("features", features, [None, None]))
        table, t, columns = with_bias(features, row_kind, offset), None, False
        width = table.shape[1]
        have = free_bytes(features.device) if memory is None else memory
        way_out = "Use fewer features, a random projection of them, or shards."
        need = 8 * (4 * width**2 + table.numel())
        check_memory("features", need, have, way_out)
        if targets is not None:
            y = check_targets(targets, len(features)).reshape(len(targets), -1)
            table = torch.cat([table.double(), y.to(table.device).double()], 1)
            t, columns = y.shape[1], targets.ndim == 2
        if weights is not None:
            check_all_positive("weights", check_shape("weights", weights, [len(features)]))
        moments = WeightedMoments.from_rows(table, weights, has_constant=row_kind == "energy")
        value = check_alpha2(alpha2, t, columns).to(table.device)
        return cls(moments, width, float(ridge), value, offset, fingerprint, columns)

    def __add__(self, other: BayesianLinearModel) -> BayesianLinearModel:
        """Return the metric of the rows of both; the ridge counts once.

        Raises:
            InputError: ridge, alpha2, offset or source differ.
            ShapeError: features or targets have different widths.
        """
        for name in ("n_features", "ridge", "offset", "fingerprint", "is_multi_target"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                wanted = f"have the {name} {mine!r} of the metric that it is added to"
                raise InputError(error_message("other", wanted, repr(theirs)))
        if not torch.equal(self.alpha2, other.alpha2):
            wanted = f"have the alpha2 {self.alpha2.tolist()} of the other metric"
            way_out = "Calibrate the sum."
            raise InputError(error_message("other", wanted, other.alpha2.tolist(), way_out))
        return replace(self, moments=self.moments + other.moments)

    def calibrated(self, alpha2: Tensor | float) -> BayesianLinearModel:
        """Return the metric with another a2, `[]` or `[t]`, target squared.

        All of (1) and, with it, of (8) is scaled, not the noise inside the inverse.
        Energies, forces and stresses may have one each: calibrate a metric for each.

        Raises:
            InputError: it is not positive and finite.
            ShapeError: it is neither one number nor one per target.
        """
        t = len(self.moments.mean) - self.n_features or None
        factor = check_alpha2(alpha2, t, self.is_multi_target).to(self.alpha2)
        return replace(self, alpha2=factor)._with_cholesky(self._cholesky)

    def with_cholesky(self, hessian_cholesky: Tensor) -> BayesianLinearModel:
        """Return the metric with a factor of H that was found by QR, `[f, f]`.

        QR of the rows themselves keeps what their squares have lost to rounding.

        Raises:
            ShapeError: it has another shape than H.
            InputError: its diagonal is not positive, or its square is not H.
        """
        check_shape("hessian_cholesky", hessian_cholesky, [self.n_features, self.n_features])
        check_all_positive("hessian_cholesky", hessian_cholesky.diagonal())
        gap = float((hessian_cholesky @ hessian_cholesky.mT - self.hessian).abs().max())
        if gap > 1e-6 * float(self.hessian.diagonal().max()):
            wanted = "be a root of the metric's H"
            raise InputError(
                error_message("hessian_cholesky", wanted, f"a difference of {gap:.3g}")
            )
        return replace(self)._with_cholesky(CholeskyFactor(hessian_cholesky))

    def _with_cholesky(self, factor: CholeskyFactor) -> BayesianLinearModel:
        # In the place of the cached property; nothing is computed twice.
        self.__dict__["_cholesky"] = factor
        return self

    def check_fingerprint(self, fingerprint: str) -> BayesianLinearModel:
        """Return the metric if it was built from this source.

        Raises:
            InputError: it was not; features of a model that has changed are not those
                of the metric.
        """
        if fingerprint != self.fingerprint:
            wanted = f"be the {self.fingerprint!r} that the metric was built from"
            raise InputError(
                error_message("fingerprint", wanted, repr(fingerprint), "Build it anew.")
            )
        return self

    @property
    def hessian(self) -> Tensor:
        """H = Fᵀ w F + z2 I, `[f, f]`, around the mean if the metric is centred."""
        table = self.moments.scatter if self.is_centered else self.moments.uncentered_scatter
        hessian = table[: self.n_features, : self.n_features].clone()
        hessian.diagonal().add_(self.ridge)
        return hessian

    @property
    def hessian_cholesky(self) -> Tensor:
        """L, lower Cholesky factor of H (and its jitter), `[f, f]`."""
        return self._cholesky.lower

    @property
    def jitter(self) -> float:
        """What had to be added to the diagonal of H for L to exist; 0 as a rule."""
        return self._cholesky.jitter

    @cached_property
    def _cholesky(self) -> CholeskyFactor:
        return psd_safe_cholesky(self.hessian, self.ridge)

    @property
    def logdet(self) -> Tensor:
        """Log det H = 2 Σ log L_ii, `[]`."""
        return self._cholesky.logdet

    @property
    def effective_dof(self) -> Tensor:
        """Sum of the leverages of the training rows, tr H⁻¹ Fᵀ w F, `[]`."""
        return self.n_features - (self.ridge + self.jitter) * self._cholesky.inverse_trace

    @cached_property
    def coefficients(self) -> Tensor:
        """H⁻¹ Fᵀ w y, (3), `[f]` or `[f, t]`.

        Raises:
            NotFittedError: the metric was fitted without targets.
        """
        if len(self.moments.mean) == self.n_features:
            raise NotFittedError(
                error_message("metric", "have been fitted with targets", "features alone")
            )
        table = self.moments.scatter if self.is_centered else self.moments.uncentered_scatter
        moment = table[: self.n_features, self.n_features :]
        found = self._cholesky.solve(moment)
        return found if self.is_multi_target else found.squeeze(1)

    def leverage(self, features: Tensor, *, row_kind: RowKind = "energy") -> Tensor:
        """fᵀ H⁻¹ f of rows `[..., f]`, `[...]`; with an intercept plus 1 / Σw.

        The leverage, if the rows are training rows of weight 1.

        Raises:
            ShapeError: rows are of another width than those the metric was built from.
            InputError: a number is not finite, or `row_kind` is unknown.
        """
        flat, shape = self._flatten_rows(features, row_kind)
        step = rows_per_block(2 * self.n_features)
        found = [
            self._cholesky.inv_quad(part) for part in self._centered_blocks(flat, step, row_kind)
        ]
        return torch.cat(found).reshape(shape) + self.intercept_leverage(row_kind)

    def variance(
        self,
        features: Tensor,
        *,
        variance_kind: VarianceKind = "latent",
        row_kind: RowKind = "energy",
        noise_variance: Tensor | float | None = None,
    ) -> Tensor:
        """s2 of (1) for rows `[..., f]`, `[...]` or `[..., t]`, target squared.

        Args:
            features: the features of what is predicted: for a total energy the sum
                over its atoms, whose variance is not the sum of the atoms' variances.
            variance_kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.
            row_kind: what the rows are, see `kinds`.
            noise_variance: `[...]` what a label scatters by; a2 if not given, right for labels
                of weight 1 (of weight w: a2 / w). Only for `"observed"`.

        Raises:
            ShapeError: rows are of another width.
            InputError: a number is not finite, noise negative, a kind or rows unknown.
        """
        check_choice("variance_kind", variance_kind, VARIANCE_KINDS)
        found = self.leverage(features, row_kind=row_kind)
        if self.alpha2.ndim:
            found = found.unsqueeze(-1)
        found = self.alpha2 * found
        if variance_kind == "latent":
            return found
        return found + self._noise_variance(noise_variance)

    def covariance(
        self,
        features: Tensor,
        other: Tensor | None = None,
        *,
        row_kind: RowKind = "energy",
        other_row_kind: RowKind | None = None,
        memory: int | None = None,
    ) -> Tensor:
        """a2 fᵢᵀ H⁻¹ fⱼ, latent, `[n, m]` or `[n, m, t]`, targets squared.

        Args:
            features: `[n, f]`.
            other: `[m, f]`; `features`, if not given.
            row_kind: what the rows of `features` are.
            other_row_kind: what the rows of `other` are; the same, if not given. Energies
                with forces give covariances in eV²/Å.
            memory: bytes that may be used; what is free, if not given.

        Raises:
            ShapeError: rows are of another width.
            InputError: a number is not finite, rows unknown, or memory is short.
        """
        kinds = row_kind, other_row_kind or row_kind
        n = features.numel() // max(1, features.shape[-1])
        m = n if other is None else other.numel() // max(1, other.shape[-1])
        t = max(1, self.alpha2.numel())
        have = free_bytes(features.device) if memory is None else memory
        need = 8 * (2 * n * m * t + self.n_features * (n + m))
        check_memory("features", need, have, "Ask about fewer rows at once.")
        left = self._whiten(features, kinds[0])
        right = left if other is None else self._whiten(other, kinds[1])
        found = left.mT @ right
        if "energy" in kinds and len(set(kinds)) == 1:
            found = found + self.intercept_leverage("energy")
        return found.unsqueeze(-1) * self.alpha2 if self.alpha2.ndim else self.alpha2 * found

    def mean(self, features: Tensor, *, row_kind: RowKind = "energy") -> Tensor:
        """Ridge regression on the targets, (2), `[...]` or `[..., t]`.

        Raises:
            NotFittedError: the metric was fitted without targets.
            ShapeError: rows are of another width.
            InputError: a number is not finite, or `row_kind` is unknown.
        """
        coefficients = self.coefficients
        flat, shape = self._flatten_rows(features, row_kind)
        parts = [
            part @ coefficients
            for part in self._centered_blocks(flat, rows_per_block(2 * self.n_features), row_kind)
        ]
        found = torch.cat(parts).reshape(*shape, *coefficients.shape[1:])
        if self.is_centered and row_kind == "energy":
            level = self.moments.mean[self.n_features :]
            found = found + (level if self.is_multi_target else level[0])
        return found

    def predict(
        self,
        features: Tensor,
        force_features: Tensor | None = None,
        *,
        noise_variance: Tensor | float | None = None,
        covariance: bool = False,
    ) -> Prediction:
        """Return energies (and forces) with their latent variances and the noise.

        Args:
            features: `[b, f]`, sums over atoms.
            force_features: `[n, 3, f]` 1/Å, minus the derivative of a structure's features with
                the positions of its atoms.
            noise_variance: `[]` or `[b]` eV², what an energy scatters by; a2, if not given.
            covariance: whether the covariance between the energies is computed.

        Raises:
            NotFittedError: the metric was fitted without targets.
            InputError: there are several targets, or a number is not finite.
            ShapeError: rows are of another width.
        """
        if self.is_multi_target or self.alpha2.ndim:
            wanted = "have one target to make a prediction of energies"
            raise InputError(error_message("metric", wanted, "columns", "Use `mean`."))
        return Prediction(
            self.mean(features),
            self.variance(features),
            self._noise_variance(noise_variance).expand(features.shape[:-1]),
            forces=None if force_features is None else self.mean(force_features, row_kind="force"),
            covariance=self.covariance(features) if covariance else None,
            force_variance=(
                None if force_features is None else self.variance(force_features, row_kind="force")
            ),
        )

    def state(self) -> dict[str, Tensor]:
        """Return all of the metric as named tensors, to be saved in any format."""
        source = torch.frombuffer(bytearray(self.fingerprint.encode() + b"\0"), dtype=torch.uint8)
        return {
            "count": self.moments.n_rows,
            "weight": self.moments.total_weight,
            "mean": self.moments.mean,
            "scatter": self.moments.scatter,
            "alpha2": self.alpha2,
            "ridge": torch.tensor(self.ridge, dtype=torch.float64),
            "n_features": torch.tensor(self.n_features),
            "offset": torch.tensor(OFFSETS.index(self.offset)),
            "is_multi_target": torch.tensor(self.is_multi_target),
            "jitter": torch.tensor(self.jitter, dtype=torch.float64),
            "fingerprint": source.clone(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Tensor], fingerprint: str) -> BayesianLinearModel:
        """Return the metric of a state if it was built from this source.

        Raises:
            InputError: it was built from another one, or names are missing.
        """
        names = (
            *("count", "weight", "mean", "scatter", "alpha2", "ridge", "n_features"),
            *("offset", "is_multi_target", "jitter", "fingerprint"),
        )
        missing = [name for name in names if name not in state]
        if missing:
            raise InputError(error_message("state", "be that of a metric", f"no {missing}"))
        metric = cls(
            WeightedMoments(*(state[name] for name in names[:4])),
            int(state["n_features"]),
            float(state["ridge"]),
            state["alpha2"],
            OFFSETS[int(state["offset"])],  # type: ignore[arg-type]
            bytes(state["fingerprint"].tolist())[:-1].decode(),
            bool(state["is_multi_target"]),
        )
        return metric.check_fingerprint(fingerprint)

    @property
    def is_centered(self) -> bool:
        """Whether rows are taken around the mean of the training rows.

        Raises:
            NotFittedError: they are, and there is no energy to take the mean of.
        """
        if self.offset not in ("centred", "intercept"):
            return False
        if float(self.moments.total_weight) <= 0:
            wanted = "have energies to be centred"
            way_out = "Add a metric of energies to it."
            raise NotFittedError(error_message("metric", wanted, "none", way_out))
        return True

    def intercept_leverage(self, row_kind: RowKind) -> float:
        """Leverage of an intercept without penalty: 1 / Σw, or 0 without one."""
        if self.offset != "intercept" or row_kind != "energy":
            return 0.0
        return 1 / float(self.moments.total_weight)

    def _noise_variance(self, noise: Tensor | float | None) -> Tensor:
        if noise is None:
            return self.alpha2
        found = torch.as_tensor(noise).to(self.alpha2)
        if not bool((found.isfinite() & (found >= 0)).all()):
            wanted = "be finite and not negative"
            raise InputError(error_message("noise_variance", wanted, float(found.min())))
        return found

    def _flatten_rows(self, features: Tensor, row_kind: RowKind) -> tuple[Tensor, torch.Size]:
        check_choice("row_kind", row_kind, ROW_KINDS)
        check_finite_rows("features", features, self.n_features - (self.offset == "bias"))
        return features.reshape(-1, features.shape[-1]), features.shape[:-1]

    def _centered_blocks(self, flat: Tensor, step: int, row_kind: RowKind) -> list[Tensor]:
        return [
            self.centered_rows(flat[start : start + step], row_kind)
            for start in range(0, len(flat), step)
        ]

    def centered_rows(self, flat: Tensor, row_kind: RowKind) -> Tensor:
        """Return rows `[n, f]` as they enter (1): with a bias, around the mean."""
        table = with_bias(flat, row_kind, self.offset).to(self.moments.mean)
        if self.is_centered and row_kind == "energy":
            return table - self.moments.mean[: self.n_features]
        return table

    def _whiten(self, features: Tensor, row_kind: RowKind) -> Tensor:
        """L⁻¹ Fᵀ, `[f, n]`."""
        flat, _ = self._flatten_rows(features, row_kind)
        return self._cholesky.solve_lower(self.centered_rows(flat, row_kind))

"""Bayesian linear model of features: the common form of every closed-form variance.

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

Kinds of rows are defined in `row_kinds`. A mean costs f products for each row and a variance f²/2:
little beside the computation of the features, much beside a mean of given features.

[G25]: Grasselli et al., Digital Discovery 2025, 4, 2654. The last-layer form is Bigi
et al., Mach. Learn.: Sci. Technol. 2024, doi 10.1088/2632-2153/ad805f.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    NotFittedError,
    check_choice,
    check_positive,
    check_shape,
    error_message,
)
from bostruct.runtime.memory import check_memory, free_bytes, rows_per_block
from bostruct.uncertainty.linear_model.cholesky import CholeskyFactor, psd_safe_cholesky
from bostruct.uncertainty.linear_model.row_kinds import (
    OFFSETS,
    ROW_KINDS,
    VARIANCE_KINDS,
    Offset,
    RowKind,
    with_bias,
)
from bostruct.uncertainty.linear_model.sufficient_statistics import (
    WeightedMoments,
    check_all_positive,
    check_alpha2,
    check_finite_rows,
    check_targets,
)
from bostruct.uncertainty.prediction import Prediction, VarianceKind


@final
@dataclass(frozen=True, eq=False)
class BayesianLinearModel:
    """Gaussian posterior of linear weights under a ridge prior (rows U1-U3, U5, U7).

    Attributes:
        moments: sums over the training rows, features first, then targets.
        n_features: number f of features, the column of ones of `offset="bias"` included.
        ridge: z2, in units of features squared; positive.
        alpha2: a2, `[]` or one per target `[t]`, target squared.
        offset: treatment of a constant term, see `row_kinds`.
        fingerprint: identifier of the model and the data of the features.
        is_multi_target: if true, targets are columns `[n, t]`.
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
    ) -> BayesianLinearModel:
        """Return the model of training rows.

        Models of energies and of forces (`row_kind="force"`) are combined by `+`. The features of
        an energy are those of the loss: sums over atoms for a loss of total energies, sums over
        atoms divided by their number for a loss of energies per atom; rows of predictions are sums
        in both cases.

        Args:
            features: `[n, f]`, any float dtype; summed in float64.
            targets: `[n]` or `[n, t]`; without them there are variances but no means.
            ridge: z2 > 0, in units of features squared.
            alpha2: a2 > 0, `[]` or `[t]`, target squared.
            weights: `[n]` > 0, l'' of (10): 1 for e²/2, 2 for e², 1/variance for a
                Gaussian likelihood.
            row_kind: kind of the rows, see `row_kinds`.
            offset: treatment of a constant term, see `row_kinds`; Sec. 2.1 of [G25].
            fingerprint: identifier of the model and the data of the features.

        Raises:
            ShapeError: features are not `[n, f]`, or other arguments do not match them.
            InputError: a number is not finite, ridge, alpha2 or a weight is not positive, row kind
                or offset are unknown, or memory does not suffice.
        """
        check_positive("ridge", ridge, "It has the units of features squared.")
        check_choice("row_kind", row_kind, ROW_KINDS)
        check_choice("offset", offset, OFFSETS)
        check_finite_rows("features", check_shape("features", features, [None, None]))
        table, t, columns = with_bias(features, row_kind, offset), None, False
        width = table.shape[1]
        hint = "Use fewer features, a random projection of them, or shards."
        check_memory(
            "features", 8 * (4 * width**2 + table.numel()), free_bytes(features.device), hint
        )
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
        """Return the model of the rows of both; the ridge counts once.

        Raises:
            InputError: ridge, alpha2, offset or fingerprint differ.
            ShapeError: features or targets have different widths.
        """
        for name in ("n_features", "ridge", "offset", "fingerprint", "is_multi_target"):
            value, other_value = getattr(self, name), getattr(other, name)
            if value != other_value:
                condition = f"have the {name} {value!r} of the model that it is added to"
                raise InputError(error_message("other", condition, repr(other_value)))
        if not torch.equal(self.alpha2, other.alpha2):
            condition = f"have the alpha2 {self.alpha2.tolist()} of the other model"
            value = other.alpha2.tolist()
            raise InputError(error_message("other", condition, value, "Calibrate the sum."))
        return replace(self, moments=self.moments + other.moments)

    def calibrated(self, alpha2: Tensor | float) -> BayesianLinearModel:
        """Return the model with another a2, `[]` or `[t]`, target squared.

        All of (1) and, with it, of (8) is scaled, not the noise inside the inverse. Energies,
        forces and stresses may have one each: calibrate a model for each.

        Raises:
            InputError: `alpha2` is not positive and finite.
            ShapeError: `alpha2` is neither one number nor one per target.
        """
        t = len(self.moments.mean) - self.n_features or None
        factor = check_alpha2(alpha2, t, self.is_multi_target).to(self.alpha2)
        return replace(self, alpha2=factor)._with_cholesky(self._cholesky)

    def with_cholesky(self, hessian_cholesky: Tensor) -> BayesianLinearModel:
        """Return the model with a Cholesky factor of H computed by QR, `[f, f]`.

        QR of the rows themselves is more precise than the factorisation of their squares.

        Raises:
            ShapeError: the factor has another shape than H.
            InputError: its diagonal is not positive, or its square is not H.
        """
        check_shape("hessian_cholesky", hessian_cholesky, [self.n_features, self.n_features])
        check_all_positive("hessian_cholesky", hessian_cholesky.diagonal())
        gap = float((hessian_cholesky @ hessian_cholesky.mT - self.hessian).abs().max())
        if gap > 1e-6 * float(self.hessian.diagonal().max()):
            condition, value = "be a root of the model's H", f"a difference of {gap:.3g}"
            raise InputError(error_message("hessian_cholesky", condition, value))
        return replace(self)._with_cholesky(CholeskyFactor(hessian_cholesky))

    def _with_cholesky(self, factor: CholeskyFactor) -> BayesianLinearModel:
        # Fills the cached property, so that nothing is computed twice.
        self.__dict__["_cholesky"] = factor
        return self

    @property
    def hessian(self) -> Tensor:
        """H = Fᵀ w F + z2 I, `[f, f]`, around the mean if the rows are centred."""
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
        """Jitter added to the diagonal of H for L to exist; 0 as a rule."""
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
        """Weights H⁻¹ Fᵀ w y, (3), `[f]` or `[f, t]`.

        Raises:
            NotFittedError: the model was fitted without targets.
        """
        if len(self.moments.mean) == self.n_features:
            condition = "have been fitted with targets"
            raise NotFittedError(error_message("linear_model", condition, "features alone"))
        table = self.moments.scatter if self.is_centered else self.moments.uncentered_scatter
        coefficients = self._cholesky.solve(table[: self.n_features, self.n_features :])
        return coefficients if self.is_multi_target else coefficients.squeeze(1)

    def leverage(self, features: Tensor, *, row_kind: RowKind = "energy") -> Tensor:
        """Return fᵀ H⁻¹ f of rows `[..., f]`, `[...]`; with an intercept plus 1 / Σw.

        The leverage in the sense of statistics, for training rows of weight 1.

        Raises:
            ShapeError: rows have another width than the training rows.
            InputError: a number is not finite, or `row_kind` is unknown.
        """
        blocks, shape = self._centered_blocks(features, row_kind)
        values = torch.cat([self._cholesky.inv_quad(block) for block in blocks])
        return values.reshape(shape) + self.intercept_leverage(row_kind)

    def variance(
        self,
        features: Tensor,
        *,
        variance_kind: VarianceKind = "latent",
        row_kind: RowKind = "energy",
        noise_variance: Tensor | float | None = None,
    ) -> Tensor:
        """Return s2 of (1) for rows `[..., f]`, `[...]` or `[..., t]`, target squared.

        Args:
            features: `[..., f]` of the predictions: for a total energy the sum over its atoms,
                whose variance is not the sum of the atoms' variances.
            variance_kind: `"latent"`, of the noise-free value, or `"observed"`, of a label.
            row_kind: kind of the rows, see `row_kinds`.
            noise_variance: `[...]` variance of the labels' noise, for `"observed"`; by default a2,
                which holds for labels of weight 1 (for weight w: a2 / w).

        Raises:
            ShapeError: rows have another width than the training rows.
            InputError: a number is not finite, noise negative, or a kind unknown.
        """
        check_choice("variance_kind", variance_kind, VARIANCE_KINDS)
        leverage = self.leverage(features, row_kind=row_kind)
        latent = self.alpha2 * (leverage.unsqueeze(-1) if self.alpha2.ndim else leverage)
        return (
            latent if variance_kind == "latent" else latent + self._noise_variance(noise_variance)
        )

    def covariance(
        self,
        features: Tensor,
        other: Tensor | None = None,
        *,
        row_kind: RowKind = "energy",
        other_row_kind: RowKind | None = None,
    ) -> Tensor:
        """Return latent covariances a2 fᵢᵀ H⁻¹ fⱼ, `[n, m]` or `[n, m, t]`, target squared.

        Args:
            features: `[n, f]`, first rows.
            other: `[m, f]`, second rows; by default `features`.
            row_kind: kind of the rows of `features`.
            other_row_kind: kind of the rows of `other`, by default `row_kind`. Energies with forces
                give covariances in eV²/Å.

        Raises:
            ShapeError: rows have another width than the training rows.
            InputError: a number is not finite, a row kind unknown, or memory is short.
        """
        kinds = row_kind, other_row_kind or row_kind
        n = features.numel() // max(1, features.shape[-1])
        m = n if other is None else other.numel() // max(1, other.shape[-1])
        required = 8 * (2 * n * m * max(1, self.alpha2.numel()) + self.n_features * (n + m))
        check_memory(
            "features", required, free_bytes(features.device), "Ask about fewer rows at once."
        )
        left = self._whiten(features, kinds[0])
        right = left if other is None else self._whiten(other, kinds[1])
        product = left.mT @ right
        if "energy" in kinds and len(set(kinds)) == 1:
            product = product + self.intercept_leverage("energy")
        return product.unsqueeze(-1) * self.alpha2 if self.alpha2.ndim else self.alpha2 * product

    def mean(self, features: Tensor, *, row_kind: RowKind = "energy") -> Tensor:
        """Return the ridge regression on the targets, (2), `[...]` or `[..., t]`.

        Raises:
            NotFittedError: the model was fitted without targets.
            ShapeError: rows have another width than the training rows.
            InputError: a number is not finite, or `row_kind` is unknown.
        """
        coefficients = self.coefficients
        blocks, shape = self._centered_blocks(features, row_kind)
        mean = torch.cat([block @ coefficients for block in blocks])
        mean = mean.reshape(*shape, *coefficients.shape[1:])
        if self.is_centered and row_kind == "energy":
            target_mean = self.moments.mean[self.n_features :]
            mean = mean + (target_mean if self.is_multi_target else target_mean[0])
        return mean

    def predict(
        self,
        features: Tensor,
        force_features: Tensor | None = None,
        *,
        noise_variance: Tensor | float | None = None,
        force_noise_variance: Tensor | float | None = None,
        covariance: bool = False,
    ) -> Prediction:
        """Return energies (and forces) with their latent variances and the noise variance.

        Args:
            features: `[b, f]`, sums over the atoms of each structure.
            force_features: `[n, 3, f]` 1/Å, minus the derivative of a structure's features with
                respect to the positions of its atoms.
            noise_variance: `[]` or `[b]` eV², noise of an energy; by default a2.
            force_noise_variance: `[]`, `[n, 1]` or `[n, 3]` (eV/Å)², noise of a force component; by
                default a2, that of a row of weight 1.
            covariance: compute the covariance between the energies too.

        Raises:
            NotFittedError: the model was fitted without targets.
            InputError: there are several targets, or a number is not finite.
            ShapeError: rows have another width than the training rows.
        """
        if self.is_multi_target or self.alpha2.ndim:
            condition = "have one target to make a prediction of energies"
            raise InputError(error_message("linear_model", condition, "columns", "Use `mean`."))
        return Prediction(
            self.mean(features),
            self.variance(features),
            self._noise_variance(noise_variance).expand(features.shape[:-1]),
            forces=None if force_features is None else self.mean(force_features, row_kind="force"),
            covariance=self.covariance(features) if covariance else None,
            force_variance=(
                None if force_features is None else self.variance(force_features, row_kind="force")
            ),
            force_noise_variance=(
                None
                if force_features is None
                else self._noise_variance(force_noise_variance, "force_noise_variance").expand(
                    force_features.shape[:-1]
                )
            ),
        )

    def state(self) -> dict[str, Tensor]:
        """Return the whole model as named tensors, to be saved in any format."""
        text = torch.frombuffer(bytearray(self.fingerprint.encode() + b"\0"), dtype=torch.uint8)
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
            "fingerprint": text.clone(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Tensor], fingerprint: str) -> BayesianLinearModel:
        """Return the model of a state if its features have this fingerprint.

        Raises:
            InputError: they have another fingerprint, or names are missing.
        """
        names = (
            *("count", "weight", "mean", "scatter", "alpha2", "ridge", "n_features"),
            *("offset", "is_multi_target", "jitter", "fingerprint"),
        )
        missing = [name for name in names if name not in state]
        if missing:
            raise InputError(error_message("state", "be that of a linear model", f"no {missing}"))
        own = bytes(state["fingerprint"].tolist())[:-1].decode()
        if fingerprint != own:
            condition = f"be the {own!r} that the linear model was built from"
            raise InputError(
                error_message("fingerprint", condition, repr(fingerprint), "Build it anew.")
            )
        return cls(
            WeightedMoments(*(state[name] for name in names[:4])),
            int(state["n_features"]),
            float(state["ridge"]),
            state["alpha2"],
            OFFSETS[int(state["offset"])],
            own,
            bool(state["is_multi_target"]),
        )

    @property
    def is_centered(self) -> bool:
        """True if rows are centred around the mean of the training rows.

        Raises:
            NotFittedError: they are, and there are no energies for the mean.
        """
        if self.offset not in ("centred", "intercept"):
            return False
        if float(self.moments.total_weight) <= 0:
            condition, hint = "have energies to be centred", "Add a model of energies to it."
            raise NotFittedError(error_message("linear_model", condition, "none", hint))
        return True

    def intercept_leverage(self, row_kind: RowKind) -> float:
        """Return the leverage of an intercept without penalty: 1 / Σw, or 0 without one."""
        if self.offset != "intercept" or row_kind != "energy":
            return 0.0
        return 1 / float(self.moments.total_weight)

    def _noise_variance(self, noise: Tensor | float | None, name: str = "noise_variance") -> Tensor:
        if noise is None:
            return self.alpha2
        variance = torch.as_tensor(noise).to(self.alpha2)
        if not bool((variance.isfinite() & (variance >= 0)).all()):
            condition = "be finite and not negative"
            raise InputError(error_message(name, condition, float(variance.min())))
        return variance

    def _flatten_rows(self, features: Tensor, row_kind: RowKind) -> Tensor:
        check_choice("row_kind", row_kind, ROW_KINDS)
        check_finite_rows("features", features, self.n_features - (self.offset == "bias"))
        return features.reshape(-1, features.shape[-1])

    def _centered_blocks(
        self, features: Tensor, row_kind: RowKind
    ) -> tuple[Iterator[Tensor], torch.Size]:
        """Return blocks of centred rows `[n, f]`, and the shape `[...]` of all rows."""
        blocks = self._flatten_rows(features, row_kind).split(rows_per_block(2 * self.n_features))
        return (self.centered_rows(block, row_kind) for block in blocks), features.shape[:-1]

    def centered_rows(self, flat: Tensor, row_kind: RowKind) -> Tensor:
        """Return rows `[n, f]` of (1): with a bias column and centred, if so fitted."""
        table = with_bias(flat, row_kind, self.offset).to(self.moments.mean)
        if self.is_centered and row_kind == "energy":
            return table - self.moments.mean[: self.n_features]
        return table

    def _whiten(self, features: Tensor, row_kind: RowKind) -> Tensor:
        """Return L⁻¹ Fᵀ, `[f, n]`."""
        rows = self._flatten_rows(features, row_kind)
        return self._cholesky.solve_lower(self.centered_rows(rows, row_kind))

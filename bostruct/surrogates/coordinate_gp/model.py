"""Fitted Gaussian process over coordinates.

Notation
    n, d      training structures, coordinates
    r         rows: energies, and gradients by each coordinate where these are known
    X         [..., q, d]   coordinates in their own units
    L         [r, r]  eV    Cholesky factor of the covariance of the rows, noise included
    alpha     [r]     1/eV  (L Lᵀ)⁻¹ (values less the mean)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import NotFittedError
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.conditioned_model import JointModel
from bostruct.surrogates.botorch_models.posterior import (
    MIN_RELATIVE_VARIANCE,
    add_noise,
    jitter,
)
from bostruct.surrogates.coordinate_gp.coordinate_kernel import CoordinateKernel
from bostruct.surrogates.coordinate_gp.rotation_kernel import RotationKernel
from bostruct.surrogates.coordinate_gp.warping import LogWarping
from bostruct.uncertainty import Prediction

ROTATION_TENSORS = ("rotation_column", "rotation_directions")
"""Tensors of the state that processes without a rotation lack."""


@final
@dataclass(frozen=True, eq=False)
class CoordinateGPState:
    """Tensors of a fitted process; those of rows are ordered as in `CoordinateKernel.joint`.

    Attributes:
        X: `[n, d]` coordinates of the training structures.
        lower: `[d]` lower bounds of the coordinates.
        units: `[d]` range of each coordinate over 2 π.
        periodic: `[d]` bool.
        is_observed: `[(d + 1) n]` bool, the rows.
        alpha: `[r]` 1/eV.
        cholesky: `[r, r]` eV.
        lengthscales: `[p]` in `units`, one for the three coordinates of a rotation.
        amplitudes: `[3]` eV.
        constant: `[]` eV.
        mean: `[]` eV.
        lowest: `[]` eV, as in `LogWarping`.
        threshold: `[]` eV, as in `LogWarping`.
        energy_noise_std: `[]` eV.
        gradient_noise_std: `[]` eV per unit.
        log_marginal_likelihood: `[]`.
        rotation_column: `[]` int64 first of three coordinates that are a rotation vector.
        rotation_directions: `[3, c]` of the body, as in `BodyRotation`; None without a rotation.
    """

    X: Tensor
    lower: Tensor
    units: Tensor
    periodic: Tensor
    is_observed: Tensor
    alpha: Tensor
    cholesky: Tensor
    lengthscales: Tensor
    amplitudes: Tensor
    constant: Tensor
    mean: Tensor
    lowest: Tensor
    threshold: Tensor
    energy_noise_std: Tensor
    gradient_noise_std: Tensor
    log_marginal_likelihood: Tensor
    rotation_column: Tensor | None = None
    rotation_directions: Tensor | None = None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return the state of these tensors."""
        names = [field.name for field in fields(cls) if field.name not in ROTATION_TENSORS]
        rotation = {name: tensors[name] for name in ROTATION_TENSORS if name in tensors}
        return cls(**{name: tensors[name] for name in names}, **rotation)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def kernel(self) -> CoordinateKernel:
        """The kernel with its hyperparameters."""
        rotation = None
        if self.rotation_column is not None and self.rotation_directions is not None:
            rotation = RotationKernel(int(self.rotation_column), self.rotation_directions)
        return CoordinateKernel(
            self.periodic, self.lengthscales, self.amplitudes, self.constant, rotation
        )

    @property
    def warping(self) -> LogWarping:
        """The warping of the energies that the process is fitted to."""
        return LogWarping(self.lowest, self.threshold)

    def scaled(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` in units in which ranges are 2 π."""
        return (X.to(self.lower) - self.lower) / self.units


@final
@dataclass(frozen=True, eq=False)
class CoordinateGPMoments:
    """Means and standard deviations of b energies, and their gradients.

    Attributes:
        mean: `[b]` eV.
        std: `[b]` eV, latent.
        mean_gradient: `[b, d]` eV per unit of X.
        std_gradient: `[b, d]` eV per unit of X.
    """

    mean: Tensor
    std: Tensor
    mean_gradient: Tensor
    std_gradient: Tensor

    def gradient(self, mean_factor: Tensor, std_factor: Tensor) -> Tensor:
        """Return the gradient of sum(mean_factor mean + std_factor std) by X, `[b, d]`."""
        by_mean = mean_factor.unsqueeze(-1) * self.mean_gradient
        return by_mean + std_factor.unsqueeze(-1) * self.std_gradient


@final
class CoordinateGPModel(JointModel):
    """The energy as a Gaussian process over coordinates; it never changes.

    Args:
        fitted: The state.
        space: Gives coordinates to structures; None if only `posterior` is needed.
        is_warped: True for posteriors of the warped energies, which an acquisition sees.
    """

    def __init__(
        self,
        fitted: CoordinateGPState,
        space: Any = None,  # noqa: ANN401 - with few coordinates
        is_warped: bool = False,
    ) -> None:
        super().__init__()
        self.fitted, self.space, self.is_warped = fitted, space, is_warped

    @property
    def warped(self) -> CoordinateGPModel:
        """The model of the warped energies: equal where these are low, with normal posteriors."""
        return CoordinateGPModel(self.fitted, self.space, is_warped=True)

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance of q energies in eV, differentiable in X `[..., q, d]`."""
        fitted, kernel = self.fitted, self.fitted.kernel
        U = fitted.scaled(X)
        q, d = U.shape[-2:]
        K = kernel.energies_and_gradients(U.reshape(-1, d), fitted.scaled(fitted.X))
        K = K[:, fitted.is_observed]  # [..., r]
        mean = fitted.mean + K @ fitted.alpha
        whitened = torch.linalg.solve_triangular(fitted.cholesky, K.T, upper=False).T
        whitened = whitened.reshape(*U.shape[:-1], -1)
        prior = kernel.energies(U, U)
        C = prior - whitened @ whitened.transpose(-1, -2)
        own, operand = (M.diagonal(dim1=-2, dim2=-1) for M in (C, prior))
        C = C + torch.diag_embed(jitter(own, operand, kernel.prior_variance()))
        noise = fitted.energy_noise_std.square().expand(*U.shape[:-2], q)
        mean = mean.reshape(*U.shape[:-1])
        if not self.is_warped:
            mean, slope = fitted.warping.unwarp(mean)
            C = slope.unsqueeze(-1) * C * slope.unsqueeze(-2)
            noise = noise * slope.square()
        return mean.unsqueeze(-1), add_noise(C, observation_noise, noise), True

    @property
    def has_closed_form_gradients(self) -> bool:
        """True of the warped energies."""
        return self.is_warped

    def posterior_moments(self, X: Tensor) -> CoordinateGPMoments:
        """Return mean and σ of warped energies at X `[b, d]`, with gradients.

        Those of the posterior of `warped`, to rounding.
        """
        fitted, kernel = self.fitted, self.fitted.kernel
        with torch.no_grad():
            U = fitted.scaled(X)
            b, d = U.shape
            K = kernel.joint(U, fitted.scaled(fitted.X))[:, fitted.is_observed]
            K, K_slopes = K[:b], K[b:].reshape(d, b, -1)
            whitened = torch.linalg.solve_triangular(fitted.cholesky, K.T, upper=False)  # [r, b]
            solved = torch.linalg.solve_triangular(fitted.cholesky.T, whitened, upper=True).T
            prior = kernel.prior_variance()
            variance = prior - whitened.square().sum(0)
            added = jitter(variance, prior, prior)
            std = (variance + added).sqrt()
            slopes = -(K_slopes * solved).sum(-1).T / std.unsqueeze(-1)  # of the root of variance
            is_least = variance <= MIN_RELATIVE_VARIANCE * prior
            slopes = slopes.masked_fill(is_least.unsqueeze(-1), 0.0)
            mean = fitted.mean + K @ fitted.alpha
            return CoordinateGPMoments(
                mean, std, (K_slopes @ fitted.alpha).T / fitted.units, slopes / fitted.units
            )

    def predict(self, structures: Structures) -> Prediction:
        """Return energies and variances of structures of the space.

        Forces are not predicted, as the process knows those along the coordinates alone.

        Raises:
            NotFittedError: the model was fitted without a space.
            InputError: a structure is none of the space.
        """
        if self.space is None:
            raise NotFittedError(
                "`predict` must have a space to find coordinates with, got none. "
                "Fit with `fit(structures, space)`, or call `posterior(X)`."
            )
        X = self.space.encode(structures)
        with torch.no_grad():
            mean, C, _ = self.joint_normal(X.unsqueeze(-2), False)
            noisy = self.joint_normal(X.unsqueeze(-2), True)[1]
        return Prediction(mean.flatten(), C.flatten(), (noisy - C).flatten())

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the model exactly."""
        return self.fitted.tensors()

    def hyperparameters(self) -> dict[str, float]:
        """Return named numbers for people: length scales in the units of the coordinates."""
        fitted = self.fitted
        first = list(range(len(fitted.units)))
        if fitted.rotation_column is not None:
            c = int(fitted.rotation_column)
            del first[c + 1 : c + 3]
        lengths = (fitted.lengthscales * fitted.units[first]).tolist()
        single, pair, every = fitted.amplitudes.tolist()
        return {
            **{f"lengthscale_{k}": value for k, value in enumerate(lengths)},
            "single_std": single,
            "pair_std": pair,
            "product_std": every,
            "warping_threshold": float(fitted.threshold.nan_to_num(posinf=0.0)),
            "energy_noise_std": float(fitted.energy_noise_std),
            "gradient_noise_std": float(fitted.gradient_noise_std),
            "log_marginal_likelihood": float(fitted.log_marginal_likelihood),
        }

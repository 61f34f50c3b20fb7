"""A fitted Gaussian process over features of structures.

Notation
    t, f, q   values, features, structures asked about jointly
    Z         [t, f]   features of those with a value
    y         [t]      values less their mean, in units of their deviation s
    A         [t, t]   K(Z, Z) + noise = L L^T
    w         ≥ 1      what sigma is widened by

    mean       = m + s K(z, Z) A^-1 y
    covariance = (s w)² (K(z, z') - K(z, Z) A^-1 K(Z, z'))

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1).
The numbers of the kernel are the most probable ones under priors that are normal in
their logarithms. As they, m and s come from the same values, left-out errors look
smaller than errors of new values are, and w makes up for it; see `widened`. The kernel
is one of GPyTorch's; the algebra is here, as distances do not change during a search,
and a kept factor makes one product of any number of structures, while GPyTorch would
repeat the training set for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from bostruct.surrogates.gpytorch_settings import cholesky_only
from bostruct.surrogates.properties.kernel import (
    TYPICAL_LENGTHSCALE,
    AdditiveKernel,
    FeatureBlock,
)
from bostruct.surrogates.properties.map_estimate import (
    find_map_estimate,
    negative_log_density,
)

MIN_NOISE = 1e-7  # of the noise
LOG = math.log
# of the logarithms of signals (in variances), lengths (in median distances) and noise
PRIOR_MEANS = (0.0, LOG(TYPICAL_LENGTHSCALE), LOG(1e-3))
PRIOR_STDS = (3.0, 1.0, 3.0)
LOWER_BOUNDS, UPPER_BOUNDS = (
    (LOG(1e-6), LOG(0.1), LOG(1e-9)),
    (LOG(1e4), LOG(1e2), LOG(10)),
)
INITIAL_VALUES = ((LOG(2), LOG(1e-3)), (LOG(0.7), LOG(1e-5)), (LOG(5), LOG(1e-2)))
MIN_LOO_VALUES = 5  # values of which no misfit is told
MIN_DOF_FRACTION = 0.5  # of the values, taken to be left by what was fitted, at least
MIN_VARIANCE = 1e-10  # variance that is always left, of that of the values
TENSOR_NAMES = (
    "Z",
    "cholesky",
    "weights",
    "noise",
    "offset",
    "scale",
    "sigma_factor",
    "loo_rms_z",
    "log_marginal_likelihood",
)


def fit_kernel(
    blocks: tuple[FeatureBlock, ...], Z: Tensor, y: Tensor
) -> tuple[AdditiveKernel, Tensor]:
    """Return the most probable kernel and variance of the noise, of a few searches.

    Args:
        blocks: the features.
        Z: `[t, f]` features.
        y: `[t]` values of mean 0 and deviation 1.
    """
    found = AdditiveKernel(blocks)
    apart, vague = found.squared_distances(Z, Z), found.linear_kernel(Z, Z)
    sizes = [len(found.log_signal), len(found.log_length), 1]
    middle, spread = (
        repeat_by_group(PRIOR_MEANS, sizes),
        repeat_by_group(PRIOR_STDS, sizes),
    )
    eye = torch.eye(len(Z), dtype=Z.dtype)

    def lost(p: Tensor) -> Tensor:
        signal, length, noise = p.split(sizes)
        A = found.from_distances(apart, vague, signal, length) + (noise.exp() + MIN_NOISE) * eye
        return negative_log_density(A, y) + 0.5 * ((p - middle) / spread).square().sum()

    starts = [repeat_by_group((0.0, *start), sizes) for start in INITIAL_VALUES]
    ends = repeat_by_group(LOWER_BOUNDS, sizes), repeat_by_group(UPPER_BOUNDS, sizes)
    signal, length, noise = find_map_estimate(lost, starts, *ends).split(sizes)
    found.initialize(log_signal=signal, log_length=length)
    return found, noise.exp().squeeze() + MIN_NOISE


def repeat_by_group(values: tuple[float, ...], sizes: list[int]) -> Tensor:
    """Return a value for signals, lengths and noise each, as one row."""
    counts = torch.tensor(sizes)
    return torch.tensor(values, dtype=torch.float64).repeat_interleave(counts)


@final
class FeatureGP:
    """A kernel, its data and what follows from them.

    Args:
        blocks: the features.
        kernel: fitted.
        fitted_tensors: `NUMBERS` by name: Z, L, A^-1 y, noise, m, s, w, and what was told.
    """

    def __init__(
        self,
        blocks: tuple[FeatureBlock, ...],
        kernel: AdditiveKernel,
        fitted_tensors: Mapping[str, Tensor],
    ) -> None:
        self.blocks, self.kernel = blocks, kernel.requires_grad_(False)
        self.fitted_tensors = {name: fitted_tensors[name] for name in TENSOR_NAMES}

    @classmethod
    def fit(
        cls,
        blocks: tuple[FeatureBlock, ...],
        Z: Tensor,
        values: Tensor,
        *,
        loo_correction: bool,
    ) -> FeatureGP:
        """Return the process of values `[t]` at features `[t, f]`.

        Args:
            blocks: the features.
            Z: `[t, f]`.
            values: `[t]`, at least one, finite.
            loo_correction: whether sigma is widened; see `widened`.
        """
        offset, scale = values.mean(), nonzero_std(values)
        y = (values - offset) / scale
        covariance, noise = fit_kernel(blocks, Z, y)
        with torch.no_grad():
            A = covariance(Z).to_dense() + noise * torch.eye(len(Z), dtype=Z.dtype)
            factor = psd_safe_cholesky(A)
            weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
            logs = factor.diagonal().log().sum() + len(y) * scale.log()
            evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
            own = torch.cholesky_inverse(factor).diagonal()
            misfit = (weights.square() / own).mean().sqrt()
            fitted = 2 + sum(p.numel() for p in (*covariance.parameters(), noise))
            widening = (
                loo_sigma_factor(misfit, len(y), fitted) if loo_correction else misfit.new_ones(())
            )
        found = (Z, factor, weights, noise, offset, scale, widening, misfit, evidence)
        return cls(blocks, covariance, dict(zip(TENSOR_NAMES, found, strict=True)))

    @classmethod
    def restore(cls, blocks: tuple[FeatureBlock, ...], state: Mapping[str, Tensor]) -> FeatureGP:
        """Return the process that `state` was taken from."""
        covariance = AdditiveKernel(blocks)
        own = {
            name.removeprefix("kernel."): value
            for name, value in state.items()
            if name.startswith("kernel.")
        }
        covariance.load_state_dict(own)
        return cls(blocks, covariance, state)

    def __call__(self, Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise variance `[]`.

        Args:
            Z: `[..., q, f]` features.
        """
        own, q = self.fitted_tensors, Z.shape[-2]
        flat = Z.reshape(-1, Z.shape[-1])
        with torch.no_grad(), cholesky_only():
            K = self.kernel(flat, own["Z"]).to_dense()  # [c, t]
            mean = own["offset"] + own["scale"] * (K @ own["weights"])
            seen = torch.linalg.solve_triangular(own["cholesky"], K.T, upper=False)
            if q == 1:
                prior = self.kernel(flat, diag=True)
                C = (prior - seen.square().sum(0)).clamp(min=0).view(*Z.shape[:-2], 1, 1)
            else:
                seen = seen.T.reshape(*Z.shape[:-1], -1)
                C = self.kernel(Z).to_dense() - seen @ seen.transpose(-1, -2)
            least = MIN_VARIANCE * torch.eye(q, dtype=Z.dtype, device=Z.device)
            unit = own["scale"].square()
            C = (C + least) * (unit * own["sigma_factor"].square())
        return mean.view(Z.shape[:-1]), C, own["noise"] * unit

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the process exactly."""
        own = self.kernel.state_dict().items()
        return self.fitted_tensors | {f"kernel.{name}": value for name, value in own}

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers, in units of the values and median distances."""
        own = self.fitted_tensors
        scale = float(own["scale"])
        found = {
            "log_marginal_likelihood": float(own["log_marginal_likelihood"]),
            "noise": scale * float(own["noise"].sqrt()),
            "loo_rms_z": float(own["loo_rms_z"]),
            "sigma_factor": float(own["sigma_factor"]),
        }
        parts = self.kernel.log_signal.exp(), self.kernel.lengthscales()
        for block, signal, length in zip(self.kernel.blocks, *parts, strict=True):
            found[f"signal_of_{block.name}"] = scale * float(signal.sqrt())
            found[f"length_of_{block.name}"] = float(length.log().mean().exp())
        return found


def loo_sigma_factor(loo_rms_z: Tensor, n_values: int, n_fitted: int) -> Tensor:
    """Return the factor of sigma, `[]`, at least 1.

    Its square is that of the misfit, where this is above 1 and there are `FEW` values,
    times t / (t - p): as in least squares, p numbers fitted to t values take as many of
    them to themselves. That factor is at most 1 / `LEFT`: of few values p counts for
    less, as the priors decide most of what is fitted.

    Args:
        loo_rms_z: `[]` root mean square of left-out errors, in sigma, all numbers kept.
        n_values: of the values, t.
        n_fitted: numbers that were found from them, p.
    """
    square = (
        loo_rms_z.square().clamp(min=1)
        if n_values >= MIN_LOO_VALUES
        else torch.ones_like(loo_rms_z)
    )
    return (square * n_values / max(n_values - n_fitted, MIN_DOF_FRACTION * n_values)).sqrt()


def nonzero_std(values: Tensor) -> Tensor:
    """Return the deviation of values; of equal ones their size, or 1."""
    size = values.abs().max()
    size = torch.where(size > 0, size, torch.ones_like(size))
    spread = values.std() if len(values) > 1 else torch.zeros_like(size)
    return torch.where(spread > 1e-12 * size, spread, size)

"""A fitted Gaussian process over features of structures.

Notation
    t, f, q   values, features, structures of a joint posterior
    Z         [t, f]   features of the structures with a value
    y         [t]      values less their mean m, in units of their standard deviation s
    A         [t, t]   K(Z, Z) + noise = L L^T
    w         ≥ 1      leave-one-out correction of sigma

    mean       = m + s K(z, Z) A^-1 y
    covariance = (s w)² (K(z, z') - K(z, Z) A^-1 K(Z, z'))

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1). The
hyperparameters are those of highest posterior density under log-normal priors. As they, m and s
come from the same values, leave-one-out errors are smaller than errors of new values, and w
corrects for it; see `loo_sigma_factor`. The kernel is a GPyTorch kernel; the algebra is here, as
distances do not change during a search, and with the factor kept one product serves any number of
structures, while GPyTorch would repeat the training set for each.
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

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
from bostruct.surrogates.properties.state_header import tensors_under

MIN_NOISE = 1e-7  # least noise variance, of the variance of the values
LOG = math.log
# logarithms of signals (in variances), lengthscales (in median distances) and noise
PRIOR_MEANS = (0.0, LOG(TYPICAL_LENGTHSCALE), LOG(1e-3))
PRIOR_STDS = (3.0, 1.0, 3.0)
LOWER_BOUNDS, UPPER_BOUNDS = (
    (LOG(1e-6), LOG(0.1), LOG(1e-9)),
    (LOG(1e4), LOG(1e2), LOG(10)),
)
INITIAL_VALUES = ((LOG(2), LOG(1e-3)), (LOG(0.7), LOG(1e-5)), (LOG(5), LOG(1e-2)))
MIN_LOO_VALUES = 5  # least number of values with a leave-one-out correction
MIN_DOF_FRACTION = 0.5  # of the values: least number of degrees of freedom
MIN_VARIANCE = 1e-10  # least variance, of that of the values
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
    """Return the kernel and the noise variance of highest posterior density.

    Args:
        blocks: Blocks of the features.
        Z: Features, `[t, f]`.
        y: Values of mean 0 and standard deviation 1, `[t]`.
    """
    kernel = AdditiveKernel(blocks)
    distances, linear = kernel.squared_distances(Z, Z), kernel.linear_kernel(Z, Z)
    sizes = [len(kernel.log_signal), len(kernel.log_length), 1]
    mean, std = repeat_by_group(PRIOR_MEANS, sizes), repeat_by_group(PRIOR_STDS, sizes)
    eye = torch.eye(len(Z), dtype=Z.dtype)

    def loss(p: Tensor) -> Tensor:
        signal, length, noise = p.split(sizes)
        K = kernel.from_distances(distances, linear, signal, length)
        A = K + (noise.exp() + MIN_NOISE) * eye
        return negative_log_density(A, y) + 0.5 * ((p - mean) / std).square().sum()

    starts = [repeat_by_group((0.0, *start), sizes) for start in INITIAL_VALUES]
    bounds = repeat_by_group(LOWER_BOUNDS, sizes), repeat_by_group(UPPER_BOUNDS, sizes)
    signal, length, noise = find_map_estimate(loss, starts, *bounds).split(sizes)
    kernel.initialize(log_signal=signal, log_length=length)
    return kernel, noise.exp().squeeze() + MIN_NOISE


def repeat_by_group(values: tuple[float, ...], sizes: list[int]) -> Tensor:
    """Return each value as often as the size of its group, in one row."""
    return torch.tensor(values, dtype=torch.float64).repeat_interleave(torch.tensor(sizes))


@final
class FeatureGP:
    """A Gaussian process over features: a kernel, its data and the factors for predictions.

    Args:
        blocks: Blocks of the features.
        kernel: Fitted kernel.
        fitted_tensors: Tensors by the names `TENSOR_NAMES`: Z, L, A^-1 y, noise, m, s, w, root mean
            square leave-one-out error in sigma, and log marginal likelihood.
    """

    def __init__(
        self,
        blocks: tuple[FeatureBlock, ...],
        kernel: AdditiveKernel,
        fitted_tensors: Mapping[str, Tensor],
    ) -> None:
        self.blocks, self.kernel = blocks, kernel.requires_grad_(False)
        # Rows as they come back from a file: another order of memory rounds otherwise.
        self.fitted_tensors = {name: fitted_tensors[name].contiguous() for name in TENSOR_NAMES}

    @classmethod
    def fit(
        cls,
        blocks: tuple[FeatureBlock, ...],
        Z: Tensor,
        values: Tensor,
        *,
        loo_correction: bool,
    ) -> FeatureGP:
        """Return the process fitted to values at features.

        Args:
            blocks: Blocks of the features.
            Z: Features, `[t, f]`.
            values: Finite values, at least one, `[t]`.
            loo_correction: True to correct sigma by leave-one-out errors; see `loo_sigma_factor`.
        """
        offset, scale = values.mean(), nonzero_std(values)
        y = (values - offset) / scale
        kernel, noise = fit_kernel(blocks, Z, y)
        with torch.no_grad():
            A = kernel(Z).to_dense() + noise * torch.eye(len(Z), dtype=Z.dtype)
            factor = psd_safe_cholesky(A)
            weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
            logs = factor.diagonal().log().sum() + len(y) * scale.log()
            evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
            z2 = weights.square() / torch.cholesky_inverse(factor).diagonal()
            rms_z = z2.mean().sqrt()
            sigma_factor = rms_z.new_ones(())
            if loo_correction:
                n_fitted = 2 + sum(p.numel() for p in (*kernel.parameters(), noise))
                sigma_factor = loo_sigma_factor(rms_z, len(y), n_fitted)
        tensors = (Z, factor, weights, noise, offset, scale, sigma_factor, rms_z, evidence)
        return cls(blocks, kernel, dict(zip(TENSOR_NAMES, tensors, strict=True)))

    @classmethod
    def restore(cls, blocks: tuple[FeatureBlock, ...], state: Mapping[str, Tensor]) -> FeatureGP:
        """Return the process with this state."""
        kernel = AdditiveKernel(blocks)
        kernel.load_state_dict(tensors_under(state, "kernel."))
        return cls(blocks, kernel, state)

    def __call__(self, Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean `[..., q]`, covariance `[..., q, q]` and noise variance `[]`.

        Args:
            Z: Features, `[..., q, f]`.
        """
        fitted, q = self.fitted_tensors, Z.shape[-2]
        flat = Z.reshape(-1, Z.shape[-1])
        with torch.no_grad(), cholesky_only():
            K = self.kernel(flat, fitted["Z"]).to_dense()  # [c, t]
            mean = fitted["offset"] + fitted["scale"] * (K @ fitted["weights"])
            root = torch.linalg.solve_triangular(fitted["cholesky"], K.T, upper=False)
            if q == 1:
                prior = self.kernel(flat, diag=True)
                C = (prior - root.square().sum(0)).clamp(min=0).view(*Z.shape[:-2], 1, 1)
            else:
                root = root.T.reshape(*Z.shape[:-1], -1)
                C = self.kernel(Z).to_dense() - root @ root.transpose(-1, -2)
            minimum = MIN_VARIANCE * torch.eye(q, dtype=Z.dtype, device=Z.device)
            unit = fitted["scale"].square()
            C = (C + minimum) * (unit * fitted["sigma_factor"].square())
        return mean.view(Z.shape[:-1]), C, fitted["noise"] * unit

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the process exactly."""
        parameters = self.kernel.state_dict().items()
        return self.fitted_tensors | {f"kernel.{name}": value for name, value in parameters}

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers, in units of the values and median distances."""
        fitted = self.fitted_tensors
        scale = float(fitted["scale"])
        names = "log_marginal_likelihood", "loo_rms_z", "sigma_factor"
        numbers = {name: float(fitted[name]) for name in names}
        numbers["noise"] = scale * float(fitted["noise"].sqrt())
        parameters = self.kernel.log_signal.exp(), self.kernel.lengthscales()
        for block, signal, length in zip(self.kernel.blocks, *parameters, strict=True):
            numbers[f"signal_of_{block.name}"] = scale * float(signal.sqrt())
            numbers[f"lengthscale_of_{block.name}"] = float(length.log().mean().exp())
        return numbers


def loo_sigma_factor(loo_rms_z: Tensor, n_values: int, n_fitted: int) -> Tensor:
    """Return the leave-one-out correction of sigma, `[]`, at least 1.

    Its square is that of the leave-one-out error, where this is above 1 and there are
    `MIN_LOO_VALUES` values, times t / (t - p): as in least squares, p numbers fitted to t values
    take as many degrees of freedom. This factor is at most 1 / `MIN_DOF_FRACTION`: with few values
    p counts for less, as the priors determine most of the fit.

    Args:
        loo_rms_z: Root mean square of leave-one-out errors in units of sigma, with all
            hyperparameters kept, `[]`.
        n_values: Number of values, t.
        n_fitted: Number of fitted parameters, p.
    """
    square = loo_rms_z.square().clamp(min=1)
    if n_values < MIN_LOO_VALUES:
        square = torch.ones_like(square)
    return (square * n_values / max(n_values - n_fitted, MIN_DOF_FRACTION * n_values)).sqrt()


def nonzero_std(values: Tensor) -> Tensor:
    """Return the standard deviation of values; of equal ones their size, or 1."""
    size = values.abs().max()
    size = torch.where(size > 0, size, torch.ones_like(size))
    std = values.std() if len(values) > 1 else torch.zeros_like(size)
    return torch.where(std > 1e-12 * size, std, size)

"""A fitted Gaussian process over features of structures.

Notation
    t, f, q   values, features, structures asked about jointly
    Z         [t, f]   features of those with a value
    y         [t]      values less their mean, in units of their deviation s
    A         [t, t]   K(Z, Z) + noise = L L^T
    w         ≥ 1      what sigma is widened by

    mean       = m + s K(z, Z) A^-1 y
    covariance = (s w)² (K(z, z') - K(z, Z) A^-1 K(Z, z'))

    K = sum over kinds of features of a² exp(-|z - z'|² / 2 l²)
        + 10 + 10 z . z' of compositions, a vague prior of a constant and of slopes

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1).
GPyTorch's kernels and evidence; the factor is kept, so that any number of structures
is one product, while GPyTorch would repeat the training set for each.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from botorch.exceptions.warnings import OptimizationWarning
from botorch.models import SingleTaskGP
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import (
    AdditiveKernel,
    ConstantKernel,
    Kernel,
    LinearKernel,
    RBFKernel,
    ScaleKernel,
)
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ZeroMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky
from torch import Tensor

from bostruct.surrogates.numerics import exact

VAGUE = 10.0  # variance of constant and slopes, of that of the values
LENGTH, NOISE = 2.0, 1e-3  # most probable, in median distances and in variances
FLOOR = 1e-7  # of the noise
STEPS = 100  # of the optimiser
FEW = 5  # values of which no misfit is told
LEAST = 1e-10  # variance that is always left, of that of the values
NUMBERS = (
    "Z",
    "factor",
    "weights",
    "noise",
    "offset",
    "scale",
    "widening",
    "misfit",
    "evidence",
)


@final
@dataclass(frozen=True)
class Block:
    """Some of the features, which share a kernel.

    Attributes:
        name: of these features.
        size: how many.
        linear: whether values may depend on them linearly, at no cost.
        ard: whether each has its own length.
    """

    name: str
    size: int
    linear: bool
    ard: bool


def kernel(blocks: tuple[Block, ...]) -> AdditiveKernel:
    """Return the kernel over these features, one block after the other."""
    parts: list[Kernel] = [_fixed(ConstantKernel(), "constant")]
    start = 0
    for block in blocks:
        active = tuple(range(start, start + block.size))
        start += block.size
        if not active:  # of one element alone
            continue
        rbf = RBFKernel(
            ard_num_dims=block.size if block.ard else None,
            active_dims=active,
            lengthscale_prior=_around(LENGTH, 1.0),
            lengthscale_constraint=_above(1e-2, LENGTH),
        )
        scaled = ScaleKernel(
            rbf,
            outputscale_prior=_around(1.0, 3.0),
            outputscale_constraint=_above(1e-6, 1.0),
        )
        parts.append(scaled)
        if block.linear:
            parts.append(_fixed(LinearKernel(active_dims=active), "variance"))
    return AdditiveKernel(*parts).double()


def maximise(covariance: Kernel, Z: Tensor, y: Tensor) -> float:
    """Fit the kernel to y `[t]` at Z `[t, f]` and return the variance of the noise."""
    prior = _around(NOISE, 3.0)
    likelihood = GaussianLikelihood(prior, noise_constraint=_above(FLOOR, NOISE))
    likelihood = likelihood.double()
    model = SingleTaskGP(
        Z,
        y.unsqueeze(-1),
        likelihood=likelihood,
        covar_module=covariance,
        mean_module=ZeroMean(),
        outcome_transform=None,
    )
    with exact(), warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)
        mll = ExactMarginalLogLikelihood(likelihood, model)
        fit_gpytorch_mll_scipy(mll, options={"maxiter": STEPS})
    return float(likelihood.noise.detach())


def _above(least: float, start: float) -> GreaterThan:
    """Return a bound below which a logarithm never goes, and where to begin."""
    return GreaterThan(least, torch.exp, torch.log, initial_value=start)


def _around(mode: float, spread: float) -> LogNormalPrior:
    """Return a prior that is normal in the logarithm, as a density of it."""
    return LogNormalPrior(math.log(mode) + spread**2, spread)


def _fixed(part: Kernel, name: str) -> Kernel:
    part.initialize(**{name: torch.tensor(VAGUE, dtype=torch.float64)})
    return part.requires_grad_(False)


@final
class Process:
    """A kernel, its data and what follows from them.

    Args:
        blocks: the features.
        covariance: fitted.
        tensors: Z, y, noise, offset m, scale s, widening w and evidence.
    """

    def __init__(
        self,
        blocks: tuple[Block, ...],
        covariance: Kernel,
        numbers: Mapping[str, Tensor],
    ) -> None:
        self.blocks, self.covariance = blocks, covariance.requires_grad_(False)
        self.numbers = {name: numbers[name] for name in NUMBERS}

    @classmethod
    def fit(
        cls, blocks: tuple[Block, ...], Z: Tensor, values: Tensor, *, widen: bool
    ) -> Process:
        """Return the process of values `[t]` at features `[t, f]`.

        Args:
            blocks: the features.
            Z: `[t, f]`.
            values: `[t]`, at least one, finite.
            widen: whether a misfit beyond sigma widens it.
        """
        offset, scale = values.mean(), _deviation(values)
        y = (values - offset) / scale
        covariance = kernel(blocks)
        noise = Z.new_tensor(maximise(covariance, Z, y))
        with torch.no_grad():
            A = covariance(Z).to_dense() + noise * torch.eye(len(Z), dtype=Z.dtype)
            factor = psd_safe_cholesky(A)
            weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
            logs = factor.diagonal().log().sum() + len(y) * scale.log()
            evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
            own = torch.cholesky_inverse(factor).diagonal()
            misfit = (weights.square() / own).mean().sqrt()
            enough = widen and len(y) >= FEW
            widening = misfit.clamp(min=1.0) if enough else torch.ones_like(misfit)
        found = (Z, factor, weights, noise, offset, scale, widening, misfit, evidence)
        return cls(blocks, covariance, dict(zip(NUMBERS, found, strict=True)))

    @classmethod
    def restore(cls, blocks: tuple[Block, ...], state: Mapping[str, Tensor]) -> Process:
        """Return the process that `state` was taken from."""
        covariance = kernel(blocks)
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
        own, q = self.numbers, Z.shape[-2]
        flat = Z.reshape(-1, Z.shape[-1])
        with torch.no_grad(), exact():
            K = self.covariance(flat, own["Z"]).to_dense()  # [c, t]
            mean = own["offset"] + own["scale"] * (K @ own["weights"])
            seen = torch.linalg.solve_triangular(own["factor"], K.T, upper=False)
            if q == 1:
                prior = self.covariance(flat, diag=True)
                C = (
                    (prior - seen.square().sum(0))
                    .clamp(min=0)
                    .view(*Z.shape[:-2], 1, 1)
                )
            else:
                seen = seen.T.reshape(*Z.shape[:-1], -1)
                C = self.covariance(Z).to_dense() - seen @ seen.transpose(-1, -2)
            least = LEAST * torch.eye(q, dtype=Z.dtype, device=Z.device)
            unit = own["scale"].square()
            C = (C + least) * (unit * own["widening"].square())
        return mean.view(Z.shape[:-1]), C, own["noise"] * unit

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that rebuild the process exactly."""
        own = self.covariance.state_dict().items()
        return self.numbers | {f"kernel.{name}": value for name, value in own}

    def hyperparameters(self) -> dict[str, float]:
        """Return the fitted numbers, in units of the values and median distances."""
        own = self.numbers
        scale = float(own["scale"])
        found = {
            "log_marginal_likelihood": float(own["evidence"]),
            "noise": scale * float(own["noise"].sqrt()),
            "misfit": float(own["misfit"]),
            "widening": float(own["widening"]),
        }
        scaled = [k for k in self.covariance.kernels if isinstance(k, ScaleKernel)]
        blocks = [block for block in self.blocks if block.size]
        for block, part in zip(blocks, scaled, strict=True):
            signal = scale * float(part.outputscale.sqrt())
            lengths = part.base_kernel.lengthscale.flatten()
            found[f"signal_of_{block.name}"] = signal
            found[f"length_of_{block.name}"] = float(lengths.log().mean().exp())
        return found


def _deviation(values: Tensor) -> Tensor:
    """Return the deviation of values; of equal ones their size, or 1."""
    size = values.abs().max()
    size = torch.where(size > 0, size, torch.ones_like(size))
    spread = values.std() if len(values) > 1 else torch.zeros_like(size)
    return torch.where(spread > 1e-12 * size, spread, size)

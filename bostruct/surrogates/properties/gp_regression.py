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

from bostruct.surrogates.gpytorch_settings import exact
from bostruct.surrogates.properties.kernel import LENGTH, Blend, Block
from bostruct.surrogates.properties.map_estimate import density, most_probable

FLOOR = 1e-7  # of the noise
LOG = math.log
# of the logarithms of signals (in variances), lengths (in median distances) and noise
MIDDLES = (0.0, LOG(LENGTH), LOG(1e-3))
SPREADS = (3.0, 1.0, 3.0)
LEASTS, MOSTS = (LOG(1e-6), LOG(0.1), LOG(1e-9)), (LOG(1e4), LOG(1e2), LOG(10))
STARTS = ((LOG(2), LOG(1e-3)), (LOG(0.7), LOG(1e-5)), (LOG(5), LOG(1e-2)))
FEW = 5  # values of which no misfit is told
LEFT = 0.5  # of the values, taken to be left by what was fitted, at least
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


def maximise(blocks: tuple[Block, ...], Z: Tensor, y: Tensor) -> tuple[Blend, Tensor]:
    """Return the most probable kernel and variance of the noise, of a few searches.

    Args:
        blocks: the features.
        Z: `[t, f]` features.
        y: `[t]` values of mean 0 and deviation 1.
    """
    found = Blend(blocks)
    apart, vague = found.apart(Z, Z), found.vague(Z, Z)
    sizes = [len(found.log_signal), len(found.log_length), 1]
    middle, spread = each(MIDDLES, sizes), each(SPREADS, sizes)
    eye = torch.eye(len(Z), dtype=Z.dtype)

    def lost(p: Tensor) -> Tensor:
        signal, length, noise = p.split(sizes)
        A = found.of(apart, vague, signal, length) + (noise.exp() + FLOOR) * eye
        return density(A, y) + 0.5 * ((p - middle) / spread).square().sum()

    starts = [each((0.0, *start), sizes) for start in STARTS]
    ends = each(LEASTS, sizes), each(MOSTS, sizes)
    signal, length, noise = most_probable(lost, starts, *ends).split(sizes)
    found.initialize(log_signal=signal, log_length=length)
    return found, noise.exp().squeeze() + FLOOR


def each(values: tuple[float, ...], sizes: list[int]) -> Tensor:
    """Return a value for signals, lengths and noise each, as one row."""
    counts = torch.tensor(sizes)
    return torch.tensor(values, dtype=torch.float64).repeat_interleave(counts)


@final
class Process:
    """A kernel, its data and what follows from them.

    Args:
        blocks: the features.
        covariance: fitted.
        numbers: `NUMBERS` by name: Z, L, A^-1 y, noise, m, s, w, and what was told.
    """

    def __init__(
        self,
        blocks: tuple[Block, ...],
        covariance: Blend,
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
            widen: whether sigma is widened; see `widened`.
        """
        offset, scale = values.mean(), deviation(values)
        y = (values - offset) / scale
        covariance, noise = maximise(blocks, Z, y)
        with torch.no_grad():
            A = covariance(Z).to_dense() + noise * torch.eye(len(Z), dtype=Z.dtype)
            factor = psd_safe_cholesky(A)
            weights = torch.cholesky_solve(y.unsqueeze(-1), factor).squeeze(-1)
            logs = factor.diagonal().log().sum() + len(y) * scale.log()
            evidence = -0.5 * (y @ weights + len(y) * math.log(2 * math.pi)) - logs
            own = torch.cholesky_inverse(factor).diagonal()
            misfit = (weights.square() / own).mean().sqrt()
            fitted = 2 + sum(p.numel() for p in (*covariance.parameters(), noise))
            widening = widened(misfit, len(y), fitted) if widen else misfit.new_ones(())
        found = (Z, factor, weights, noise, offset, scale, widening, misfit, evidence)
        return cls(blocks, covariance, dict(zip(NUMBERS, found, strict=True)))

    @classmethod
    def restore(cls, blocks: tuple[Block, ...], state: Mapping[str, Tensor]) -> Process:
        """Return the process that `state` was taken from."""
        covariance = Blend(blocks)
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
        parts = self.covariance.log_signal.exp(), self.covariance.lengths()
        for block, signal, length in zip(self.covariance.blocks, *parts, strict=True):
            found[f"signal_of_{block.name}"] = scale * float(signal.sqrt())
            found[f"length_of_{block.name}"] = float(length.log().mean().exp())
        return found


def widened(misfit: Tensor, count: int, fitted: int) -> Tensor:
    """Return the factor of sigma, `[]`, at least 1.

    Its square is that of the misfit, where this is above 1 and there are `FEW` values,
    times t / (t - p): as in least squares, p numbers fitted to t values take as many of
    them to themselves. That factor is at most 1 / `LEFT`: of few values p counts for
    less, as the priors decide most of what is fitted.

    Args:
        misfit: `[]` root mean square of left-out errors, in sigma, all numbers kept.
        count: of the values, t.
        fitted: numbers that were found from them, p.
    """
    square = misfit.square().clamp(min=1) if count >= FEW else torch.ones_like(misfit)
    return (square * count / max(count - fitted, LEFT * count)).sqrt()


def deviation(values: Tensor) -> Tensor:
    """Return the deviation of values; of equal ones their size, or 1."""
    size = values.abs().max()
    size = torch.where(size > 0, size, torch.ones_like(size))
    spread = values.std() if len(values) > 1 else torch.zeros_like(size)
    return torch.where(spread > 1e-12 * size, spread, size)

"""Expected improvement on the lowest energy, and its logarithm.

[J98] D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optim. 13, 455 (1998),
      doi:10.1023/A:1008306431147.
[A23] S. Ament, S. Daulton, D. Eriksson, M. Balandat, E. Bakshy, NeurIPS 2023,
      arXiv:2310.20708: why the logarithm is the one to maximize.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from botorch.acquisition import analytic, logei, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.exceptions.warnings import NumericsWarning
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, best_f_tensor, check_context
from bostruct.acquisition.botorch_internals import check_botorch_internal
from bostruct.acquisition.monte_carlo import MonteCarloAcquisition, pruned_baseline
from bostruct.acquisition.posterior_moments import ValueAndDerivatives

LOG_ROOT_2_PI = math.log(2 * math.pi) / 2
"""Minus the logarithm of the normal density at its maximum."""


@contextmanager
def _without_numerics_warning() -> Iterator[None]:
    """Silence BoTorch's advice on each build; the docstrings here give it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)
        yield


@dataclass(frozen=True)
class ClosedFormImprovement(BotorchAcquisition):
    """Base of the closed forms of one candidate that compare energies with `best_f`."""

    botorch_class: ClassVar[type[AcquisitionFunction]]

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; needs `best_f`."""
        check_context(self, context)
        best_f = best_f_tensor(context)
        with _without_numerics_warning():
            return self.botorch_class(context.model, best_f=best_f, maximize=False)


@dataclass(frozen=True)
class ExpectedImprovement(ClosedFormImprovement):
    """`E[max(best_f - E, 0)]` in eV [J98].

    Its value and its gradient vanish in floating point where an improvement is
    unlikely, which is nearly everywhere: prefer `LogExpectedImprovement` [A23].
    """

    has_energy_values: ClassVar[bool] = True
    botorch_class = analytic.ExpectedImprovement

    def value_and_derivatives(
        self, context: AcquisitionContext, mean: Tensor, std: Tensor
    ) -> ValueAndDerivatives:
        """Return the improvements `[b]` of energies with these moments, with their derivatives.

        With u = (best_f - mu) / σ it is σ (φ(u) + u Φ(u)), dEI/dmu = -Φ(u), dEI/dσ = φ(u) [J98].

        Raises:
            InputError: `best_f` is missing or not finite.
        """
        u = (best_f_tensor(context).to(std) - mean) / std
        density, probability = torch.exp(-u.square() / 2 - LOG_ROOT_2_PI), torch.special.ndtr(u)
        return ValueAndDerivatives(std * (density + u * probability), -probability, density)


@dataclass(frozen=True)
class LogExpectedImprovement(ClosedFormImprovement):
    """`log E[max(best_f - E, 0)]`, without underflow [A23]."""

    botorch_class = analytic.LogExpectedImprovement

    def value_and_derivatives(
        self, context: AcquisitionContext, mean: Tensor, std: Tensor
    ) -> ValueAndDerivatives:
        """Return the logarithms `[b]` of energies with these moments, with their derivatives.

        With u = (best_f - mu) / σ and h = φ(u) + u Φ(u) it is log σ + log h, and its derivatives
        are -Φ(u) / (σ h) and φ(u) / (σ h); log h is BoTorch's, without underflow [A23].

        Raises:
            InputError: `best_f` is missing or not finite, or BoTorch lacks its log h.
        """
        check_botorch_internal(analytic, "_log_ei_helper")
        u = (best_f_tensor(context).to(std) - mean) / std
        log_h = analytic._log_ei_helper(u)
        log_density = -u.square() / 2 - LOG_ROOT_2_PI
        return ValueAndDerivatives(
            std.log() + log_h,
            -torch.exp(torch.special.log_ndtr(u) - log_h) / std,
            torch.exp(log_density - log_h) / std,
        )


@dataclass(frozen=True)
class MonteCarloImprovement(MonteCarloAcquisition):
    """Base of the averages that compare energies with `best_f`."""

    n_samples: int = 512
    botorch_class: ClassVar[type[AcquisitionFunction]]

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `best_f`."""
        best_f, arguments = -best_f_tensor(context), self.arguments(context)
        with _without_numerics_warning():
            return self.botorch_class(best_f=best_f, **arguments)


@dataclass(frozen=True)
class qExpectedImprovement(MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix of q-batches
    """The `ExpectedImprovement` by the best of `q` candidates, in eV.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    has_energy_values: ClassVar[bool] = True
    botorch_class = monte_carlo.qExpectedImprovement


@dataclass(frozen=True)
class qLogExpectedImprovement(MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix
    """The `LogExpectedImprovement` by the best of `q` candidates [A23].

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    botorch_class = logei.qLogExpectedImprovement


@dataclass(frozen=True)
class NoisyImprovement(MonteCarloAcquisition):
    """Base of the averages that compare with the posterior at the evaluated structures."""

    n_samples: int = 512
    botorch_class: ClassVar[type[AcquisitionFunction]]

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `X_baseline`."""
        arguments = self.arguments(context)
        X_baseline = pruned_baseline(self, context)  # [<= t, d]
        with _without_numerics_warning():
            return self.botorch_class(X_baseline=X_baseline, prune_baseline=False, **arguments)


@dataclass(frozen=True)
class qNoisyExpectedImprovement(NoisyImprovement):  # noqa: N801 - BoTorch's prefix
    """The `qExpectedImprovement` on the unknown best of the evaluated structures, in eV.

    Where energies carry noise, the lowest one measured is too low on average; this
    form compares with the posterior at the evaluated structures instead of with `best_f`.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    has_energy_values: ClassVar[bool] = True
    botorch_class = monte_carlo.qNoisyExpectedImprovement


@dataclass(frozen=True)
class qLogNoisyExpectedImprovement(NoisyImprovement):  # noqa: N801 - BoTorch's prefix
    """The logarithm of `qNoisyExpectedImprovement`, without underflow [A23].

    Pending candidates count as evaluated ones: the value is the improvement on them.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    botorch_class = logei.qLogNoisyExpectedImprovement

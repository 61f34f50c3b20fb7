"""Expected improvement on the lowest energy, and its logarithm.

[J98] D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optim. 13, 455 (1998),
      doi:10.1023/A:1008306431147.
[A23] S. Ament, S. Daulton, D. Eriksson, M. Balandat, E. Bakshy, NeurIPS 2023,
      arXiv:2310.20708: why the logarithm is the one to maximize.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from botorch.acquisition import analytic, logei, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.exceptions.warnings import NumericsWarning

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, best_f_tensor, check_context
from bostruct.acquisition.monte_carlo import mc_arguments, pruned_baseline
from bostruct.errors import check_count


@contextmanager
def _without_numerics_warning() -> Iterator[None]:
    """Silence BoTorch's advice on each build; the docstrings here give it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)
        yield


@dataclass(frozen=True)
class ExpectedImprovement(BotorchAcquisition):
    """`E[max(best_f - E, 0)]` [J98].

    Its value and its gradient vanish in floating point where an improvement is
    unlikely, which is nearly everywhere: prefer `LogExpectedImprovement` [A23].
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]` eV; needs `best_f`."""
        check_context(self, context)
        best_f = best_f_tensor(context)
        with _without_numerics_warning():
            return analytic.ExpectedImprovement(context.model, best_f=best_f, maximize=False)


@dataclass(frozen=True)
class LogExpectedImprovement(BotorchAcquisition):
    """`log E[max(best_f - E, 0)]`, without underflow [A23]."""

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; needs `best_f`."""
        check_context(self, context)
        best_f = best_f_tensor(context)
        return analytic.LogExpectedImprovement(context.model, best_f=best_f, maximize=False)


@dataclass(frozen=True)
class _MonteCarloImprovement(BotorchAcquisition):
    n_samples: int = 512
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)


@dataclass(frozen=True)
class qExpectedImprovement(_MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix of q-batches
    """The `ExpectedImprovement` by the best of `q` candidates.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; needs `best_f`."""
        best_f, arguments = -best_f_tensor(context), mc_arguments(self, context)
        with _without_numerics_warning():
            return monte_carlo.qExpectedImprovement(best_f=best_f, **arguments)


@dataclass(frozen=True)
class qLogExpectedImprovement(_MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix
    """The `LogExpectedImprovement` by the best of `q` candidates [A23].

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `best_f`."""
        best_f, arguments = -best_f_tensor(context), mc_arguments(self, context)
        return logei.qLogExpectedImprovement(best_f=best_f, **arguments)


@dataclass(frozen=True)
class qNoisyExpectedImprovement(_MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix
    """The `qExpectedImprovement` on the unknown best of the evaluated structures.

    Where energies carry noise, the lowest one measured is too low on average; this
    form compares with the posterior at the evaluated structures instead of with `best_f`.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; needs `X_baseline`."""
        arguments = mc_arguments(self, context)
        X_baseline = pruned_baseline(self, context)  # [<= t, d]
        with _without_numerics_warning():
            return monte_carlo.qNoisyExpectedImprovement(
                X_baseline=X_baseline, prune_baseline=False, **arguments
            )


@dataclass(frozen=True)
class qLogNoisyExpectedImprovement(_MonteCarloImprovement):  # noqa: N801 - BoTorch's prefix
    """The logarithm of `qNoisyExpectedImprovement`, without underflow [A23].

    Pending candidates count as evaluated ones: the value is the improvement on them.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `X_baseline`."""
        arguments = mc_arguments(self, context)
        X_baseline = pruned_baseline(self, context)  # [<= t, d]
        return logei.qLogNoisyExpectedImprovement(
            X_baseline=X_baseline, prune_baseline=False, **arguments
        )

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
from bostruct.acquisition.monte_carlo import MonteCarloAcquisition, pruned_baseline


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


@dataclass(frozen=True)
class LogExpectedImprovement(ClosedFormImprovement):
    """`log E[max(best_f - E, 0)]`, without underflow [A23]."""

    botorch_class = analytic.LogExpectedImprovement


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

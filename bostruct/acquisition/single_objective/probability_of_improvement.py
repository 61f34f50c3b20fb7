"""Probability of an improvement on the lowest energy.

[K64] H. J. Kushner, J. Basic Eng. 86, 97 (1964), doi:10.1115/1.3653121.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from botorch.acquisition import analytic, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, best_f_tensor, check_context
from bostruct.acquisition.monte_carlo import mc_arguments
from bostruct.errors import check_count, check_positive


@dataclass(frozen=True)
class ProbabilityOfImprovement(BotorchAcquisition):
    """`P(E < best_f)` [K64]: how likely an improvement is, however small."""

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; needs `best_f`."""
        check_context(self, context)
        best_f = best_f_tensor(context)
        return analytic.ProbabilityOfImprovement(context.model, best_f=best_f, maximize=False)


@dataclass(frozen=True)
class LogProbabilityOfImprovement(BotorchAcquisition):
    """`log P(E < best_f)`, without underflow."""

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; needs `best_f`."""
        check_context(self, context)
        best_f = best_f_tensor(context)
        return analytic.LogProbabilityOfImprovement(context.model, best_f=best_f, maximize=False)


@dataclass(frozen=True)
class qProbabilityOfImprovement(BotorchAcquisition):  # noqa: N801 - BoTorch's prefix of q-batches
    """The `ProbabilityOfImprovement` by any of `q` candidates.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
        tau: The width of the sigmoid that replaces the step so that there is a gradient, eV.
    """

    n_samples: int = 512
    tau: float = 1e-3  # eV
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)
        check_positive("tau", self.tau, "In eV; the default is 1e-3.")

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `best_f`."""
        best_f, arguments = -best_f_tensor(context), mc_arguments(self, context)
        return monte_carlo.qProbabilityOfImprovement(best_f=best_f, tau=self.tau, **arguments)

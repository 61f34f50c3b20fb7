"""Probability of an improvement on the lowest energy.

[K64] H. J. Kushner, J. Basic Eng. 86, 97 (1964), doi:10.1115/1.3653121.
"""

from __future__ import annotations

from dataclasses import dataclass

from botorch.acquisition import analytic, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import best_f_tensor
from bostruct.acquisition.monte_carlo import MonteCarloAcquisition
from bostruct.acquisition.single_objective.expected_improvement import ClosedFormImprovement
from bostruct.errors import check_positive


@dataclass(frozen=True)
class ProbabilityOfImprovement(ClosedFormImprovement):
    """`P(E < best_f)` [K64]: how likely an improvement is, however small."""

    botorch_class = analytic.ProbabilityOfImprovement


@dataclass(frozen=True)
class LogProbabilityOfImprovement(ClosedFormImprovement):
    """`log P(E < best_f)`, without underflow."""

    botorch_class = analytic.LogProbabilityOfImprovement


@dataclass(frozen=True)
class qProbabilityOfImprovement(MonteCarloAcquisition):  # noqa: N801 - BoTorch's prefix of q-batches
    """The `ProbabilityOfImprovement` by any of `q` candidates.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
        tau: The width of the sigmoid that replaces the step so that there is a gradient, eV.
    """

    n_samples: int = 512
    tau: float = 1e-3  # eV

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("tau", self.tau, "In eV; the default is 1e-3.")

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; needs `best_f`."""
        best_f, arguments = -best_f_tensor(context), self.arguments(context)
        return monte_carlo.qProbabilityOfImprovement(best_f=best_f, tau=self.tau, **arguments)

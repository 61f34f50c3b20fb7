"""Probability that a structure is feasible: that it keeps every bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from botorch.acquisition import logei
from botorch.acquisition.acquisition import AcquisitionFunction

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import check_context
from bostruct.acquisition.monte_carlo import MultiObjectiveMonteCarlo, sobol_sampler
from bostruct.acquisition.multi_objective.normalization import NormalizedContext
from bostruct.errors import InputError, error_message


@final
@dataclass(frozen=True)
class qLogProbabilityOfFeasibility(MultiObjectiveMonteCarlo):  # noqa: N801 - BoTorch's prefix of q-batches
    """Log of the probability that one of `q` candidates keeps every bound.

    The objectives do not count, the constraints do. An exact outcome that breaks its bound
    leaves less than e⁻⁴⁰.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm.

        Raises:
            InputError: There is no constraint.
        """
        check_context(self, context)
        normalized = NormalizedContext(context)
        if not normalized.optimization_config.constraints:
            condition = "be given for a probability of feasibility"
            way_out = "Pass Constraint(name, upper=..., lower=...)."
            raise InputError(error_message("constraints", condition, "none", way_out))
        return logei.qLogProbabilityOfFeasibility(
            normalized.model,
            sampler=sobol_sampler(self.n_samples, context.seed),
            X_pending=normalized.context.X_pending,
            **normalized.constraint_arguments(),
        )

"""How probable it is that a structure is good enough: every bound is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from botorch.acquisition import logei
from botorch.acquisition.acquisition import AcquisitionFunction

from bostruct.acquisition.base import describe
from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.acquisition_context import AcquisitionContext
from bostruct.acquisition.multi_objective.normalization import NormalizedContext
from bostruct.errors import InputError, check_count, error_message


@final
@dataclass(frozen=True)
class qLogProbabilityOfFeasibility:  # noqa: N801 - BoTorch's prefix of the joint forms
    """Log of the probability that one of `q` candidates keeps every bound.

    For "good enough": the objectives do not count, the constraints do. An exact outcome
    that breaks its bound leaves less than e⁻⁴⁰.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
    """

    n_samples: int = 128
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm.

        Raises:
            InputError: the goals have no constraint.
        """
        if not context.optimization_config.constraints:
            condition = "be given for a probability of feasibility"
            way_out = "Pass Constraint(name, below=..., above=...)."
            raise InputError(error_message("constraints", condition, "none", way_out))
        scaled = NormalizedContext(context)
        return logei.qLogProbabilityOfFeasibility(
            scaled.model,
            sampler=sobol_sampler(self.n_samples, context.seed),
            X_pending=scaled.X_pending(),
            **scaled.constraint_arguments(),
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

"""How probable it is that a structure is good enough: every bound is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from botorch.acquisition import logei
from botorch.acquisition.acquisition import AcquisitionFunction

from bostruct.acquisition.base import describe
from bostruct.acquisition.monte_carlo import sampler
from bostruct.acquisition.multi_objective.acquisition_context import Case
from bostruct.acquisition.multi_objective.normalization import Scaled
from bostruct.errors import InputError, check_count, must


@final
@dataclass(frozen=True)
class qLogProbabilityOfFeasibility:  # noqa: N801 - BoTorch's prefix of the joint forms
    """Log of the probability that one of `q` candidates keeps every bound.

    For "good enough": the objectives do not count, the constraints do. An exact outcome
    that breaks its bound leaves less than e⁻⁴⁰.

    Args:
        samples: Quasi-random samples; powers of two are best.
    """

    samples: int = 128
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("samples", self.samples)

    def build(self, case: Case) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm.

        Raises:
            InputError: the goals have no constraint.
        """
        if not case.goals.constraints:
            condition = "be given for a probability of feasibility"
            way_out = "Pass Constraint(name, below=..., above=...)."
            raise InputError(must("constraints", condition, "none", way_out))
        scaled = Scaled(case)
        return logei.qLogProbabilityOfFeasibility(
            scaled.model,
            sampler=sampler(self.samples, case.seed),
            X_pending=scaled.pending(),
            **scaled.constraints(),
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

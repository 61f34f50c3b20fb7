"""The probability of an improvement on the lowest energy.

[K64] H. J. Kushner, J. Basic Eng. 86, 97 (1964), doi:10.1115/1.3653121.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from botorch.acquisition import analytic, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.base import best_f_tensor, check_no_pending, describe
from bostruct.acquisition.monte_carlo import mc_arguments
from bostruct.errors import check_count, check_positive


@dataclass(frozen=True)
class ProbabilityOfImprovement:
    """`P(E < best)` [K64]; counts how likely a gain is, not how large."""

    supports_q_batch: ClassVar[bool] = False

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; `X_baseline` and `seed` are unused."""
        check_no_pending(self, X_pending)
        kind = analytic.ProbabilityOfImprovement
        return kind(model, best_f=best_f_tensor(best_f), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class LogProbabilityOfImprovement:
    """`log P(E < best)`, without underflow."""

    supports_q_batch: ClassVar[bool] = False

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; `X_baseline` and `seed` are unused."""
        check_no_pending(self, X_pending)
        kind = analytic.LogProbabilityOfImprovement
        return kind(model, best_f=best_f_tensor(best_f), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qProbabilityOfImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `ProbabilityOfImprovement`: of any of `q` candidates.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
        tau: Of the sigmoid that replaces the step so that there is a gradient, in eV.
    """

    n_samples: int = 512
    tau: float = 1e-3  # eV
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)
        check_positive("tau", self.tau, "In eV; the default is 1e-3.")

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; `X_baseline` is unused."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        kind = monte_carlo.qProbabilityOfImprovement
        return kind(model, best_f=-best_f_tensor(best_f), tau=self.tau, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

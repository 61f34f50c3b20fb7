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

from bostruct.acquisition.base import describe, lowest, refuse_pending
from bostruct.acquisition.monte_carlo import common
from bostruct.errors import check_count, check_positive


@dataclass(frozen=True)
class ProbabilityOfImprovement:
    """`P(E < best)` [K64]; counts how likely a gain is, not how large."""

    joint: ClassVar[bool] = False

    def build(
        self,
        model: Model,
        best: float,
        *,
        observed: Tensor | None = None,
        pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; `observed` and `seed` are unused."""
        refuse_pending(self, pending)
        kind = analytic.ProbabilityOfImprovement
        return kind(model, best_f=lowest(best), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class LogProbabilityOfImprovement:
    """`log P(E < best)`, without underflow."""

    joint: ClassVar[bool] = False

    def build(
        self,
        model: Model,
        best: float,
        *,
        observed: Tensor | None = None,
        pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`; `observed` and `seed` are unused."""
        refuse_pending(self, pending)
        kind = analytic.LogProbabilityOfImprovement
        return kind(model, best_f=lowest(best), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qProbabilityOfImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `ProbabilityOfImprovement`: of any of `q` candidates.

    Args:
        samples: Quasi-random samples; powers of two are best.
        width: Of the sigmoid that replaces the step so that there is a gradient, in eV.
    """

    samples: int = 512
    width: float = 1e-3  # eV
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("samples", self.samples)
        check_positive("width", self.width, "In eV; the default is 1e-3.")

    def build(
        self,
        model: Model,
        best: float,
        *,
        observed: Tensor | None = None,
        pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`; `observed` is unused."""
        arguments = common(self.samples, seed, pending)
        kind = monte_carlo.qProbabilityOfImprovement
        return kind(model, best_f=-lowest(best), tau=self.width, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

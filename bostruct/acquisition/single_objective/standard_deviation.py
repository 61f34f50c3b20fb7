"""The posterior standard deviation: pure exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import PosteriorStandardDeviation
from botorch.acquisition.monte_carlo import qPosteriorStandardDeviation
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.base import describe, refuse_pending
from bostruct.acquisition.monte_carlo import common
from bostruct.errors import check_count


@dataclass(frozen=True)
class StandardDeviation:
    """`σ` of the latent energy: look where least is known, whatever the energy."""

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
        """Return `X [b, 1, d] -> [b]` eV; the other arguments are unused."""
        refuse_pending(self, pending)
        return PosteriorStandardDeviation(model)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qStandardDeviation:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `StandardDeviation`: the largest of `q` deviations, on average.

    Args:
        samples: Quasi-random samples; powers of two are best.
    """

    samples: int = 512
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("samples", self.samples)

    def build(
        self,
        model: Model,
        best: float,
        *,
        observed: Tensor | None = None,
        pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; `best` and `observed` are unused."""
        arguments = common(self.samples, seed, pending)
        return qPosteriorStandardDeviation(model, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

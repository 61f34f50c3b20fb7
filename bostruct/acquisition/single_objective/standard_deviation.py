"""The posterior standard deviation: pure exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import PosteriorStandardDeviation
from botorch.acquisition.monte_carlo import qPosteriorStandardDeviation
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.base import check_no_pending, describe
from bostruct.acquisition.monte_carlo import mc_arguments
from bostruct.errors import check_count


@dataclass(frozen=True)
class StandardDeviation:
    """`σ` of the latent energy: look where least is known, whatever the energy."""

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
        """Return `X [b, 1, d] -> [b]` eV; the other arguments are unused."""
        check_no_pending(self, X_pending)
        return PosteriorStandardDeviation(model)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qStandardDeviation:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `StandardDeviation`: the largest of `q` deviations, on average.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
    """

    n_samples: int = 512
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; `best_f` and `X_baseline` are unused."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        return qPosteriorStandardDeviation(model, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

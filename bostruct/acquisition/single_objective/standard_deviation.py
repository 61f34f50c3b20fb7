"""Posterior standard deviation: pure exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import PosteriorStandardDeviation
from botorch.acquisition.monte_carlo import qPosteriorStandardDeviation

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, check_context
from bostruct.acquisition.monte_carlo import MonteCarloAcquisition


@dataclass(frozen=True)
class StandardDeviation(BotorchAcquisition):
    """`σ` of the latent energy, whatever the energy."""

    has_energy_values: ClassVar[bool] = True

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]` eV; needs the model alone."""
        check_context(self, context)
        return PosteriorStandardDeviation(context.model)


@dataclass(frozen=True)
class qStandardDeviation(MonteCarloAcquisition):  # noqa: N801 - BoTorch's prefix of q-batches
    """The expectation of the largest of `q` deviations from the mean.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    n_samples: int = 512
    has_energy_values: ClassVar[bool] = True

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; needs the model alone."""
        return qPosteriorStandardDeviation(**self.arguments(context))

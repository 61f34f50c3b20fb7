"""Lower confidence bound of the energy.

[S10] N. Srinivas, A. Krause, S. Kakade, M. Seeger, ICML 2010, arXiv:0912.3995.
[W17] J. T. Wilson, R. Moriconi, F. Hutter, M. P. Deisenroth, arXiv:1712.00424.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import UpperConfidenceBound
from botorch.acquisition.monte_carlo import qUpperConfidenceBound
from torch import Tensor

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, check_context
from bostruct.acquisition.monte_carlo import MonteCarloAcquisition
from bostruct.acquisition.posterior_moments import ValueAndDerivatives
from bostruct.errors import InputError, error_message


def check_kappa(kappa: float) -> None:
    """Refuse a weight of σ that is negative or not finite.

    Raises:
        InputError: It is.
    """
    if not (math.isfinite(kappa) and kappa >= 0):
        way_out = "0 is the mean alone, 1.3 is the default, 2 and more explore."
        raise InputError(error_message("kappa", "be finite and not negative", kappa, way_out))


@dataclass(frozen=True)
class LowerConfidenceBound(BotorchAcquisition):
    """Minus the lower confidence bound of the energy, `kappa σ - mu` [S10].

    Args:
        kappa: The weight of σ. 0 is the mean alone; larger values explore.
        adaptive: True if a campaign scales kappa by a factor between 1/4 and 2 that follows the
            errors of its earlier predictions; see `bostruct.campaign.planning.adaptive_kappa`.

    >>> LowerConfidenceBound(kappa=2.0).description()
    {'type': 'LowerConfidenceBound', 'kappa': 2.0, 'adaptive': True}
    """

    kappa: float = 1.3
    adaptive: bool = True
    has_energy_values: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kappa(self.kappa)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]` eV; needs the model alone."""
        check_context(self, context)
        return UpperConfidenceBound(context.model, beta=self.kappa**2, maximize=False)

    def value_and_derivatives(
        self, context: AcquisitionContext, mean: Tensor, std: Tensor
    ) -> ValueAndDerivatives:
        """Return the bounds `[b]` of energies with these moments, with their derivatives."""
        del context
        kappa = torch.full_like(std, self.kappa)
        return ValueAndDerivatives(kappa * std - mean, -torch.ones_like(mean), kappa)

    def scaled(self, kappa_factor: float) -> LowerConfidenceBound:
        """Return the bound with kappa multiplied by `kappa_factor`, if it is adaptive."""
        return replace(self, kappa=self.kappa * kappa_factor) if self.adaptive else self


@dataclass(frozen=True)
class qLowerConfidenceBound(MonteCarloAcquisition):  # noqa: N801 - BoTorch's prefix of q-batches
    """The `LowerConfidenceBound` of `q` candidates together [W17].

    It is BoTorch's `qUpperConfidenceBound` of minus the energy: optimistic. BoTorch's own
    `qLowerConfidenceBound` is the pessimistic bound of a utility, another thing.

    Args:
        kappa: The weight of σ. 0 is the mean alone; larger values explore.
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    kappa: float = 1.3
    n_samples: int = 512
    has_energy_values: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kappa(self.kappa)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]` eV; needs the model alone."""
        return qUpperConfidenceBound(beta=self.kappa**2, **self.arguments(context))

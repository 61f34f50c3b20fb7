"""The lower confidence bound: the energy one may hope for.

[S10] N. Srinivas, A. Krause, S. Kakade, M. Seeger, ICML 2010, arXiv:0912.3995.
[W17] J. T. Wilson, R. Moriconi, F. Hutter, M. P. Deisenroth, arXiv:1712.00424.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import UpperConfidenceBound
from botorch.acquisition.monte_carlo import qUpperConfidenceBound
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.base import check_no_pending, describe
from bostruct.acquisition.monte_carlo import mc_arguments
from bostruct.errors import InputError, check_count, error_message


def check_kappa(kappa: float) -> None:
    """Refuse a weight of σ that is negative or not finite.

    Raises:
        InputError: it is.
    """
    if not (math.isfinite(kappa) and kappa >= 0):
        way_out = "0 trusts the mean, 1.3 is the default, 2 and more explore."
        raise InputError(error_message("kappa", "be finite and not negative", kappa, way_out))


@dataclass(frozen=True)
class LowerConfidenceBound:
    """`kappa σ - mu`: minus the lower confidence bound of the energy [S10].

    Args:
        kappa: The weight of σ. 0 trusts the mean; larger explores.
        adaptive: Whether a campaign takes a quarter to twice of that weight, after what
            looks at the uncertain have paid; see `bostruct.campaign.analysis.z_scores`.

    >>> LowerConfidenceBound(kappa=2.0).description()
    {'kind': 'LowerConfidenceBound', 'kappa': 2.0, 'adaptive': True}
    """

    kappa: float = 1.3
    adaptive: bool = True
    supports_q_batch: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_kappa(self.kappa)

    def build(
        self,
        model: Model,
        best_f: float,
        *,
        X_baseline: Tensor | None = None,
        X_pending: Tensor | None = None,
        seed: int = 0,
    ) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]` eV; `best_f`, `X_baseline` and `seed` are unused."""
        check_no_pending(self, X_pending)
        return UpperConfidenceBound(model, beta=self.kappa**2, maximize=False)

    def scaled(self, kappa_factor: float) -> LowerConfidenceBound:
        """Return the bound with that much of its weight, if it is adaptive."""
        return replace(self, kappa=self.kappa * kappa_factor) if self.adaptive else self

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qLowerConfidenceBound:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `LowerConfidenceBound` for `q` candidates [W17].

    It is BoTorch's `qUpperConfidenceBound` of minus the energy: hopeful. BoTorch's own
    `qLowerConfidenceBound` is the pessimistic bound of a utility, another thing.

    Args:
        kappa: The weight of σ. 0 trusts the mean; larger explores.
        n_samples: Quasi-random samples; powers of two are best.
    """

    kappa: float = 1.3
    n_samples: int = 512
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_kappa(self.kappa)
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
        return qUpperConfidenceBound(model, beta=self.kappa**2, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

"""Expected improvement on the lowest energy, and its logarithm.

[J98] D. R. Jones, M. Schonlau, W. J. Welch, J. Global Optim. 13, 455 (1998),
      doi:10.1023/A:1008306431147.
[A23] S. Ament, S. Daulton, D. Eriksson, M. Balandat, E. Bakshy, NeurIPS 2023,
      arXiv:2310.20708: why the logarithm is the one to maximise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from botorch.acquisition import analytic, logei, monte_carlo
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.exceptions.warnings import NumericsWarning
from botorch.models.model import Model
from torch import Tensor

from bostruct.acquisition.base import best_f_tensor, check_no_pending, describe
from bostruct.acquisition.monte_carlo import mc_arguments, pruned_baseline
from bostruct.errors import check_count


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence BoTorch's advice on each build; the docstrings here give it once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)
        yield


@dataclass(frozen=True)
class ExpectedImprovement:
    """`E[max(best - E, 0)]` [J98].

    Its value and its gradient vanish in floating point where an improvement is
    unlikely, which is nearly everywhere: prefer `LogExpectedImprovement` [A23].
    """

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
        """Return `X [b, 1, d] -> [b]` eV; `X_baseline` and `seed` are unused."""
        check_no_pending(self, X_pending)
        kind = analytic.ExpectedImprovement
        with _quiet():
            return kind(model, best_f=best_f_tensor(best_f), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class LogExpectedImprovement:
    """`log E[max(best - E, 0)]`, without underflow [A23]."""

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
        kind = analytic.LogExpectedImprovement
        return kind(model, best_f=best_f_tensor(best_f), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `ExpectedImprovement`: of the best of `q` candidates.

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
        """Return `X [b, q, d] -> [b]` eV; `X_baseline` is unused."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        kind = monte_carlo.qExpectedImprovement
        with _quiet():
            return kind(model, best_f=-best_f_tensor(best_f), **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qLogExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `LogExpectedImprovement`: of the best of `q` candidates [A23].

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
        """Return `X [b, q, d] -> [b]`; `X_baseline` is unused."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        kind = logei.qLogExpectedImprovement
        return kind(model, best_f=-best_f_tensor(best_f), **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qNoisyExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """`qExpectedImprovement` on the unknown best of the observed structures.

    Where energies carry noise, the lowest one observed is too low on average; this
    form compares with the posterior at what was observed instead of with `best`.

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
        """Return `X [b, q, d] -> [b]` eV; needs `X_baseline`, ignores `best_f`."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        X = pruned_baseline(self, model, X_baseline, seed)  # [<= t, d]
        kind = monte_carlo.qNoisyExpectedImprovement
        with _quiet():
            return kind(model, X, prune_baseline=False, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qLogNoisyExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The logarithm of `qNoisyExpectedImprovement`, without underflow [A23].

    Pending candidates count as observed ones: the value is what the set adds to them.

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
        """Return `X [b, q, d] -> [b]`; needs `X_baseline`, ignores `best_f`."""
        arguments = mc_arguments(self.n_samples, seed, X_pending)
        X = pruned_baseline(self, model, X_baseline, seed)  # [<= t, d]
        kind = logei.qLogNoisyExpectedImprovement
        return kind(model, X, prune_baseline=False, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

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

from bostruct.acquisition.base import describe, lowest, refuse_pending
from bostruct.acquisition.monte_carlo import baseline, common
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
        """Return `X [b, 1, d] -> [b]` eV; `observed` and `seed` are unused."""
        refuse_pending(self, pending)
        kind = analytic.ExpectedImprovement
        with _quiet():
            return kind(model, best_f=lowest(best), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class LogExpectedImprovement:
    """`log E[max(best - E, 0)]`, without underflow [A23]."""

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
        kind = analytic.LogExpectedImprovement
        return kind(model, best_f=lowest(best), maximize=False)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `ExpectedImprovement`: of the best of `q` candidates.

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
        """Return `X [b, q, d] -> [b]` eV; `observed` is unused."""
        arguments = common(self.samples, seed, pending)
        kind = monte_carlo.qExpectedImprovement
        with _quiet():
            return kind(model, best_f=-lowest(best), **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qLogExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """The joint form of `LogExpectedImprovement`: of the best of `q` candidates [A23].

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
        """Return `X [b, q, d] -> [b]`; `observed` is unused."""
        arguments = common(self.samples, seed, pending)
        kind = logei.qLogExpectedImprovement
        return kind(model, best_f=-lowest(best), **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@dataclass(frozen=True)
class qNoisyExpectedImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """`qExpectedImprovement` on the unknown best of the observed structures.

    Where energies carry noise, the lowest one observed is too low on average; this
    form compares with the posterior at what was observed instead of with `best`.

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
        """Return `X [b, q, d] -> [b]` eV; needs `observed`, ignores `best`."""
        arguments = common(self.samples, seed, pending)
        X = baseline(self, model, observed, seed)  # [<= t, d]
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
        """Return `X [b, q, d] -> [b]`; needs `observed`, ignores `best`."""
        arguments = common(self.samples, seed, pending)
        X = baseline(self, model, observed, seed)  # [<= t, d]
        kind = logei.qLogNoisyExpectedImprovement
        return kind(model, X, prune_baseline=False, **arguments)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)

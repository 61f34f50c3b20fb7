"""Expected hypervolume improvement: how much hypervolume a structure adds to the Pareto front.

All values are fractions of the box between the reference point and the ideal one, so
units do not matter. Without an evaluated feasible structure the improvement is that of the
whole box above the reference point. With one objective it is the improvement on the best
feasible value, or on the reference while there is none.

[D20] S. Daulton, M. Balandat, E. Bakshy, NeurIPS 2020, arXiv:2006.05078.
[D21] S. Daulton, M. Balandat, E. Bakshy, NeurIPS 2021, arXiv:2105.08195.
[A23] S. Ament, S. Daulton, D. Eriksson, M. Balandat, E. Bakshy, NeurIPS 2023,
      arXiv:2310.20708.
[Y19] K. Yang, M. Emmerich, A. Deutz, T. Bäck, J. Global Optim. 75, 3 (2019),
      doi:10.1007/s10898-019-00798-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from botorch.acquisition import logei as single
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.multi_objective import logei

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import BotorchAcquisition, check_context
from bostruct.acquisition.monte_carlo import MultiObjectiveMonteCarlo, sobol_sampler
from bostruct.acquisition.multi_objective.analytic import FeasibilityWeightedEHVI
from bostruct.acquisition.multi_objective.normalization import (
    NormalizedContext,
    without_compiled_kernel,
)

MAX_PENDING = 3
"""Pending candidates that join every set; with each one there are twice as many subsets of it."""


@final
@dataclass(frozen=True)
class qLogExpectedHypervolumeImprovement(MultiObjectiveMonteCarlo):  # noqa: N801 - BoTorch's prefix
    """Log of the expected hypervolume improvement by `q` candidates [D20], [A23].

    The front is the evaluated one. Pending candidates join every set, and the cost doubles with
    each: more than three are treated as in the noisy form. Scoring takes
    8 B x samples x candidates x boxes x objectives, several times over, in chunks of 5
    to 25 candidates best, and some 10 ms a candidate for 128 samples and the 93 boxes
    of a front of 44 points: for large pools there is the closed form.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        check_context(self, context)
        normalized = NormalizedContext(context)
        pending = normalized.context.X_pending
        if pending is not None and len(pending) > MAX_PENDING:
            return log_noisy_ehvi(normalized, self.n_samples)
        return log_ehvi(normalized, self.n_samples)


@final
@dataclass(frozen=True)
class qLogNoisyExpectedHypervolumeImprovement(MultiObjectiveMonteCarlo):  # noqa: N801 - BoTorch's prefix
    """Log of the expected improvement on the posterior hypervolume of all evaluated [D21].

    There is a front per sample, of the outcomes at the evaluated structures and the
    pending ones, whatever their noise. Costs more than the other forms: the joint
    posterior of each candidate and all that may be on the front.

    Args:
        n_samples: The number of quasi-random samples; powers of two are best.
    """

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        check_context(self, context)
        return log_noisy_ehvi(NormalizedContext(context), self.n_samples)


@final
@dataclass(frozen=True)
class ExpectedHypervolumeImprovement(BotorchAcquisition):
    """Expected hypervolume improvement by one candidate, in closed form [Y19].

    A hundred times cheaper than the Monte-Carlo forms: the one for large pools.
    Outcomes count as independent of each other; with constraints, the improvement is
    multiplied with the probability that all bounds are kept. This is exact where no
    bound is on an objective, or where its bound lies behind the reference point, and
    too small where an objective has a bound that cuts the box.
    """

    supports_multi_objective: ClassVar[bool] = True

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`."""
        check_context(self, context)
        return FeasibilityWeightedEHVI(NormalizedContext(context))


def log_ehvi(normalized: NormalizedContext, n_samples: int) -> AcquisitionFunction:
    """Return the log of the expected improvement on the evaluated front."""
    arguments = {
        "sampler": sobol_sampler(n_samples, normalized.context.seed),
        "X_pending": normalized.context.X_pending,
        **normalized.constraint_arguments(),
    }
    if normalized.n_objectives == 1:
        return single.qLogExpectedImprovement(
            normalized.model,
            normalized.best_f(),
            objective=normalized.scalar_objective(),
            **arguments,
        )
    with without_compiled_kernel():
        return logei.qLogExpectedHypervolumeImprovement(
            normalized.model,
            normalized.reference_point.new_zeros(normalized.n_objectives),
            normalized.box_decomposition(),
            objective=normalized.multi_output_objective(),
            **arguments,
        )


def log_noisy_ehvi(normalized: NormalizedContext, n_samples: int) -> AcquisitionFunction:
    """Return the log of the expected improvement on the posterior of the front."""
    X, pending = normalized.baseline_and_pending()
    if not len(X):
        return log_ehvi(normalized, n_samples)
    arguments = {
        "X_baseline": X,
        "sampler": sobol_sampler(n_samples, normalized.context.seed),
        "X_pending": pending,
        **normalized.constraint_arguments(),
    }
    if normalized.n_objectives == 1:
        return single.qLogNoisyExpectedImprovement(
            normalized.model,
            objective=normalized.scalar_objective(),
            prune_baseline=False,
            **arguments,
        )
    with without_compiled_kernel():
        return logei.qLogNoisyExpectedHypervolumeImprovement(
            normalized.model,
            normalized.reference_point.new_zeros(normalized.n_objectives),
            objective=normalized.multi_output_objective(),
            **arguments,
        )

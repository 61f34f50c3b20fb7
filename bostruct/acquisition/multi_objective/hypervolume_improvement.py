"""Expected hypervolume improvement: how much the front would gain.

All values are in shares of the box between the reference point and the ideal one, so
units do not matter. Without a feasible structure on record the gain is that of the
whole box above the reference point. With one objective the gain is that on the best
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
from typing import Any, ClassVar, final

from botorch.acquisition import logei as single
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.multi_objective import logei

from bostruct.acquisition.base import check_no_pending, describe
from bostruct.acquisition.monte_carlo import sobol_sampler
from bostruct.acquisition.multi_objective.acquisition_context import AcquisitionContext
from bostruct.acquisition.multi_objective.analytic import FeasibilityWeightedEHVI
from bostruct.acquisition.multi_objective.normalization import (
    NormalizedContext,
    without_compiled_kernel,
)
from bostruct.errors import check_count

# With each pending candidate that joins a set, there are twice as many subsets of it.
MAX_PENDING = 3


@final
@dataclass(frozen=True)
class qLogExpectedHypervolumeImprovement:  # noqa: N801 - BoTorch's prefix of the joint forms
    """Log of the expected gain of the front by `q` candidates [D20], [A23].

    The front is the observed one. Pending candidates join every set, and the cost
    doubles with each: more than three are counted as in the noisy form. Scoring takes
    8 B x samples x candidates x boxes x objectives, several times over, in chunks of 5
    to 25 candidates best, and some 10 ms a candidate for 128 samples and the 93 boxes
    of a front of 44 points: for large pools there is the closed form.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
    """

    n_samples: int = 128
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        scaled = NormalizedContext(context)
        pending = scaled.X_pending()
        if pending is not None and len(pending) > MAX_PENDING:
            return log_noisy_ehvi(scaled, self.n_samples)
        return log_ehvi(scaled, self.n_samples)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@final
@dataclass(frozen=True)
class qLogNoisyExpectedHypervolumeImprovement:  # noqa: N801 - BoTorch's prefix
    """Log of the expected gain over what is believed of all that was evaluated [D21].

    There is a front per sample, of the outcomes at the observed structures and the
    pending ones, whatever their noise. Costs more than the other forms: the joint
    posterior of each candidate and all that may be on the front.

    Args:
        n_samples: Quasi-random samples; powers of two are best.
    """

    n_samples: int = 128
    supports_q_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples)

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        return log_noisy_ehvi(NormalizedContext(context), self.n_samples)

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


@final
@dataclass(frozen=True)
class ExpectedHypervolumeImprovement:
    """Expected gain of the front by one candidate, in closed form [Y19].

    A hundred times cheaper than the Monte-Carlo forms: the one for large pools.
    Outcomes count as independent of each other; with constraints, the gain is
    multiplied with the probability that all bounds are kept. This is exact where no
    bound is on an objective, or where its bound lies behind the reference point, and
    too small where an objective has a bound that cuts the box.
    """

    supports_q_batch: ClassVar[bool] = False

    def build(self, context: AcquisitionContext) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`."""
        check_no_pending(self, context.X_pending)
        return FeasibilityWeightedEHVI(NormalizedContext(context))

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


def log_ehvi(normalized: NormalizedContext, n_samples: int) -> AcquisitionFunction:
    """Return the log of the expected gain over the observed front."""
    arguments = {
        "sampler": sobol_sampler(n_samples, normalized.context.seed),
        "X_pending": normalized.X_pending(),
        **normalized.constraint_arguments(),
    }
    m = len(normalized.context.reference_point)
    if m == 1:
        return single.qLogExpectedImprovement(
            normalized.model,
            normalized.best_f(),
            objective=normalized.scalar_objective(),
            **arguments,
        )
    with without_compiled_kernel():
        return logei.qLogExpectedHypervolumeImprovement(
            normalized.model,
            normalized.context.reference_point.new_zeros(m),
            normalized.box_decomposition(),
            objective=normalized.multi_output_objective(),
            **arguments,
        )


def log_noisy_ehvi(normalized: NormalizedContext, n_samples: int) -> AcquisitionFunction:
    """Return the log of the expected gain over what is believed of the front."""
    X, pending = normalized.baseline_and_pending()
    if not len(X):
        return log_ehvi(normalized, n_samples)
    arguments = {
        "sampler": sobol_sampler(n_samples, normalized.context.seed),
        "X_pending": pending,
        **normalized.constraint_arguments(),
    }
    if len(normalized.context.reference_point) == 1:
        return single.qLogNoisyExpectedImprovement(
            normalized.model,
            X,
            objective=normalized.scalar_objective(),
            prune_baseline=False,
            **arguments,
        )
    with without_compiled_kernel():
        return logei.qLogNoisyExpectedHypervolumeImprovement(
            normalized.model,
            normalized.context.reference_point.new_zeros(len(normalized.context.reference_point)),
            X,
            objective=normalized.multi_output_objective(),
            **arguments,
        )

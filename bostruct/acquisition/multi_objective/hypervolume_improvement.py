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

from bostruct.acquisition.base import describe, refuse_pending
from bostruct.acquisition.monte_carlo import sampler
from bostruct.acquisition.multi_objective.acquisition_context import Case
from bostruct.acquisition.multi_objective.analytic import FeasibleGain
from bostruct.acquisition.multi_objective.normalization import Scaled, uncompiled
from bostruct.errors import check_count

# With each pending candidate that joins a set, there are twice as many subsets of it.
MOST_PENDING = 3


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
        samples: Quasi-random samples; powers of two are best.
    """

    samples: int = 128
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("samples", self.samples)

    def build(self, case: Case) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        scaled = Scaled(case)
        pending = scaled.pending()
        if pending is not None and len(pending) > MOST_PENDING:
            return noisy(scaled, self.samples)
        return improvement(scaled, self.samples)

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
        samples: Quasi-random samples; powers of two are best.
    """

    samples: int = 128
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("samples", self.samples)

    def build(self, case: Case) -> AcquisitionFunction:
        """Return `X [b, q, d] -> [b]`, a logarithm."""
        return noisy(Scaled(case), self.samples)

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

    joint: ClassVar[bool] = False

    def build(self, case: Case) -> AcquisitionFunction:
        """Return `X [b, 1, d] -> [b]`."""
        refuse_pending(self, case.pending)
        return FeasibleGain(Scaled(case))

    def description(self) -> dict[str, Any]:
        """Return what identifies the acquisition, ready for JSON."""
        return describe(self)


def improvement(scaled: Scaled, samples: int) -> AcquisitionFunction:
    """Return the log of the expected gain over the observed front."""
    arguments = {
        "sampler": sampler(samples, scaled.case.seed),
        "X_pending": scaled.pending(),
        **scaled.constraints(),
    }
    m = len(scaled.case.reference)
    if m == 1:
        return single.qLogExpectedImprovement(
            scaled.model, scaled.best(), objective=scaled.only(), **arguments
        )
    with uncompiled():
        return logei.qLogExpectedHypervolumeImprovement(
            scaled.model,
            scaled.case.reference.new_zeros(m),
            scaled.boxes(),
            objective=scaled.objective(),
            **arguments,
        )


def noisy(scaled: Scaled, samples: int) -> AcquisitionFunction:
    """Return the log of the expected gain over what is believed of the front."""
    X, pending = scaled.looked_at()
    if not len(X):
        return improvement(scaled, samples)
    arguments = {
        "sampler": sampler(samples, scaled.case.seed),
        "X_pending": pending,
        **scaled.constraints(),
    }
    if len(scaled.case.reference) == 1:
        return single.qLogNoisyExpectedImprovement(
            scaled.model,
            X,
            objective=scaled.only(),
            prune_baseline=False,
            **arguments,
        )
    with uncompiled():
        return logei.qLogNoisyExpectedHypervolumeImprovement(
            scaled.model,
            scaled.case.reference.new_zeros(len(scaled.case.reference)),
            X,
            objective=scaled.objective(),
            **arguments,
        )

"""Recalibration of the next predictions: the shift and the scale that the last errors ask for.

Structures are selected where the model is most optimistic, so that their energies tend to lie above
the predicted means (the optimizer's curse: Smith and Winkler, Management Science 52, 311 (2006)),
and by more than σ. With z = (E - mean) / σ of the earlier predictions, the next ones are stated as
    mean + b σ   with the standard deviation   a σ

Notation
    W, m, q   weights, weighted sums of z and of z², each g times the former one plus the new term
    k, n      weights of the prior: z of mean 0, and of variance 1
    b         m / (k + W)
    a²        (n + q - b m) / (n + W) (1 + 1 / (k + W))

which are mean and scale of the posterior predictive of a normal sample under a normal-inverse-χ²
prior (Gelman et al., Bayesian Data Analysis, 3rd ed., section 3.3), Student's t with n + W degrees
of freedom, with the power discounting of West and Harrison, Bayesian Forecasting and Dynamic Models
(1997), as models become better. Few predictions change little. Each z counts at most
`MAX_DEVIATION` a from b, of the predictions before (Gelper, Fried and Croux, J. Forecasting 29, 285
(2010)), so that a single structure that exploded widens σ no more than a moderate error does, while
errors that come again and again do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

DISCOUNT = 0.9
"""Factor g on the weight of a prediction with each later one: half after seven."""

PRIOR_WEIGHT = 2.0
"""Number of predictions that the prior counts for, k and n."""

MAX_COUNTED = 200
"""Number of predictions that count; the weight of earlier ones is below 1e-9."""

MAX_DEVIATION = 4.0
"""Largest deviation of a z that counts, in units of what was stated."""

MAX_SHIFT = 0.3
"""Largest shift in an acquisition, in widened σ: below the least weight of σ of the default bound,
1.3 times a quarter, so that what is unknown never counts against a structure by itself."""

RECALIBRATION_PREFIX = "recalibration_"
"""Prefix of the values that a step logs among its hyperparameters."""


@final
@dataclass(frozen=True)
class Recalibration:
    """Correction of predicted means and standard deviations.

    Attributes:
        shift: Amount to add to a mean, in σ; above 0 where energies came out higher.
        scale: Factor on σ.
        degrees_of_freedom: Degrees of freedom of the Student distribution of the next error; few
            after few predictions, of which nobody knows how wrong they may be.
    """

    shift: float = 0.0
    scale: float = 1.0
    degrees_of_freedom: float = PRIOR_WEIGHT

    @classmethod
    def from_z_scores(cls, z: Iterable[float]) -> Recalibration:
        """Return the correction of the prediction after those with the errors z, in order.

        The last `MAX_COUNTED` count: those before have no weight left.

        >>> Recalibration.from_z_scores([])
        Recalibration(shift=0.0, scale=1.0, degrees_of_freedom=2.0)
        """
        W = m = q = 0.0
        found = cls()
        for value in list(z)[-MAX_COUNTED:]:
            deviation = (value - found.shift) / found.scale
            deviation = min(max(deviation, -MAX_DEVIATION), MAX_DEVIATION)
            counted = found.shift + found.scale * deviation
            W, m, q = DISCOUNT * W + 1, DISCOUNT * m + counted, DISCOUNT * q + counted**2
            weight = PRIOR_WEIGHT + W
            shift = m / weight
            variance = (PRIOR_WEIGHT + max(q - shift * m, 0.0)) / weight * (1 + 1 / weight)
            found = cls(shift, math.sqrt(variance), weight)
        return found

    @classmethod
    def from_logged(cls, values: Mapping[str, float], outcome: str = "") -> Recalibration:
        """Return the correction that a step has logged; none for a step that logged none.

        Args:
            values: Hyperparameters of the step.
            outcome: Outcome of several, or "".
        """
        names = (_logged_name(name, outcome) for name in ("shift", "scale"))
        shift, scale = (values.get(name) for name in names)
        return cls() if shift is None or scale is None else cls(shift, scale)

    def half_width(self, level: float) -> float:
        """Return the half width of the central interval of a probability, in stated σ.

        Args:
            level: Probability of the interval, between 0 and 1.
        """
        from scipy.stats import t

        return float(t.ppf((1 + level) / 2, self.degrees_of_freedom))

    @property
    def widened_scale(self) -> float:
        """Factor on σ in the acquisition: a search widens σ, and never narrows it."""
        return max(1.0, self.scale)

    @property
    def limited_shift(self) -> float:
        """Shift in the acquisition, at most `MAX_SHIFT` of the widened σ."""
        limit = MAX_SHIFT * self.widened_scale
        return min(max(self.shift, -limit), limit)

    def logged_values(self, outcome: str = "") -> dict[str, float]:
        """Return the values that a step logs before its structures are evaluated.

        Args:
            outcome: Outcome of several, or "".
        """
        values = {"shift": self.shift, "scale": self.scale}
        return {_logged_name(name, outcome): value for name, value in values.items()}


NO_RECALIBRATION = Recalibration()
"""Correction before there are predictions: none."""


def _logged_name(name: str, outcome: str) -> str:
    return f"{RECALIBRATION_PREFIX}{name}" + (f"_of_{outcome}" if outcome else "")

"""Conformal prediction: intervals with finite-sample coverage, whatever the model.

Split conformal prediction, section 2.5 of Grasselli et al., Digital Discovery 4, 2654 (2025);
Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005). Two statements of the
article are made exact here: the plain quantile of the scores covers too little in small samples,
so the rank is ⌈(n + 1)(1 - eps)⌉; and calibration and test points must be exchangeable with each
other, not with the training set.

Atoms of one structure are not exchangeable with atoms of another. Scores that come in structures
are weighted as in Lee, Barber and Willett, arXiv 2306.06342 (2023), or reduced to the largest of
each structure.

There is no guarantee away from the calibration data: the structures that a search moves through
are not exchangeable with those it has visited.

Notation
    n    1            calibration points, or structures if the scores come in structures
    eps  1            miscoverage, the fraction of intervals that may miss the truth
    r    [n]          scores: |e|, or |e| / s if normalised
    q    target unit  half width of an interval, a multiple of s if normalised
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    ShapeError,
    check_count,
    check_fraction,
    check_shape,
    error_message,
)
from bostruct.uncertainty.calibration.residuals import (
    ArrayLike,
    Residuals,
    as_finite_tensor,
    as_positive_tensor,
)
from bostruct.uncertainty.calibration.serialization import JsonSerializable

Interval = tuple[Tensor, Tensor]

MAX_DENOMINATOR = 10**9  # denominators of eps are below it
WEIGHT_TOLERANCE = 1e-9  # of sums of weights, relative


def conformal_rank(n: int, eps: float) -> int:
    """Return k = ⌈(n + 1)(1 - eps)⌉, exactly; above n there is no finite interval.

    In floating point (19 + 1)(1 - 0.05) may come out above 19, and a feasible interval would be
    refused: eps is rounded to the nearest fraction of small denominator.

    Args:
        n: number of calibration points.
        eps: miscoverage probability.

    Raises:
        InputError: no point, or eps outside 0 to 1.

    >>> conformal_rank(19, 0.05), conformal_rank(18, 0.05)
    (19, 19)
    """
    check_count("n", n)
    return math.ceil((n + 1) * (1 - _as_fraction(eps)))


def conformal_coverage(n: int, eps: float, confidence: float = 0.9) -> tuple[float, ...]:
    """Return mean coverage of intervals from n calibration points, and a band around it.

    The coverage that one calibration set gives is distributed as Beta(k, n + 1 - k), with mean
    k / (n + 1), if the scores are continuous and exchangeable.

    Args:
        n: number of calibration points.
        eps: miscoverage probability.
        confidence: probability of the band.

    Returns:
        Mean, lower and upper end, all 1 if the interval is infinite.

    Raises:
        InputError: no point, or eps or confidence outside 0 to 1.
    """
    k = conformal_rank(n, eps)
    check_fraction("confidence", confidence)
    if k > n:
        return 1.0, 1.0, 1.0
    from scipy import stats

    lower, upper = stats.beta(k, n + 1 - k).interval(confidence)
    return k / (n + 1), float(lower), float(upper)


@final
@dataclass(frozen=True, eq=False)
class ConformalPredictor(JsonSerializable):
    """Conformal intervals from the scores of a calibration set.

    Attributes:
        scores: `[n]` nonconformity scores, ascending; target unit, or 1 if normalised.
        weights: `[n]` 1, weight of each score; they sum to `n_units`.
        n_units: number of exchangeable units, n or the number of structures.
        normalized: if true, intervals are multiples of s.
        residuals_hash: hash of the residuals of the calibration set.
    """

    scores: Tensor
    weights: Tensor
    n_units: int
    normalized: bool = False
    residuals_hash: str = ""

    @classmethod
    def from_residuals(
        cls,
        residuals: Residuals,
        *,
        normalized: bool = False,
        structure_ids: ArrayLike | None = None,
        simultaneous: bool = False,
    ) -> ConformalPredictor:
        """Return the predictor calibrated on residuals.

        Args:
            residuals: `[n]` residuals on held-out data. A common factor of the variances cancels.
            normalized: use scores |e| / s: intervals are wide where s is. With an uninformative s
                they are wider than plain ones.
            structure_ids: `[n]` integers, for atoms or components: entries with the same number
                are from one structure. The coverage is then that of one entry, drawn at random,
                of a new structure.
            simultaneous: guarantee coverage for all entries of a new structure at once.

        Raises:
            InputError: structure ids that are no integers, or `simultaneous` without them.
            ShapeError: residuals with batches, or structure ids of another shape.
        """
        residuals.check_unbatched()
        scores = (residuals.z if normalized else residuals.error).abs()
        weights, units = torch.ones_like(scores), residuals.n_points
        if structure_ids is not None:
            index, units = _number_structures(structure_ids, scores)
            weights = 1.0 / torch.bincount(index)[index].to(scores)
            if simultaneous:
                scores = scores.new_zeros(units).scatter_reduce(0, index, scores, "amax")
                weights = torch.ones_like(scores)
        elif simultaneous:
            condition, hint = "come with `structure_ids`", "It is about all entries of a structure."
            raise InputError(error_message("simultaneous", condition, structure_ids, hint))
        order = scores.argsort(stable=True)
        return cls(scores[order], weights[order], units, normalized, residuals.hash)

    @classmethod
    def from_scores(cls, scores: ArrayLike) -> ConformalPredictor:
        """Return the predictor of user-defined scores, such as `quantile_regression_scores`.

        Args:
            scores: `[n]` target unit; negative ones make intervals narrower.

        Raises:
            InputError: an entry is not finite.
            ShapeError: the scores are not `[n]`, or empty.
        """
        r = as_finite_tensor("scores", scores)
        if r.dim() != 1 or not len(r):
            raise ShapeError(error_message("scores", "have shape [n]", list(r.shape)))
        return cls(r.sort().values, torch.ones_like(r), len(r))

    def quantile(self, eps: float) -> float:
        """Return q, the score that a new score exceeds with probability eps at most.

        Infinite if there are fewer than 1 / eps - 1 units.

        Args:
            eps: miscoverage probability.

        Raises:
            InputError: eps outside 0 to 1.
        """
        k = conformal_rank(self.n_units, eps)
        if len(self.scores) == self.n_units:
            return float(self.scores[k - 1]) if k <= self.n_units else math.inf
        weight = float((self.n_units + 1) * (1 - _as_fraction(eps)))
        index = int((self.weights.cumsum(0) < weight * (1 - WEIGHT_TOLERANCE)).sum())
        return float(self.scores[index]) if index < len(self.scores) else math.inf

    def interval(
        self, mean: ArrayLike, variance: ArrayLike | None = None, *, eps: float = 0.1
    ) -> Interval:
        """Return lower and upper ends, `[...]` target unit each.

        Args:
            mean: `[...]` target unit, predicted means.
            variance: `[...]` target unit squared; for normalised intervals alone.
            eps: miscoverage probability.

        Raises:
            InputError: eps outside 0 to 1, a variance missing, not needed, or not positive, or an
                entry that is not finite.
            ShapeError: the shapes differ.
        """
        m = as_finite_tensor("mean", mean)
        half = torch.full_like(m, self.quantile(eps))
        if self.normalized != (variance is not None):
            condition = "be given for normalised intervals and for no others"
            raise InputError(error_message("variance", condition, type(variance).__name__))
        if variance is not None:
            s2 = as_positive_tensor("variance", variance)
            check_shape("variance", s2, m.shape, "It is that of the means.")
            half = half * s2.sqrt()
        return m - half, m + half


@final
@dataclass(frozen=True, eq=False)
class MondrianConformalPredictor:
    """Conformal intervals with a separate calibration for each group.

    Groups are species, size classes, phases; the coverage then holds within each of them. A group
    without calibration points has infinite intervals.

    Attributes:
        groups: mapping from label to conformal predictor.
        normalized: if true, intervals are multiples of s.
    """

    groups: dict[Hashable, ConformalPredictor]
    normalized: bool = False

    @classmethod
    def from_residuals(
        cls, residuals: Residuals, labels: Iterable[Hashable], *, normalized: bool = False
    ) -> MondrianConformalPredictor:
        """Return the predictor calibrated on the residuals of each label.

        Args:
            residuals: `[n]` residuals on held-out data.
            labels: n group labels that do not depend on the truth.
            normalized: use scores |e| / s, as in `ConformalPredictor.from_residuals`.

        Raises:
            ShapeError: residuals with batches, or another number of labels.
        """
        residuals.check_unbatched()
        groups = {
            label: ConformalPredictor.from_residuals(residuals.subset(index), normalized=normalized)
            for label, index in indices_by_label(labels, residuals.n_points).items()
        }
        return cls(groups, normalized)

    def interval(
        self,
        mean: ArrayLike,
        labels: Iterable[Hashable],
        variance: ArrayLike | None = None,
        *,
        eps: float = 0.1,
    ) -> Interval:
        """Return lower and upper ends, `[b]` target unit each.

        Args:
            mean: `[b]` target unit, predicted means.
            labels: b group labels.
            variance: `[b]` target unit squared; for normalised intervals alone.
            eps: miscoverage probability.

        Raises:
            InputError: as in `ConformalPredictor.interval`.
            ShapeError: the shapes differ, or another number of labels.
        """
        m = as_finite_tensor("mean", mean)
        if m.dim() != 1:
            raise ShapeError(error_message("mean", "have shape [b]", list(m.shape)))
        # With one score of one and eps 1/2, the half width of the interval is the unit of q.
        unit = ConformalPredictor(m.new_ones(1), m.new_ones(1), 1, self.normalized)
        half = unit.interval(torch.zeros_like(m), variance, eps=0.5)[1]
        q = torch.full_like(m, math.inf)
        for label, index in indices_by_label(labels, len(m)).items():
            if label in self.groups:
                q[index] = self.groups[label].quantile(eps)
        return m - q * half, m + q * half


def quantile_regression_scores(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Tensor:
    """Return the distance of truths outside predicted quantiles, `[n]` target unit.

    max(lower - y, y - upper), negative inside: conformalised quantile regression, Romano, Patterson
    and Candès, NeurIPS 2019. With q of these scores the interval is lower - q to upper + q.

    Args:
        truth: `[n]` target unit, reference values.
        lower: `[n]` target unit, predicted lower quantiles.
        upper: `[n]` target unit, predicted upper quantiles.

    Raises:
        InputError: an entry is not finite.
        ShapeError: the shapes differ.
    """
    y, below = as_finite_tensor("truth", truth), as_finite_tensor("lower", lower)
    above = as_finite_tensor("upper", upper)
    for name, value in (("lower", below), ("upper", above)):
        check_shape(name, value, y.shape, "It is that of the truth.")
    return (below - y).maximum(y - above)


def indices_by_label(labels: Iterable[Hashable], n: int) -> dict[Hashable, Tensor]:
    """Return the indices of each label, in the order of first appearance of the labels.

    Args:
        labels: n labels; entries of arrays and tensors are converted to Python numbers.
        n: number of labels expected.

    Raises:
        ShapeError: there are more or fewer labels.
    """
    listed = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    if len(listed) != n:
        raise ShapeError(error_message("labels", f"have one label for each of {n}", len(listed)))
    indices: dict[Hashable, list[int]] = {}
    for i, label in enumerate(listed):
        indices.setdefault(label, []).append(i)
    return {label: torch.tensor(index) for label, index in indices.items()}


def _as_fraction(eps: float) -> Fraction:
    check_fraction("eps", eps, "It is the miscoverage: 0.1 for 90 % intervals.")
    return Fraction(eps).limit_denominator(MAX_DENOMINATOR)


def _number_structures(structure_ids: ArrayLike, scores: Tensor) -> tuple[Tensor, int]:
    """Return structures numbered from zero, `[n]`, and their number."""
    ids = as_finite_tensor("structure_ids", structure_ids).to(scores.device)
    check_shape("structure_ids", ids, scores.shape)
    if bool((ids != ids.round()).any()):
        raise InputError(error_message("structure_ids", "be integers", "fractions"))
    unique, index = torch.unique(ids, return_inverse=True)
    return index, len(unique)

"""Intervals that hold as often as they claim, whatever the model believes.

Split conformal prediction, section 2.5 of Grasselli et al., Digital Discovery 4, 2654
(2025); Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005).
Two statements of the article are made exact here: the plain quantile of the scores
covers too little in small samples, so the rank is ⌈(n + 1)(1 - eps)⌉; and calibration
and test points must be exchangeable with each other, not with the training set.

Atoms of one structure are not exchangeable with atoms of another. Scores that come in structures
are weighed as in Lee, Barber and Willett, arXiv 2306.06342 (2023), or reduced to the worst of each.

Nothing is promised away from the calibration data: a surface that a search moves over
is not exchangeable with the points it has been to.

Notation
    n    1            calibration points, or structures if the scores come in structures
    eps  1            share of intervals that may miss
    r    [n]          scores: |e|, or |e| / s if normalised
    q    target unit  half width of an interval, a multiple of s if normalised
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import torch
from scipy.special import betaincinv
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.residuals import (
    ArrayLike,
    Residuals,
    as_finite_tensor,
    as_positive_tensor,
)
from bostruct.uncertainty.calibration.scaling import read_json_fields

Interval = tuple[Tensor, Tensor]

MAX_DENOMINATOR = 10**9  # denominators of eps are below it
WEIGHT_TOLERANCE = 1e-9  # of sums of weights, relative


def conformal_rank(n: int, eps: float) -> int:
    """Return k = ⌈(n + 1)(1 - eps)⌉, exactly; above n there is no finite interval.

    In floating point (19 + 1)(1 - 0.05) may come out above 19, and a feasible interval
    would be refused: eps is read as the fraction it is near.

    Args:
        n: calibration points.
        eps: 1.

    Raises:
        InputError: no point, or eps outside 0 to 1.

    >>> conformal_rank(19, 0.05), conformal_rank(18, 0.05)
    (19, 19)
    """
    check_count("n", n)
    return math.ceil((n + 1) * (1 - _as_fraction(eps)))


def conformal_coverage(n: int, eps: float, confidence: float = 0.9) -> tuple[float, ...]:
    """Return the mean coverage of intervals from n points, and a band around it.

    The coverage that one calibration set gives is drawn from Beta(k, n + 1 - k), with
    mean k / (n + 1), if the scores are continuous and exchangeable.

    Args:
        n: calibration points.
        eps: 1.
        confidence: probability of the band.

    Returns:
        Mean, low and high, all 1 if the interval is infinite.

    Raises:
        InputError: no point, or eps or level outside 0 to 1.
    """
    k = conformal_rank(n, eps)
    check_fraction("confidence", confidence)
    if k > n:
        return 1.0, 1.0, 1.0
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = (float(betaincinv(k, n + 1 - k, tail)) for tail in tails)
    return k / (n + 1), low, high


@final
@dataclass(frozen=True, eq=False)
class ConformalPredictor:
    """Conformal intervals from the scores of a calibration set.

    Attributes:
        scores: `[n]` ascending; target unit, or 1 if normalised.
        weights: `[n]` 1, what each score counts; they sum to `n_units`.
        n_units: exchangeable units, n or the number of structures.
        normalized: whether intervals are multiples of s.
        residuals_hash: hash of the residuals it was found from.
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
        """Return the intervals that residuals on a calibration set give.

        Args:
            residuals: `[n]` residuals, not fitted to. A scale of the variances cancels.
            normalized: take |e| / s: intervals are wide where s is. With an s that
                says little they are wider than plain ones.
            structure_ids: `[n]` integers, for atoms or components: entries with the same
                number are from one structure. The promise is then for one entry, drawn
                at random, of a new structure.
            simultaneous: the promise is for all entries of a new structure at once.

        Raises:
            InputError: structures that are no integers, or `simultaneous` without them.
            ShapeError: residuals with batches, or structures of another shape.
        """
        if residuals.error.dim() != 1:
            raise ShapeError(
                error_message("residuals", "have shape [n]", list(residuals.error.shape))
            )
        scores = (residuals.z if normalized else residuals.error).abs()
        weights, units = torch.ones_like(scores), residuals.n_points
        if structure_ids is not None:
            place, units = _number_structures(structure_ids, scores)
            count = torch.bincount(place)
            weights = 1.0 / count[place].to(scores)
            if simultaneous:
                worst = scores.new_zeros(units)
                scores = worst.scatter_reduce(0, place, scores, "amax")
                weights = torch.ones_like(scores)
        elif simultaneous:
            way_out = "It is about all entries of one structure."
            raise InputError(
                error_message("simultaneous", "come with `structure`", structure_ids, way_out)
            )
        order = scores.argsort(stable=True)
        return cls(scores[order], weights[order], units, normalized, residuals.hash)

    @classmethod
    def from_scores(cls, scores: ArrayLike) -> ConformalPredictor:
        """Return the intervals of scores of one's own, as of `quantile_scores`.

        Args:
            scores: `[n]` target unit; negative ones make intervals narrower.

        Raises:
            InputError: an entry is not finite.
            ShapeError: the scores are not one row, or there is none.
        """
        r = as_finite_tensor("scores", scores)
        if r.dim() != 1 or not len(r):
            raise ShapeError(error_message("scores", "have shape [n]", list(r.shape)))
        return cls(r.sort().values, torch.ones_like(r), len(r))

    def quantile(self, eps: float) -> float:
        """Return q, the score that a new one exceeds with probability eps at most.

        Infinite if there are fewer than 1 / eps - 1 units.

        Args:
            eps: 1.

        Raises:
            InputError: eps outside 0 to 1.
        """
        k = conformal_rank(self.n_units, eps)
        if len(self.scores) == self.n_units:
            return float(self.scores[k - 1]) if k <= self.n_units else math.inf
        need = float((self.n_units + 1) * (1 - _as_fraction(eps)))
        below = self.weights.cumsum(0) < need * (1 - WEIGHT_TOLERANCE)
        place = int(below.sum())
        return float(self.scores[place]) if place < len(self.scores) else math.inf

    def interval(
        self, mean: ArrayLike, variance: ArrayLike | None = None, *, eps: float = 0.1
    ) -> Interval:
        """Return lower and upper ends, `[...]` target unit each.

        Args:
            mean: `[...]` target unit.
            variance: `[...]` target unit squared; for normalised intervals alone.
            eps: 1.

        Raises:
            InputError: eps outside 0 to 1, a variance missing, not needed, or not
                positive, or an entry that is not finite.
            ShapeError: the shapes differ.
        """
        m = as_finite_tensor("mean", mean)
        half = torch.full_like(m, self.quantile(eps))
        if self.normalized != (variance is not None):
            condition = "be given for normalised intervals and for no others"
            raise InputError(error_message("variance", condition, type(variance).__name__))
        if variance is not None:
            s2 = as_positive_tensor("variance", variance)
            if s2.shape != m.shape:
                condition = f"have the shape of the means, {list(m.shape)}"
                raise ShapeError(error_message("variance", condition, list(s2.shape)))
            half = half * s2.sqrt()
        return m - half, m + half

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {name: getattr(self, name).tolist() for name in _TENSOR_FIELDS}
        plain = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        return json.dumps({"kind": "conformal", **lists, **plain})

    @classmethod
    def from_json(cls, text: str) -> ConformalPredictor:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read_json_fields(text, "conformal", (*_TENSOR_FIELDS, *_PLAIN_FIELDS))
        for name in _TENSOR_FIELDS:
            found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)


_TENSOR_FIELDS = ("scores", "weights")
_PLAIN_FIELDS = ("n_units", "normalized", "residuals_hash")


@final
@dataclass(frozen=True, eq=False)
class MondrianConformalPredictor:
    """Conformal intervals of each group on its own: species, size class, phase.

    The promise then holds within each group (Mondrian). A group without calibration
    points has infinite intervals.

    Attributes:
        groups: label to intervals.
        normalized: whether intervals are multiples of s.
    """

    groups: dict[Hashable, ConformalPredictor]
    normalized: bool = False

    @classmethod
    def from_residuals(
        cls, residuals: Residuals, labels: Iterable[Hashable], *, normalized: bool = False
    ) -> MondrianConformalPredictor:
        """Return the intervals that residuals give for each label.

        Args:
            residuals: `[n]` residuals, not fitted to.
            labels: n of them, known without the truth.
            normalized: as in `Conformal.of`.

        Raises:
            ShapeError: residuals with batches, or another number of labels.
        """
        if residuals.error.dim() != 1:
            raise ShapeError(
                error_message("residuals", "have shape [n]", list(residuals.error.shape))
            )
        found = {
            label: ConformalPredictor.from_residuals(residuals.subset(index), normalized=normalized)
            for label, index in indices_by_label(labels, residuals.n_points).items()
        }
        return cls(found, normalized)

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
            mean: `[b]` target unit.
            labels: b of them.
            variance: `[b]` target unit squared; for normalised intervals alone.
            eps: 1.

        Raises:
            InputError: as in `Conformal.interval`.
            ShapeError: the shapes differ, or another number of labels.
        """
        m = as_finite_tensor("mean", mean)
        if m.dim() != 1:
            raise ShapeError(error_message("mean", "have shape [b]", list(m.shape)))
        unit = ConformalPredictor(m.new_ones(1), m.new_ones(1), 1, self.normalized)
        # With one score of one and eps 1/2, the interval is the unit of q.
        _, one = unit.interval(torch.zeros_like(m), variance, eps=0.5)
        q = torch.full_like(m, math.inf)
        for label, index in indices_by_label(labels, len(m)).items():
            if label in self.groups:
                q[index] = self.groups[label].quantile(eps)
        return m - q * one, m + q * one


def quantile_regression_scores(truth: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Tensor:
    """Return how far truths lie outside predicted quantiles, `[n]` target unit.

    max(low - y, y - high), negative inside: conformalised quantile regression, Romano, Patterson
    and Candès, NeurIPS 2019. With q of these scores the interval is low - q to high + q.

    Args:
        truth: `[n]` target unit.
        lower: `[n]` target unit, predicted lower quantiles.
        upper: `[n]` target unit, predicted upper quantiles.

    Raises:
        InputError: an entry is not finite.
        ShapeError: the shapes differ.
    """
    y, below, above = (as_finite_tensor("truth", truth), as_finite_tensor("lower", lower), upper)
    above = as_finite_tensor("upper", above)
    for name, value in (("lower", below), ("upper", above)):
        if value.shape != y.shape:
            condition = f"have the shape of the truth, {list(y.shape)}"
            raise ShapeError(error_message(name, condition, list(value.shape)))
    return (below - y).maximum(y - above)


def indices_by_label(labels: Iterable[Hashable], n: int) -> dict[Hashable, Tensor]:
    """Return where each label stands, in the order of their first appearance.

    Args:
        labels: n of them; numbers of arrays and tensors are taken as Python's.
        n: how many there should be.

    Raises:
        ShapeError: there are more or fewer.
    """
    places: dict[Hashable, list[int]] = {}
    count = 0
    for label in labels.tolist() if hasattr(labels, "tolist") else labels:
        places.setdefault(label, []).append(count)
        count += 1
    if count != n:
        raise ShapeError(error_message("labels", f"have one label for each of {n}", count))
    return {label: torch.tensor(place) for label, place in places.items()}


def _as_fraction(eps: float) -> Fraction:
    check_fraction("eps", eps, "It is the share that may miss: 0.1 for 90 % intervals.")
    return Fraction(eps).limit_denominator(MAX_DENOMINATOR)


def _number_structures(structure_ids: ArrayLike, scores: Tensor) -> tuple[Tensor, int]:
    """Return structures numbered from zero, `[n]`, and how many there are."""
    found = as_finite_tensor("structure_ids", structure_ids).to(scores.device)
    if found.shape != scores.shape:
        condition = f"have shape {list(scores.shape)}"
        raise ShapeError(error_message("structure_ids", condition, list(found.shape)))
    if bool((found != found.round()).any()):
        raise InputError(error_message("structure_ids", "be integers", "fractions"))
    unique, place = torch.unique(found, return_inverse=True)
    return place, len(unique)

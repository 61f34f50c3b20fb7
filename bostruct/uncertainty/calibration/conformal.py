"""Intervals that hold as often as they claim, whatever the model believes.

Split conformal prediction, section 2.5 of Grasselli et al., Digital Discovery 4, 2654
(2025); Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005).
Two statements of the article are made exact here: the plain quantile of the scores
covers too little in small samples, so the rank is ⌈(n + 1)(1 - eps)⌉; and calibration
and test points must be exchangeable with each other, not with the training set.

Atoms of one structure are not exchangeable with atoms of another. Scores that come in
structures are weighed as in Lee, Barber and Willett, arXiv 2306.06342 (2023), or
reduced to the worst of each.

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

from bostruct.errors import InputError, ShapeError, check_count, check_share, must
from bostruct.uncertainty.calibration.residuals import (
    Numbers,
    Residuals,
    numbers,
    variances,
)
from bostruct.uncertainty.calibration.scaling import read

Pair = tuple[Tensor, Tensor]

FINEST = 10**9  # denominators of eps are below it
SLACK = 1e-9  # of sums of weights, relative


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
    return math.ceil((n + 1) * (1 - _fraction(eps)))


def conformal_coverage(n: int, eps: float, level: float = 0.9) -> tuple[float, ...]:
    """Return the mean coverage of intervals from n points, and a band around it.

    The coverage that one calibration set gives is drawn from Beta(k, n + 1 - k), with
    mean k / (n + 1), if the scores are continuous and exchangeable.

    Args:
        n: calibration points.
        eps: 1.
        level: probability of the band.

    Returns:
        Mean, low and high, all 1 if the interval is infinite.

    Raises:
        InputError: no point, or eps or level outside 0 to 1.
    """
    k = conformal_rank(n, eps)
    check_share("level", level)
    if k > n:
        return 1.0, 1.0, 1.0
    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = (float(betaincinv(k, n + 1 - k, tail)) for tail in tails)
    return k / (n + 1), low, high


@final
@dataclass(frozen=True, eq=False)
class Conformal:
    """Conformal intervals from the scores of a calibration set.

    Attributes:
        scores: `[n]` ascending; target unit, or 1 if normalised.
        weights: `[n]` 1, what each score counts; they sum to `units`.
        units: exchangeable units, n or the number of structures.
        normalised: whether intervals are multiples of s.
        source: hash of the residuals it was found from.
    """

    scores: Tensor
    weights: Tensor
    units: int
    normalised: bool = False
    source: str = ""

    @classmethod
    def of(
        cls,
        held: Residuals,
        *,
        normalised: bool = False,
        structure: Numbers | None = None,
        every: bool = False,
    ) -> Conformal:
        """Return the intervals that residuals on a calibration set give.

        Args:
            held: `[n]` residuals, not fitted to. A scale of the variances cancels.
            normalised: take |e| / s: intervals are wide where s is. With an s that
                says little they are wider than plain ones.
            structure: `[n]` integers, for atoms or components: entries with the same
                number are from one structure. The promise is then for one entry, drawn
                at random, of a new structure.
            every: the promise is for all entries of a new structure at once.

        Raises:
            InputError: structures that are no integers, or `every` without them.
            ShapeError: residuals with batches, or structures of another shape.
        """
        if held.error.dim() != 1:
            raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))
        scores = (held.z if normalised else held.error).abs()
        weights, units = torch.ones_like(scores), held.n
        if structure is not None:
            place, units = _places(structure, scores)
            count = torch.bincount(place)
            weights = 1.0 / count[place].to(scores)
            if every:
                worst = scores.new_zeros(units)
                scores = worst.scatter_reduce(0, place, scores, "amax")
                weights = torch.ones_like(scores)
        elif every:
            way_out = "It is about all entries of one structure."
            raise InputError(must("every", "come with `structure`", structure, way_out))
        order = scores.argsort(stable=True)
        return cls(scores[order], weights[order], units, normalised, held.hash)

    @classmethod
    def of_scores(cls, scores: Numbers) -> Conformal:
        """Return the intervals of scores of one's own, as of `quantile_scores`.

        Args:
            scores: `[n]` target unit; negative ones make intervals narrower.

        Raises:
            InputError: an entry is not finite.
            ShapeError: the scores are not one row, or there is none.
        """
        r = numbers("scores", scores)
        if r.dim() != 1 or not len(r):
            raise ShapeError(must("scores", "have shape [n]", list(r.shape)))
        return cls(r.sort().values, torch.ones_like(r), len(r))

    def quantile(self, eps: float) -> float:
        """Return q, the score that a new one exceeds with probability eps at most.

        Infinite if there are fewer than 1 / eps - 1 units.

        Args:
            eps: 1.

        Raises:
            InputError: eps outside 0 to 1.
        """
        k = conformal_rank(self.units, eps)
        if len(self.scores) == self.units:
            return float(self.scores[k - 1]) if k <= self.units else math.inf
        need = float((self.units + 1) * (1 - _fraction(eps)))
        below = self.weights.cumsum(0) < need * (1 - SLACK)
        place = int(below.sum())
        return float(self.scores[place]) if place < len(self.scores) else math.inf

    def interval(
        self, mean: Numbers, variance: Numbers | None = None, *, eps: float = 0.1
    ) -> Pair:
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
        m = numbers("mean", mean)
        half = torch.full_like(m, self.quantile(eps))
        if self.normalised != (variance is not None):
            condition = "be given for normalised intervals and for no others"
            raise InputError(must("variance", condition, type(variance).__name__))
        if variance is not None:
            s2 = variances("variance", variance)
            if s2.shape != m.shape:
                condition = f"have the shape of the means, {list(m.shape)}"
                raise ShapeError(must("variance", condition, list(s2.shape)))
            half = half * s2.sqrt()
        return m - half, m + half

    def to_json(self) -> str:
        """Return all of it as JSON, to be stored beside the model."""
        lists = {name: getattr(self, name).tolist() for name in _TENSORS}
        plain = {name: getattr(self, name) for name in _PLAIN}
        return json.dumps({"kind": "conformal", **lists, **plain})

    @classmethod
    def from_json(cls, text: str) -> Conformal:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read(text, "conformal", (*_TENSORS, *_PLAIN))
        for name in _TENSORS:
            found[name] = torch.tensor(found[name], dtype=torch.float64)
        return cls(**found)


_TENSORS = ("scores", "weights")
_PLAIN = ("units", "normalised", "source")


@final
@dataclass(frozen=True, eq=False)
class GroupedConformal:
    """Conformal intervals of each group on its own: species, size class, phase.

    The promise then holds within each group (Mondrian). A group without calibration
    points has infinite intervals.

    Attributes:
        groups: label to intervals.
        normalised: whether intervals are multiples of s.
    """

    groups: dict[Hashable, Conformal]
    normalised: bool = False

    @classmethod
    def of(
        cls,
        held: Residuals,
        labels: Iterable[Hashable],
        *,
        normalised: bool = False,
    ) -> GroupedConformal:
        """Return the intervals that residuals give for each label.

        Args:
            held: `[n]` residuals, not fitted to.
            labels: n of them, known without the truth.
            normalised: as in `Conformal.of`.

        Raises:
            ShapeError: residuals with batches, or another number of labels.
        """
        if held.error.dim() != 1:
            raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))
        found = {
            label: Conformal.of(held.take(index), normalised=normalised)
            for label, index in by_label(labels, held.n).items()
        }
        return cls(found, normalised)

    def interval(
        self,
        mean: Numbers,
        labels: Iterable[Hashable],
        variance: Numbers | None = None,
        *,
        eps: float = 0.1,
    ) -> Pair:
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
        m = numbers("mean", mean)
        if m.dim() != 1:
            raise ShapeError(must("mean", "have shape [b]", list(m.shape)))
        unit = Conformal(m.new_ones(1), m.new_ones(1), 1, self.normalised)
        # With one score of one and eps 1/2, the interval is the unit of q.
        _, one = unit.interval(torch.zeros_like(m), variance, eps=0.5)
        q = torch.full_like(m, math.inf)
        for label, index in by_label(labels, len(m)).items():
            if label in self.groups:
                q[index] = self.groups[label].quantile(eps)
        return m - q * one, m + q * one


def quantile_scores(truth: Numbers, low: Numbers, high: Numbers) -> Tensor:
    """Return how far truths lie outside predicted quantiles, `[n]` target unit.

    max(low - y, y - high), negative inside: conformalised quantile regression, Romano,
    Patterson and Candès, NeurIPS 2019. With q of these scores the interval is low - q
    to high + q.

    Args:
        truth: `[n]` target unit.
        low: `[n]` target unit, predicted lower quantiles.
        high: `[n]` target unit, predicted upper quantiles.

    Raises:
        InputError: an entry is not finite.
        ShapeError: the shapes differ.
    """
    y, below, above = numbers("truth", truth), numbers("low", low), high
    above = numbers("high", above)
    for name, value in (("low", below), ("high", above)):
        if value.shape != y.shape:
            condition = f"have the shape of the truth, {list(y.shape)}"
            raise ShapeError(must(name, condition, list(value.shape)))
    return (below - y).maximum(y - above)


def by_label(labels: Iterable[Hashable], n: int) -> dict[Hashable, Tensor]:
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
        raise ShapeError(must("labels", f"have one label for each of {n}", count))
    return {label: torch.tensor(place) for label, place in places.items()}


def _fraction(eps: float) -> Fraction:
    check_share("eps", eps, "It is the share that may miss: 0.1 for 90 % intervals.")
    return Fraction(eps).limit_denominator(FINEST)


def _places(structure: Numbers, scores: Tensor) -> tuple[Tensor, int]:
    """Return structures numbered from zero, `[n]`, and how many there are."""
    found = numbers("structure", structure).to(scores.device)
    if found.shape != scores.shape:
        condition = f"have shape {list(scores.shape)}"
        raise ShapeError(must("structure", condition, list(found.shape)))
    if bool((found != found.round()).any()):
        raise InputError(must("structure", "be integers", "fractions"))
    unique, place = torch.unique(found, return_inverse=True)
    return place, len(unique)

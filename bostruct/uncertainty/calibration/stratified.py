"""Are variances right everywhere, or only on average?

Section 2.4.2 of Grasselli et al., Digital Discovery 4, 2654 (2025), after Pernot,
arXiv 2309.06240 (2023): consistency asks it for each size of the predicted variance,
adaptivity for each kind of structure. Neither implies the other.

Notation
    zeta  [n]  1   e / s
    g     1        strata
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import final

import torch
from scipy.special import gammaincinv
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, check_share, must
from bostruct.uncertainty.calibration.conformal import by_label
from bostruct.uncertainty.calibration.reliability import BinnedError, ence
from bostruct.uncertainty.calibration.residuals import Numbers, Residuals, numbers
from bostruct.uncertainty.calibration.scaling import (
    LEAST,
    Calibration,
    Method,
    calibrate,
    read,
)


@final
@dataclass(frozen=True)
class Stratum:
    """How well the variances of one stratum fit its errors.

    Attributes:
        label: of the stratum.
        n: points.
        ratio: mean ζ², 1: the alpha2 of (26) that the stratum would take.
        low: 1, lower end of the interval of `ratio`.
        high: 1, its upper end.
        ence: of the stratum, in bins of 8 points or more, 10 at most.
    """

    label: Hashable
    n: int
    ratio: float
    low: float
    high: float
    ence: BinnedError

    @property
    def flagged(self) -> bool:
        """Whether the interval excludes one."""
        return not self.low <= 1 <= self.high


@final
@dataclass(frozen=True)
class Strata:
    """All strata of one division.

    Attributes:
        strata: one each.
        level: probability that no calibrated stratum is flagged.
    """

    strata: tuple[Stratum, ...]
    level: float

    @property
    def calibrated(self) -> bool:
        """Whether no stratum is flagged."""
        return not self.flagged

    @property
    def flagged(self) -> tuple[Stratum, ...]:
        """The strata whose intervals exclude one."""
        return tuple(stratum for stratum in self.strata if stratum.flagged)


def quantile_labels(values: Numbers, count: int) -> Tensor:
    """Return which part of equal count each value falls in, `[n]` from 0.

    Ties keep their order.

    Args:
        values: `[n]` any one feature: s, atoms, volume, distance to the data.
        count: parts.

    Raises:
        InputError: an entry is not finite, or there are more parts than values.
        ShapeError: not one row.
    """
    value = numbers("values", values)
    if value.dim() != 1:
        raise ShapeError(must("values", "have shape [n]", list(value.shape)))
    check_count("count", count)
    if count > len(value):
        condition = f"be at most the number of values, {len(value)}"
        raise InputError(must("count", condition, count))
    label = torch.zeros(len(value), dtype=torch.long, device=value.device)
    for i, part in enumerate(value.argsort(stable=True).tensor_split(count)):
        label[part] = i
    return label


def adaptivity(
    held: Residuals,
    labels: Iterable[Hashable],
    *,
    level: float = 0.95,
    generator: torch.Generator | None = None,
    draws: int = 1000,
) -> Strata:
    """Return mean ζ² of each stratum with an interval, all of which hold together.

    For Gaussian errors n mean ζ² follows a chi-squared law, of relative deviation
    √(2/n). Heavy tails scatter more: give a generator, and intervals come from
    resamples. Calibrate first, or a wrong common factor flags all.

    Args:
        held: `[n]` residuals.
        labels: n of them: species, composition, size class, phase.
        level: probability that calibrated strata all pass, shared among them equally.
        generator: if given, for resamples.
        draws: resamples.

    Raises:
        InputError: a stratum of fewer than 8 points, or a level outside 0 to 1.
        ShapeError: residuals with batches, or another number of labels.
    """
    if held.error.dim() != 1:
        raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))
    check_share("level", level)
    parts = by_label(labels, held.n)
    tail = (1 - level) / len(parts) / 2
    found = []
    for label, index in parts.items():
        part = held.take(index.to(held.error.device))
        if part.n < LEAST:
            way_out = "Merge small strata."
            condition = f"leave at least {LEAST} points to {label!r}"
            raise InputError(must("labels", condition, part.n, way_out))
        low, high = _interval(part.z.square(), tail, generator, draws)
        ratio = float(part.z.square().mean())
        binned = ence(part, max(1, min(10, part.n // LEAST)))
        found.append(Stratum(label, part.n, ratio, low, high, binned))
    return Strata(tuple(found), level)


def _interval(
    z2: Tensor, tail: float, generator: torch.Generator | None, draws: int
) -> tuple[float, float]:
    """Return what the mean of z² lies between but for `tail` on either side."""
    n = len(z2)
    if generator is None:
        half, ratio = n / 2, float(z2.mean())
        ends = [ratio * half / float(gammaincinv(half, x)) for x in (1 - tail, tail)]
    else:
        check_count("draws", draws, 2)
        index = torch.randint(n, (draws, n), generator=generator).to(z2.device)
        means = z2[index].mean(-1)
        ends = torch.quantile(means, means.new_tensor([tail, 1 - tail])).tolist()
    low, high = ends
    return low, high


def consistency(
    held: Residuals,
    count: int = 5,
    *,
    level: float = 0.95,
    generator: torch.Generator | None = None,
    draws: int = 1000,
) -> Strata:
    """Return mean ζ² in parts of equal count by predicted variance, as `adaptivity`.

    Args:
        held: `[n]` residuals.
        count: parts, labelled from 0 for the smallest variances.
        level: probability that calibrated strata all pass.
        generator: if given, for resamples.
        draws: resamples.

    Raises:
        InputError: fewer than 8 points in a part, or a level outside 0 to 1.
        ShapeError: residuals with batches.
    """
    labels = quantile_labels(held.variance, count)
    return adaptivity(held, labels, level=level, generator=generator, draws=draws)


@final
@dataclass(frozen=True, eq=False)
class GroupedCalibration:
    """A factor for each stratum, and one for the rest.

    Attributes:
        groups: label to factor, for strata of 8 points and more.
        rest: the factor of all points together, for smaller strata and new labels.
    """

    groups: dict[Hashable, Calibration]
    rest: Calibration

    @classmethod
    def of(
        cls,
        held: Residuals,
        labels: Iterable[Hashable],
        method: Method = "likelihood",
        *,
        members: int | None = None,
        ddof: int = 1,
    ) -> GroupedCalibration:
        """Return the factors of residuals by label; see `calibrate`.

        Args:
            held: `[n]` residuals, not fitted to.
            labels: n of them, known without the truth.
            method: as in `calibrate`.
            members: as in `calibrate`.
            ddof: as in `calibrate`.

        Raises:
            InputError: as in `calibrate`.
            ShapeError: residuals with batches, or another number of labels.
        """
        if held.error.dim() != 1:
            raise ShapeError(must("held", "have shape [n]", list(held.error.shape)))
        rest = calibrate(held, method, members=members, ddof=ddof)
        groups = {
            label: calibrate(
                held.take(index.to(held.error.device)),
                method,
                members=members,
                ddof=ddof,
            )
            for label, index in by_label(labels, held.n).items()
            if len(index) >= LEAST
        }
        return cls(groups, rest)

    def variance(self, variance: Numbers, labels: Iterable[Hashable]) -> Tensor:
        """Return calibrated variances, `[b]` target unit squared.

        Args:
            variance: `[b]` target unit squared.
            labels: b of them.

        Raises:
            InputError: an entry is not finite.
            ShapeError: not one row, or another number of labels.
        """
        s2 = numbers("variance", variance)
        if s2.dim() != 1:
            raise ShapeError(must("variance", "have shape [b]", list(s2.shape)))
        found = s2.clone()
        for label, index in by_label(labels, len(s2)).items():
            found[index] = self.groups.get(label, self.rest).variance(s2[index])
        return found

    def to_json(self) -> str:
        """Return all of it as JSON; labels must be texts or whole numbers.

        Raises:
            InputError: a label is something else.
        """
        for label in self.groups:
            if not isinstance(label, str | int):
                condition = "be texts or integers to be stored"
                raise InputError(must("labels", condition, repr(label)))
        groups = [[label, each.to_json()] for label, each in self.groups.items()]
        rest = self.rest.to_json()
        return json.dumps({"kind": "groups", "groups": groups, "rest": rest})

    @classmethod
    def from_json(cls, text: str) -> GroupedCalibration:
        """Return what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        found = read(text, "groups", ("groups", "rest"))
        groups = {label: Calibration.from_json(each) for label, each in found["groups"]}
        return cls(groups, Calibration.from_json(found["rest"]))

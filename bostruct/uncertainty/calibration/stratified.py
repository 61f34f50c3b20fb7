"""Calibration within strata, and recalibration of each stratum by one factor.

Section 2.4.2 of Grasselli et al., Digital Discovery 4, 2654 (2025), after Pernot, arXiv 2309.06240
(2023): variances that are calibrated on average may be wrong locally. Consistency tests them by
size of the predicted variance, adaptivity by kind of structure. Neither implies the other.

Notation
    zeta  [n]  1   e / s
    g     1        strata
"""

from __future__ import annotations

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, final

import scipy
import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_count, check_fraction, error_message
from bostruct.uncertainty.calibration.conformal import indices_by_label
from bostruct.uncertainty.calibration.reliability import BinnedCalibrationError, ence
from bostruct.uncertainty.calibration.residuals import ArrayLike, Residuals, as_finite_tensor
from bostruct.uncertainty.calibration.scaling import (
    MIN_POINTS,
    Calibration,
    CalibrationMethod,
    calibrate,
)
from bostruct.uncertainty.calibration.serialization import JsonSerializable


@final
@dataclass(frozen=True)
class Stratum:
    """Calibration of the variances of one stratum.

    Attributes:
        label: label of the stratum.
        n_points: number of points.
        mean_z2: mean ζ², 1: the alpha2 of (26) of this stratum.
        lower: 1, lower end of the confidence interval of `mean_z2`.
        upper: 1, upper end of the confidence interval of `mean_z2`.
        ence: calibration error in at most 10 bins, of 8 points or more.
    """

    label: Hashable
    n_points: int
    mean_z2: float
    lower: float
    upper: float
    ence: BinnedCalibrationError

    @property
    def is_flagged(self) -> bool:
        """True if the confidence interval excludes one."""
        return not self.lower <= 1 <= self.upper


@final
@dataclass(frozen=True)
class Strata:
    """Calibration of all strata of a data set.

    Attributes:
        strata: calibration of each stratum.
        confidence: probability that no calibrated stratum is flagged.
    """

    strata: tuple[Stratum, ...]
    confidence: float

    @property
    def is_calibrated(self) -> bool:
        """True if no stratum is flagged."""
        return not self.flagged_strata

    @property
    def flagged_strata(self) -> tuple[Stratum, ...]:
        """The strata whose intervals exclude one."""
        return tuple(stratum for stratum in self.strata if stratum.is_flagged)


def quantile_labels(values: ArrayLike, n_groups: int) -> Tensor:
    """Return the index of the quantile group of each value, `[n]` from 0.

    Groups have equal counts; ties keep their order.

    Args:
        values: `[n]` any feature: s, number of atoms, volume, distance to the data.
        n_groups: number of groups.

    Raises:
        InputError: an entry is not finite, or there are more groups than values.
        ShapeError: the values are not `[n]`.
    """
    value = as_finite_tensor("values", values)
    if value.dim() != 1:
        raise ShapeError(error_message("values", "have shape [n]", list(value.shape)))
    check_count("n_groups", n_groups)
    if n_groups > len(value):
        condition = f"be at most the number of values, {len(value)}"
        raise InputError(error_message("n_groups", condition, n_groups))
    labels = torch.zeros(len(value), dtype=torch.long, device=value.device)
    for i, index in enumerate(value.argsort(stable=True).tensor_split(n_groups)):
        labels[index] = i
    return labels


def adaptivity(
    residuals: Residuals,
    labels: Iterable[Hashable],
    *,
    confidence: float = 0.95,
    generator: torch.Generator | None = None,
    n_bootstrap: int = 1000,
) -> Strata:
    """Return mean ζ² of each stratum with simultaneous confidence intervals.

    For Gaussian errors n mean ζ² follows a chi-squared law, of relative deviation √(2/n). Heavy
    tails scatter more: give a generator for bootstrap intervals. Calibrate first, or a wrong
    common factor flags all strata.

    Args:
        residuals: `[n]` residuals.
        labels: n group labels: species, composition, size class, phase.
        confidence: probability that all calibrated strata pass, shared among them equally.
        generator: random generator of bootstrap resamples; by default no bootstrap.
        n_bootstrap: number of bootstrap resamples.

    Raises:
        InputError: a stratum of fewer than 8 points, or a confidence outside 0 to 1.
        ShapeError: residuals with batches, or another number of labels.
    """
    residuals.check_unbatched()
    check_fraction("confidence", confidence)
    indices = indices_by_label(labels, residuals.n_points)
    tail = (1 - confidence) / len(indices) / 2
    strata = []
    for label, index in indices.items():
        subset = residuals.subset(index.to(residuals.error.device))
        n, z2 = subset.n_points, subset.z.square()
        if n < MIN_POINTS:
            condition = f"leave at least {MIN_POINTS} points to {label!r}"
            raise InputError(error_message("labels", condition, n, "Merge small strata."))
        lower, upper = _mean_z2_interval(z2, tail, generator, n_bootstrap)
        error = ence(subset, max(1, min(10, n // MIN_POINTS)))
        strata.append(Stratum(label, n, float(z2.mean()), lower, upper, error))
    return Strata(tuple(strata), confidence)


def _mean_z2_interval(
    z2: Tensor, tail_probability: float, generator: torch.Generator | None, n_bootstrap: int
) -> tuple[float, float]:
    """Return the interval of the mean of z² with `tail_probability` on either side."""
    n = len(z2)
    if generator is None:
        mean = float(z2.mean())
        quantiles = scipy.stats.chi2.ppf([1 - tail_probability, tail_probability], n) / n
        lower, upper = (mean / float(quantile) for quantile in quantiles)
        return lower, upper
    check_count("n_bootstrap", n_bootstrap, 2)
    index = torch.randint(n, (n_bootstrap, n), generator=generator).to(z2.device)
    means = z2[index].mean(-1)
    tails = means.new_tensor([tail_probability, 1 - tail_probability])
    lower, upper = torch.quantile(means, tails).tolist()
    return lower, upper


def consistency(
    residuals: Residuals,
    n_groups: int = 5,
    *,
    confidence: float = 0.95,
    generator: torch.Generator | None = None,
    n_bootstrap: int = 1000,
) -> Strata:
    """Return mean ζ² in groups of equal count by predicted variance, as `adaptivity`.

    Args:
        residuals: `[n]` residuals.
        n_groups: number of groups, labelled from 0 for the smallest variances.
        confidence: probability that all calibrated strata pass.
        generator: random generator of bootstrap resamples; by default no bootstrap.
        n_bootstrap: number of bootstrap resamples.

    Raises:
        InputError: fewer than 8 points in a group, or a confidence outside 0 to 1.
        ShapeError: residuals with batches.
    """
    labels = quantile_labels(residuals.variance, n_groups)
    return adaptivity(
        residuals, labels, confidence=confidence, generator=generator, n_bootstrap=n_bootstrap
    )


@final
@dataclass(frozen=True, eq=False)
class GroupedCalibration(JsonSerializable):
    """Calibration factor for each stratum, with a fallback for small and new ones.

    Attributes:
        groups: mapping from label to calibration, for strata of 8 points and more.
        fallback: calibration by all points together, for smaller strata and new labels.
    """

    groups: dict[Hashable, Calibration]
    fallback: Calibration

    @classmethod
    def from_residuals(
        cls,
        residuals: Residuals,
        labels: Iterable[Hashable],
        method: CalibrationMethod = "likelihood",
        *,
        n_members: int | None = None,
        ddof: int = 1,
    ) -> GroupedCalibration:
        """Return the calibration of residuals by label; see `calibrate`.

        Args:
            residuals: `[n]` residuals on held-out data.
            labels: n group labels that do not depend on the truth.
            method: estimator of the factors, one of those of `calibrate`.
            n_members: number of members, for the method "committee" alone.
            ddof: 1 if the variances have the divisor M - 1, 0 if M; for "committee" alone.

        Raises:
            InputError: as in `calibrate`.
            ShapeError: residuals with batches, or another number of labels.
        """
        residuals.check_unbatched()
        fallback = calibrate(residuals, method, n_members=n_members, ddof=ddof)
        groups = {
            label: calibrate(
                residuals.subset(index.to(residuals.error.device)),
                method,
                n_members=n_members,
                ddof=ddof,
            )
            for label, index in indices_by_label(labels, residuals.n_points).items()
            if len(index) >= MIN_POINTS
        }
        return cls(groups, fallback)

    def calibrated_variance(self, variance: ArrayLike, labels: Iterable[Hashable]) -> Tensor:
        """Return calibrated variances, `[b]` target unit squared.

        Args:
            variance: `[b]` target unit squared, predicted variances.
            labels: b group labels.

        Raises:
            InputError: an entry is not finite.
            ShapeError: the variances are not `[b]`, or another number of labels.
        """
        s2 = as_finite_tensor("variance", variance)
        if s2.dim() != 1:
            raise ShapeError(error_message("variance", "have shape [b]", list(s2.shape)))
        calibrated = s2.clone()
        for label, index in indices_by_label(labels, len(s2)).items():
            calibration = self.groups.get(label, self.fallback)
            calibrated[index] = calibration.calibrated_variance(s2[index])
        return calibrated

    def _to_plain_fields(self) -> dict[str, Any]:
        for label in self.groups:
            if not isinstance(label, str | int):
                condition = "be texts or integers to be stored"
                raise InputError(error_message("labels", condition, repr(label)))
        groups = [[label, calibration.to_json()] for label, calibration in self.groups.items()]
        return {"groups": groups, "fallback": self.fallback.to_json()}

    @classmethod
    def _from_plain_fields(cls, stored: dict[str, Any]) -> dict[str, Any]:
        groups = {label: Calibration.from_json(text) for label, text in stored["groups"]}
        return {"groups": groups, "fallback": Calibration.from_json(stored["fallback"])}

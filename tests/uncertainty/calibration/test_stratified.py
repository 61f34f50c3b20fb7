import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.calibration.residuals import Residuals
from bostruct.uncertainty.calibration.scaling import calibrate
from bostruct.uncertainty.calibration.stratified import (
    GroupedCalibration,
    adaptivity,
    consistency,
    quantile_labels,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(n, seed=0):
    draws = stream(seed)
    s = (0.5 * torch.randn(n, generator=draws, dtype=torch.float64)).exp()
    return Residuals(s * torch.randn(n, generator=draws, dtype=torch.float64), s**2)


def halves(n=400):
    """Twice too wide in one half and too narrow in the other; right on average."""
    held = gaussian(n)
    scale = torch.ones(n, dtype=torch.float64)
    scale[: n // 2], scale[n // 2 :] = 2.0, 0.5
    labels = ["bulk"] * (n // 2) + ["surface"] * (n // 2)
    mixed = Residuals(held.error, held.variance * scale**2)
    return mixed.scaled(calibrate(mixed).alpha2), labels


def test_calibrated_on_average_is_flagged():
    mixed, labels = halves()
    assert float(mixed.z.square().mean()) == pytest.approx(1)
    found = adaptivity(mixed, labels)
    assert [stratum.label for stratum in found.flagged_strata] == ["bulk", "surface"]
    bulk, surface = found.strata
    assert bulk.upper < 1 < surface.lower
    assert surface.mean_z2 / bulk.mean_z2 == pytest.approx(16, rel=0.3)
    assert not found.is_calibrated


def test_calibrated_everywhere_passes_as_often_as_promised():
    """95 % of 400 sets, ± 4 binomial standard errors; five strata each."""
    labels = torch.arange(100) % 5
    passed = [adaptivity(gaussian(100, i), labels).is_calibrated for i in range(400)]
    assert sum(passed) / 400 == pytest.approx(0.95, abs=4 * math.sqrt(0.0475 / 400))


def test_consistency_is_blind_to_kinds_and_adaptivity_to_sizes():
    held = gaussian(4000)
    kind = torch.arange(4000) % 2
    wrong_kinds = Residuals(held.error * torch.where(kind == 0, 0.5, 1.32), held.variance)
    assert not adaptivity(wrong_kinds, kind).is_calibrated
    assert consistency(wrong_kinds, generator=stream()).is_calibrated
    tilted = Residuals(held.error, held.variance**1.5)
    tilted = tilted.scaled(calibrate(tilted).alpha2)
    assert not consistency(tilted).is_calibrated
    assert adaptivity(tilted, kind, generator=stream()).is_calibrated


def test_intervals_are_those_of_the_mean_square():
    """Relative half width 1.96 sqrt(2 / n) for one stratum of 95 %."""
    held = gaussian(2000)
    for generator in (None, stream()):
        (one,) = adaptivity(held, ["all"] * 2000, generator=generator).strata
        half = (one.upper - one.lower) / 2 / one.mean_z2
        assert half == pytest.approx(1.96 * math.sqrt(2 / 2000), rel=0.1)
        assert one.mean_z2 == float(held.z.square().mean())
        assert (one.n_points, one.ence.n_bins) == (2000, 10)


def test_heavy_tails_have_wider_intervals_from_resamples():
    z = torch.tensor([0.0] * 99 + [10.0], dtype=torch.float64)
    held = Residuals(z, torch.ones(100, dtype=torch.float64))
    (gauss,) = adaptivity(held, ["a"] * 100).strata
    (drawn,) = adaptivity(held, ["a"] * 100, generator=stream()).strata
    assert drawn.upper - drawn.lower > 3 * (gauss.upper - gauss.lower)


def test_parts_are_of_equal_count():
    labels = quantile_labels([5.0, 1.0, 1.0, 9.0], 2)
    assert labels.tolist() == [1, 0, 0, 1]
    assert torch.bincount(quantile_labels(torch.rand(11), 3)).tolist() == [4, 4, 3]


def test_a_factor_for_each_kind_repairs_it():
    mixed, labels = halves()
    local = GroupedCalibration.from_residuals(mixed, labels)
    after = Residuals(mixed.error, local.calibrated_variance(mixed.variance, labels))
    assert adaptivity(after, labels).is_calibrated
    again = GroupedCalibration.from_json(local.to_json())
    assert torch.equal(
        again.calibrated_variance([1.0], ["bulk"]), local.calibrated_variance([1.0], ["bulk"])
    )


def test_few_points_and_new_kinds_take_the_factor_of_all():
    held = gaussian(30)
    local = GroupedCalibration.from_residuals(held, ["a"] * 25 + ["b"] * 5)
    assert list(local.groups) == ["a"]
    found = local.calibrated_variance([1.0, 1.0, 1.0], ["a", "b", "c"])
    assert found[1] == found[2] == calibrate(held).alpha2
    assert found[0] == calibrate(held.subset(torch.arange(25))).alpha2


def test_refusals():
    held, batches = gaussian(20), Residuals(torch.ones(2, 9), torch.ones(2, 9))
    labels = ["a"] * 20
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        adaptivity(batches, ["a"] * 9)
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        GroupedCalibration.from_residuals(batches, ["a"] * 9)
    with pytest.raises(InputError, match="`confidence` must be between 0 and 1"):
        adaptivity(held, labels, confidence=95)
    with pytest.raises(InputError, match="`labels` must leave at least 8 points to 'b'"):
        adaptivity(held, ["a"] * 19 + ["b"])
    with pytest.raises(ShapeError, match="`labels` must have one label"):
        adaptivity(held, ["a"])
    with pytest.raises(InputError, match="`n_bootstrap` must be an integer"):
        adaptivity(held, labels, generator=stream(), n_bootstrap=1)
    with pytest.raises(ShapeError, match=r"`values` must have shape \[n\]"):
        quantile_labels(torch.ones(2, 2), 2)
    with pytest.raises(InputError, match="`n_groups` must be at most the number of values"):
        quantile_labels([1.0], 2)
    with pytest.raises(ShapeError, match=r"`variance` must have shape \[b\]"):
        GroupedCalibration.from_residuals(held, labels).calibrated_variance(1.0, ["a"])
    with pytest.raises(InputError, match="`labels` must be texts or integers"):
        GroupedCalibration.from_residuals(held, [(1, 2)] * 20).to_json()

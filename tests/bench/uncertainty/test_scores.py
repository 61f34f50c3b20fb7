"""Scores of arrays with known laws.

The definitions are those of Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020),
where they have one: quantile area at 100 levels, calibration error as a sum of squares,
sharpness as the root mean variance, C_v with the divisor n - 1, and a summed NLL. From
the arrays that they publish, their table came out to every digit (docs/uncertainty.md).
"""

import math

import pytest
import torch
from scipy.stats import beta, norm

from bostruct.bench.uncertainty.method_predictions import SetResiduals
from bostruct.bench.uncertainty.scores import compute_scores, conformal_coverage_band
from bostruct.uncertainty import Residuals, calibration_curve, miscalibration_area, nll, sharpness


def part(error, variance, structure=None):
    error = torch.as_tensor(error, dtype=torch.float64)
    variance = torch.as_tensor(variance, dtype=torch.float64).expand_as(error)
    if structure is None:
        structure = torch.arange(len(error))
    return SetResiduals(Residuals(error, variance.clone()), structure)


def ideal(n):
    """Return n errors that are as Gaussian as n numbers can be."""
    return norm.ppf((torch.arange(n).double() + 0.5) / n)


def test_a_calibrated_method_is_called_calibrated():
    found = compute_scores(part(ideal(400), 1.0), part(ideal(1000), 1.0))
    assert found.alpha == pytest.approx(1.0, abs=0.01)
    assert found.alpha_robust == pytest.approx(1.0, abs=0.01)
    assert found.z2 == pytest.approx(1.0, abs=0.01)
    assert found.z2_low < 1 < found.z2_high
    assert (found.n_structures, found.n_points) == (1000, 1000)
    assert found.miscalibration_area == pytest.approx(0.0, abs=2e-3)
    assert (found.coverage_50, found.coverage_90, found.coverage_95) == (0.5, 0.9, 0.95)
    assert found.conformal_coverage == pytest.approx(0.9, abs=0.01)
    assert found.conformal_coverage_low < 0.9 < found.conformal_coverage_high
    assert found.conformal_half_width == pytest.approx(1.645, abs=0.05)
    assert found.unnormalized_half_width == pytest.approx(1.645, abs=0.05)
    assert found.crps == pytest.approx(1 / math.sqrt(math.pi), abs=2e-3)
    assert found.nll == pytest.approx(0.5 * math.log(2 * math.pi) + 0.5, abs=2e-3)
    assert found.sharpness == pytest.approx(1.0, abs=0.01)
    assert found.dispersion == 0.0
    assert found.spearman is None
    assert found.ence_floor == pytest.approx(math.sqrt(10 / (math.pi * 1000)))
    assert found.n_bins == 10


@pytest.mark.parametrize("c", [0.5, 2.0])
def test_a_factor_is_found_and_taken_away(c):
    """σ c times too large: area (2/π) atan(c) - ½ before, none after."""
    found = compute_scores(part(ideal(400), c**2), part(ideal(1000), c**2))
    law = 2 / math.pi * math.atan(c) - 0.5
    assert found.alpha == pytest.approx(1 / c, rel=0.01)
    assert found.z2_before == pytest.approx(1 / c**2, rel=0.01)
    assert found.miscalibration_area_before == pytest.approx(law, abs=2e-3)
    assert found.miscalibration_area == pytest.approx(0.0, abs=2e-3)
    assert found.z2 == pytest.approx(1.0, abs=0.01)
    inside = 2 * norm.cdf(c * norm.ppf(0.975)) - 1
    assert found.coverage_95_before == pytest.approx(inside, abs=2e-3)
    assert found.coverage_95 == pytest.approx(0.95, abs=2e-3)
    assert found.sharpness_before == pytest.approx(c)
    assert found.sharpness == pytest.approx(1.0, abs=0.01)
    # Intervals in units of σ do not see a factor.
    assert found.conformal_half_width == pytest.approx(1.645, abs=0.05)
    assert found.nll < found.nll_before
    assert found.crps < found.crps_before


def test_a_shifted_set_shows_after_calibration():
    found = compute_scores(part(ideal(400), 1.0), part(3 * ideal(100), 1.0))
    assert found.z2 == pytest.approx(9.0, rel=0.05)
    assert found.z2_low > 4
    assert found.conformal_coverage == pytest.approx(2 * norm.cdf(1.645 / 3) - 1, abs=0.02)
    assert found.conformal_coverage < found.conformal_coverage_low


def test_intervals_narrow_where_sigma_tells():
    s = torch.tensor([0.1, 1.0], dtype=torch.float64).repeat(200)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    e = s * torch.as_tensor(ideal(400))[order]
    found = compute_scores(part(e, s**2), part(e, s**2))
    assert found.conformal_half_width < 0.75 * found.unnormalized_half_width
    assert found.spearman > 0.5
    assert found.dispersion == pytest.approx(0.9 / 1.1, rel=0.01)


def test_the_interval_of_z2_holds_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(50):
        one, two = torch.randn(2, 100, dtype=torch.float64, generator=generator)
        found = compute_scores(part(one, 1.0), part(two, 1.0))
        held += found.z2_low < 1 < found.z2_high
    assert 43 <= held <= 50


def test_components_of_one_structure_are_not_independent():
    """All 30 components err alike: the interval is that of 20 structures."""
    e = torch.as_tensor(ideal(20))[torch.randperm(20)]
    alone = compute_scores(part(e, 1.0), part(e, 1.0))
    owner = torch.arange(20).repeat_interleave(30)
    alike = part(e.repeat_interleave(30), 1.0, owner)
    many = compute_scores(alike, alike)
    assert (many.n_structures, many.n_points) == (20, 600)
    assert many.z2_high - many.z2_low == pytest.approx(alone.z2_high - alone.z2_low, rel=0.05)
    assert many.conformal_coverage == alone.conformal_coverage
    assert many.conformal_half_width == pytest.approx(alone.conformal_half_width)


def test_a_structure_counts_once_however_many_atoms_it_has():
    """Of a large structure with large errors and 19 small ones, one is outside."""
    sizes = torch.tensor([1] * 19 + [100])
    owner = torch.arange(20).repeat_interleave(sizes)
    calm = part(torch.ones(20), 1.0)
    error = torch.where(owner == 19, 10.0, 0.5)
    found = compute_scores(calm, part(error, 1.0, owner))
    assert found.conformal_coverage == pytest.approx(0.95)


def test_band_is_beta_binomial():
    low, high = conformal_coverage_band(100, 10**4)
    law = beta(91, 10)
    assert low == pytest.approx(law.ppf(0.025), abs=4e-3)
    assert high == pytest.approx(law.ppf(0.975), abs=4e-3)
    few = conformal_coverage_band(100, 30)
    assert few[0] < low
    assert few[1] > high
    assert conformal_coverage_band(8, 100) == (1.0, 1.0)


def test_small_sets_have_fewer_bins():
    found = compute_scores(part(ideal(40), 1.0), part(ideal(25), 1.0))
    assert found.n_bins == 2


def test_definitions_of_tran():
    """Two points with errors of one and zero σ: every number by hand."""
    held = Residuals(torch.tensor([2.0, 0.0]).double(), torch.tensor([4.0, 1.0]).double())
    assert sharpness(held) == pytest.approx(math.sqrt(2.5))
    summed = 0.5 * (1 + math.log(4)) + math.log(2 * math.pi)
    assert 2 * nll(held) == pytest.approx(summed)
    p = torch.linspace(0, 1, 100, dtype=torch.float64)
    share = calibration_curve(held, p, definition="quantile")
    by_hand = ((p >= norm.cdf(1)).double() + (p >= 0.5).double()) / 2
    assert torch.equal(share, by_hand)
    area = miscalibration_area(held, definition="quantile", n_levels=100)
    gap = (by_hand - p).abs()
    trapezium = float((gap[1:] + gap[:-1]).sum() / 2 / 99)
    assert area.area == pytest.approx(trapezium, abs=5e-3)  # but where the sign turns

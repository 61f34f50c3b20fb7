import math

import pytest
import torch

from bostruct.acquisition import LowerConfidenceBound
from bostruct.campaign.analysis.calibration import OnlineCalibration, online_calibration
from bostruct.campaign.analysis.recalibration import (
    DISCOUNT,
    MAX_DEVIATION,
    MAX_SHIFT,
    NO_RECALIBRATION,
    PRIOR_WEIGHT,
    Recalibration,
)
from bostruct.campaign.planning.adaptive_kappa import KAPPA_FACTOR_RANGE
from tests.campaign.planning.test_adaptive_kappa import trials

QUANTILES = {0.5: 0.6745, 0.9: 1.645, 0.95: 1.96}


def weighted(z):
    """Shift and scale of z that are all counted in full, by sums over the sample."""
    w = torch.tensor([DISCOUNT ** (len(z) - 1 - i) for i in range(len(z))]).double()
    z, k = torch.tensor(z).double(), PRIOR_WEIGHT
    shift = (w * z).sum() / (k + w.sum())
    squares = (w * (z - shift) ** 2).sum() + k * shift**2
    variance = (k + squares) / (k + w.sum()) * (1 + 1 / (k + w.sum()))
    return float(shift), math.sqrt(float(variance))


@pytest.mark.parametrize("z", [[0.5], [2.0], [1.0, -1.0, 3.0], [0.3, 2.5, 1.0, -0.4, 1.1]])
def test_it_is_the_posterior_predictive_of_a_normal_sample(z):
    found = Recalibration.from_z_scores(z)
    assert (found.shift, found.scale) == pytest.approx(weighted(z))


def test_nothing_is_corrected_before_there_is_an_error():
    assert Recalibration.from_z_scores([]) == NO_RECALIBRATION
    assert OnlineCalibration(()).recalibration == NO_RECALIBRATION
    said = OnlineCalibration(()).predict(-3.0, 0.25)
    assert (said.stated_mean, said.stated_sigma) == (-3.0, 0.5)


def test_a_prediction_that_exploded_counts_like_a_moderate_error():
    exploded, moderate = (Recalibration.from_z_scores([z]) for z in (1e9, MAX_DEVIATION))
    assert exploded == moderate
    assert exploded.scale < 2.5
    after = Recalibration.from_z_scores([1e9, *[0.5, -0.5] * 8])
    assert after.scale < 1.2
    assert abs(after.shift) < 0.2


def test_errors_that_come_again_are_followed():
    found = [Recalibration.from_z_scores([6.0] * n) for n in range(1, 30)]
    assert [each.shift for each in found] == sorted(each.shift for each in found)
    assert abs(6.0 - found[5].shift) < found[5].scale
    better = Recalibration.from_z_scores([6.0] * 10 + [0.0] * 15)
    assert better.shift < 1
    assert better.scale < found[9].scale


def test_a_few_small_errors_do_not_make_a_search_narrower():
    found = Recalibration.from_z_scores([0.01] * 3)
    assert 0.6 < found.scale < 1
    assert found.widened_scale == 1
    assert Recalibration(1.0, 2.0).widened_scale == 2


def test_a_search_never_prefers_a_structure_for_being_certain():
    """Not even with the least weight of σ, after any errors."""
    least = LowerConfidenceBound().scaled(KAPPA_FACTOR_RANGE[0]).kappa
    assert least > MAX_SHIFT
    for z in ([9.0] * 9, [1e9], [-5.0] * 4, [0.1] * 20, [2.0, -8.0, 30.0]):
        found = Recalibration.from_z_scores(z)
        assert abs(found.limited_shift) <= MAX_SHIFT * found.widened_scale
        assert least * found.widened_scale > found.limited_shift
    assert Recalibration(0.2, 1.0).limited_shift == 0.2
    assert Recalibration(-7.0, 2.0).limited_shift == -2 * MAX_SHIFT


def test_little_is_certain_after_few_errors():
    """Intervals of Student's t, which those of a normal variable approach."""
    widths = [Recalibration.from_z_scores([1.0, -1.0] * n).half_width(0.95) for n in (0, 1, 5, 100)]
    assert widths == pytest.approx([4.303, 3.023, 2.311, 2.179], abs=0.3)
    assert widths == sorted(widths, reverse=True)
    assert Recalibration().half_width(0.9) == pytest.approx(2.920, abs=1e-3)


def test_both_signs_and_any_unit_of_energy_are_alike():
    z = [0.4, 3.0, -1.0, 7.0]
    one, other = Recalibration.from_z_scores(z), Recalibration.from_z_scores([-x for x in z])
    assert (one.shift, one.scale) == (-other.shift, other.scale)
    rows = [(-1.0, -1.4, 0.1), (2.0, 1.0, 0.5), (0.5, 0.6, 0.2)]
    small, large = (
        online_calibration(trials((3.0 * c,), *[tuple(c * x for x in row) for row in rows]))
        for c in (1e-3, 1e3)
    )
    assert small.recalibration.shift == pytest.approx(large.recalibration.shift)
    assert small.recalibration.scale == pytest.approx(large.recalibration.scale)
    said, again = small.predict(-1e-3, 1e-8), large.predict(-1e3, 1e4)
    assert 1e6 * said.stated_mean == pytest.approx(again.stated_mean)
    assert 1e6 * said.stated_sigma == pytest.approx(again.stated_sigma)


def test_what_is_logged_is_read_again():
    found = Recalibration(0.7, 1.9)
    for outcome in ("", "modulus"):
        logged = found.logged_values(outcome)
        assert Recalibration.from_logged(logged, outcome) == found
        assert Recalibration.from_logged({"calibration_factor": 2.0}, outcome) == NO_RECALIBRATION
    assert Recalibration.from_logged(found.logged_values("modulus"), "price") == NO_RECALIBRATION


def walk(claim, seed, n=40, kappa=1.0):
    """Return z of a search whose σ is right times `claim`: a known prior on a grid of 200."""
    x = torch.linspace(0, 12, 200, dtype=torch.float64)
    K = torch.exp(-((x.unsqueeze(1) - x) ** 2) / (2 * 0.3**2))
    K = K + 1e-6 * torch.eye(200)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(200, generator=generator, dtype=torch.float64)
    f = torch.linalg.cholesky(K) @ noise
    known, z = torch.randperm(200, generator=generator)[:3].tolist(), []
    while len(z) < n:
        solved = torch.linalg.solve(K[known][:, known], K[known])
        mean = solved.T @ f[known]
        std = (1 - (K[known] * solved).sum(0)).clamp(min=1e-4).sqrt() * claim
        value = mean - kappa * std / claim
        value[known] = math.inf
        row = int(value.argmin())
        z.append(float((f[row] - mean[row]) / std[row]))
        known.append(row)
    return z


@pytest.mark.parametrize("claim", [0.25, 0.5, 1.0])
def test_a_wrong_scale_is_corrected_for_what_a_search_selects(claim):
    """Draws from a known prior: σ is claimed a quarter or half of what it is, or right."""
    stated = []
    for seed in range(12):
        z = walk(claim, seed)
        for i in range(8, len(z)):
            found = Recalibration.from_z_scores(z[:i])
            stated.append((z[i] - found.shift) / found.scale)
    errors = torch.tensor(stated).abs()
    for share, width in QUANTILES.items():
        assert float((errors <= width).double().mean()) == pytest.approx(share, abs=0.1)
    raw = torch.tensor([z for seed in range(12) for z in walk(claim, seed)[8:]]).abs()
    if claim != 1:
        assert float((raw <= QUANTILES[0.9]).double().mean()) < 0.8


def test_energies_above_their_predictions_are_stated_higher():
    """A search by means that err: the chosen come out higher, what is stated does not."""
    generator = torch.Generator().manual_seed(0)
    z = []
    for _ in range(60):  # the lowest of twenty means with errors of 2 σ, truths of 1 σ
        truth = torch.randn(20, generator=generator, dtype=torch.float64)
        mean = truth + 2 * torch.randn(20, generator=generator, dtype=torch.float64)
        best = int(mean.argmin())
        z.append(float(truth[best] - mean[best]))
    stated = []
    for i in range(10, 60):
        found = Recalibration.from_z_scores(z[:i])
        stated.append((z[i] - found.shift) / found.scale)
    assert sum(z) / len(z) > 2
    assert abs(sum(stated) / len(stated)) < 0.6

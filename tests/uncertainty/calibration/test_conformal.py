import math

import numpy as np
import pytest
import torch
from scipy import stats

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty.calibration.conformal import (
    ConformalPredictor,
    MondrianConformalPredictor,
    conformal_coverage,
    conformal_rank,
    indices_by_label,
    quantile_regression_scores,
)
from bostruct.uncertainty.calibration.residuals import Residuals


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


def residuals(error, s2=None):
    return Residuals(error, torch.ones_like(error) if s2 is None else s2)


def test_the_rank_is_exact():
    """19 points are enough for 95 %, 18 are not."""
    assert conformal_rank(19, 0.05) == 19
    assert conformal_rank(18, 0.05) == 19
    assert conformal_rank(9, 0.1) == 9
    for digits in range(1, 7):
        n, eps = 10**digits - 1, 10**-digits
        assert conformal_rank(n, eps) == n, eps
    # 3 * (1 - 1/3) is above 2 and 10 * (1 - 0.7) below 3 by rounding alone.
    assert conformal_rank(2, 1 / 3) == 2
    assert conformal_rank(9, 0.7) == 3
    assert conformal_rank(999_999, 0.05) == 950_000


def test_where_nothing_finite_is_right_the_interval_is_infinite():
    error = torch.arange(1.0, 20.0).double()
    enough, short = (ConformalPredictor.from_residuals(residuals(e)) for e in (error, error[:18]))
    assert enough.quantile(0.05) == 19.0
    assert short.quantile(0.05) == math.inf
    low, high = short.interval([1.0, 2.0], eps=0.05)
    assert low.tolist() == [-math.inf] * 2
    assert high.tolist() == [math.inf] * 2


@pytest.mark.parametrize(("n", "eps"), [(19, 0.05), (9, 0.3), (25, 0.1)])
def test_coverage_follows_its_law(n, eps):
    """Beta(k, n + 1 - k): Kolmogorov-Smirnov on 2000 sets, false alarm 0.1 %."""
    k = conformal_rank(n, eps)
    q = [ConformalPredictor.from_residuals(residuals(row)).quantile(eps) for row in normal(2000, n)]
    found = torch.erf(torch.tensor(q).double() / math.sqrt(2)).numpy()
    assert stats.kstest(found, stats.beta(k, n + 1 - k).cdf).pvalue > 1e-3
    mean, low, high = conformal_coverage(n, eps, 0.9)
    assert mean == pytest.approx(k / (n + 1))
    assert found.mean() == pytest.approx(mean, abs=0.01)
    assert np.mean((low <= found) & (found <= high)) == pytest.approx(0.9, abs=0.03)
    assert 1 - eps <= mean + 1e-12 <= 1 - eps + 1 / (n + 1)


def test_the_plain_quantile_would_cover_too_little():
    """numpy's 95 % quantile of 19 scores covers 91 %, ours 95 %."""
    scores = normal(4000, 19).abs()
    plain = np.quantile(scores.numpy(), 0.95, axis=1)
    ours = scores.sort(-1).values[:, conformal_rank(19, 0.05) - 1]
    covered = stats.norm.cdf(plain) - stats.norm.cdf(-plain)
    assert covered.mean() == pytest.approx(0.91, abs=0.005)
    mean = torch.erf(ours / math.sqrt(2)).mean()
    assert float(mean) == pytest.approx(0.95, abs=0.004)
    assert conformal_coverage(18, 0.05) == (1.0, 1.0, 1.0)


def test_smaller_eps_is_never_narrower():
    found = ConformalPredictor.from_residuals(residuals(normal(60)))
    grouped = ConformalPredictor.from_residuals(
        residuals(normal(60)), structure_ids=torch.arange(60) // 4
    )
    for conformal in (found, grouped):
        q = [conformal.quantile(eps) for eps in np.linspace(0.01, 0.99, 99)]
        assert q == sorted(q, reverse=True)


def test_normalised_intervals_need_no_calibration():
    e, s2 = normal(100), normal(100, seed=1).exp()
    plain = ConformalPredictor.from_residuals(Residuals(e, s2), normalized=True)
    scaled = ConformalPredictor.from_residuals(Residuals(e, 9 * s2), normalized=True)
    one = plain.interval([0.0, 1.0], [1.0, 4.0])
    other = scaled.interval([0.0, 1.0], [9.0, 36.0])
    torch.testing.assert_close(one, other)
    width = one[1] - one[0]
    assert float(width[1]) == pytest.approx(2 * float(width[0]))


def test_a_poor_s_makes_normalised_intervals_wider():
    e, s2 = normal(2000), (2 * normal(2000, seed=1)).exp()
    held = Residuals(e, s2)
    low, high = ConformalPredictor.from_residuals(held, normalized=True).interval(0 * e, s2)
    plain = 2 * ConformalPredictor.from_residuals(held).quantile(0.1)
    assert float((high - low).mean()) > 1.5 * plain


def test_structures_of_one_atom_are_plain_points():
    held = residuals(normal(19))
    one = ConformalPredictor.from_residuals(held, structure_ids=torch.arange(19))
    for eps in (0.04, 0.05, 0.1, 0.33, 0.5):
        assert one.quantile(eps) == ConformalPredictor.from_residuals(held).quantile(eps)


def forces(structures, seed):
    """Errors of 1 to 10 atoms; structures differ, and small ones err more."""
    atoms = torch.randint(1, 11, (structures,), generator=stream(seed + 1))
    size = normal(structures, seed=seed).exp() / atoms
    place = torch.repeat_interleave(torch.arange(structures), atoms)
    return size[place] * normal(len(place), seed=seed + 2), place


def test_atoms_are_weighed_by_structure():
    """An atom of a new structure is missed 7 % of times, 10 % were allowed.

    With atoms for units 17 % are missed; 400 sets of 19 structures.
    """
    right, naive = [], []
    error, place = forces(20_000, 100)
    count = torch.bincount(place)
    share = 1.0 / count[place] / len(count)
    for i in range(400):
        e, where = forces(19, 1000 + 3 * i)
        held = residuals(e)
        q = ConformalPredictor.from_residuals(held, structure_ids=where).quantile(0.1)
        right.append(float(share[error.abs() > q].sum()))
        naive.append(
            float(share[error.abs() > ConformalPredictor.from_residuals(held).quantile(0.1)].sum())
        )
    assert np.mean(right) <= 0.1 + 4 * np.std(right) / 20
    assert np.mean(right) > 0.06
    assert np.mean(naive) > 0.14


def test_all_atoms_at_once():
    """The worst atom of a new structure is exchangeable: exactly k / (n + 1)."""
    found = []
    error, place = forces(20_000, 100)
    worst = torch.zeros(20_000).double().scatter_reduce(0, place, error.abs(), "amax")
    for i in range(400):
        e, where = forces(19, 1000 + 3 * i)
        conformal = ConformalPredictor.from_residuals(
            residuals(e), structure_ids=where, simultaneous=True
        )
        found.append(float((worst <= conformal.quantile(0.1)).double().mean()))
    assert np.mean(found) == pytest.approx(18 / 20, abs=4 * np.std(found) / 20)


def test_groups_have_widths_of_their_own():
    e = torch.cat([normal(200), 10 * normal(200, seed=1)])
    labels = ["Cu"] * 200 + ["Zn"] * 200
    grouped = MondrianConformalPredictor.from_residuals(residuals(e), labels)
    low, high = grouped.interval([0.0, 0.0, 0.0], ["Zn", "Cu", "Ag"])
    assert float(high[1]) == ConformalPredictor.from_residuals(residuals(e[:200])).quantile(0.1)
    assert float(high[0]) == ConformalPredictor.from_residuals(residuals(e[200:])).quantile(0.1)
    assert float(high[0]) > 5 * float(high[1])
    assert (float(low[2]), float(high[2])) == (-math.inf, math.inf)


def test_groups_are_normalised_too():
    e, s2 = normal(60), normal(60, seed=1).exp()
    held = Residuals(e, s2)
    labels = torch.arange(60) % 2
    grouped = MondrianConformalPredictor.from_residuals(held, labels, normalized=True)
    even = ConformalPredictor.from_residuals(held.subset(torch.arange(0, 60, 2)), normalized=True)
    found = grouped.interval([1.0, 2.0], [0, 0], [4.0, 9.0])
    torch.testing.assert_close(found, even.interval([1.0, 2.0], [4.0, 9.0]))


def test_quantiles_are_made_conformal():
    y = 3 * normal(500)
    low, high = torch.full((500,), -1.0), torch.full((500,), 1.0)
    conformal = ConformalPredictor.from_scores(quantile_regression_scores(y, low, high))
    q = conformal.quantile(0.1)
    inside = ((y >= -1 - q) & (y <= 1 + q)).double().mean()
    assert float(inside) == pytest.approx(0.9, abs=0.005)
    wide = quantile_regression_scores(y, 100 * low, 100 * high)
    assert ConformalPredictor.from_scores(wide).quantile(0.1) < 0


def test_it_is_stored():
    held = residuals(normal(30))
    found = ConformalPredictor.from_residuals(held, structure_ids=torch.arange(30) // 3)
    again = ConformalPredictor.from_json(found.to_json())
    assert again.quantile(0.2) == found.quantile(0.2)
    assert again.residuals_hash == held.hash
    with pytest.raises(InputError, match="`text` must be a stored ConformalPredictor"):
        ConformalPredictor.from_json('{"type": "MonotonicCalibration"}')


def test_labels_of_any_kind():
    for labels in (["a", "b", "a"], np.array(["a", "b", "a"])):
        assert indices_by_label(labels, 3)["a"].tolist() == [0, 2]
    assert indices_by_label(torch.tensor([4, 5, 4]), 3)[4].tolist() == [0, 2]


def test_refusals():
    held, batches = residuals(normal(10)), residuals(normal(2, 10))
    with pytest.raises(InputError, match="`eps` must be between 0 and 1, got 90"):
        conformal_rank(10, 90)
    with pytest.raises(InputError, match="`n` must be an integer of at least 1"):
        conformal_rank(0, 0.1)
    with pytest.raises(InputError, match="`confidence` must be between 0 and 1"):
        conformal_coverage(10, 0.1, 1.0)
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        ConformalPredictor.from_residuals(batches)
    with pytest.raises(ShapeError, match=r"`residuals` must have shape \[n\]"):
        MondrianConformalPredictor.from_residuals(batches, ["a"] * 10)
    with pytest.raises(ShapeError, match=r"`structure_ids` must have shape \[10\]"):
        ConformalPredictor.from_residuals(held, structure_ids=[1, 2])
    with pytest.raises(InputError, match="`structure_ids` must be integers"):
        ConformalPredictor.from_residuals(held, structure_ids=torch.arange(10) / 2)
    with pytest.raises(InputError, match="`simultaneous` must come with `structure_ids`"):
        ConformalPredictor.from_residuals(held, simultaneous=True)
    with pytest.raises(ShapeError, match=r"`scores` must have shape \[n\]"):
        ConformalPredictor.from_scores([])
    with pytest.raises(InputError, match="`variance` must be given for normalised"):
        ConformalPredictor.from_residuals(held, normalized=True).interval([0.0])
    with pytest.raises(InputError, match="`variance` must be given for normalised"):
        ConformalPredictor.from_residuals(held).interval([0.0], [1.0])
    with pytest.raises(ShapeError, match=r"`variance` must have shape .* that of the means"):
        ConformalPredictor.from_residuals(held, normalized=True).interval([0.0], [1.0, 1.0])
    with pytest.raises(ShapeError, match=r"`labels` must have one label for each of 10"):
        MondrianConformalPredictor.from_residuals(held, ["a"])
    grouped = MondrianConformalPredictor.from_residuals(held, ["a"] * 10)
    with pytest.raises(ShapeError, match=r"`mean` must have shape \[b\]"):
        grouped.interval(0.0, ["a"])
    with pytest.raises(ShapeError, match=r"`lower` must have shape .* that of the truth"):
        quantile_regression_scores([0.0], [0.0, 1.0], [1.0])

import pytest
import torch
from scipy import stats

from bostruct.errors import InputError
from bostruct.spaces.alloys.bounded_simplex import (
    project_bounded_simplex,
    sample_bounded_simplex,
)
from bostruct.testing import seeded_generator

BOUNDS = {
    "all": ([0.0] * 4, [1.0] * 4),
    "low": ([0.1, 0.0, 0.3, 0.0], [1.0] * 4),
    "tight": ([0.05] * 4, [0.4, 0.35, 0.3, 0.35]),
    "uneven": ([0.0] * 4, [0.9, 0.02, 0.5, 0.1]),
}


def by_rejection(low, high, n):
    """Return uniform points of the simplex within bounds: the slow way."""
    drawn = torch.rand(400 * n, len(low), generator=seeded_generator(7), dtype=torch.float64)
    last = low[:-1] + (high - low)[:-1] * drawn[:, :-1]
    X = torch.cat([last, 1 - last.sum(-1, keepdim=True)], -1)
    return X[((low <= X) & (high >= X)).all(-1)][:n]


@pytest.mark.parametrize("name", BOUNDS)
def test_agrees_with_rejection(name):
    """Each fraction and their products: 24 tests, at 10⁻⁶ each."""
    low, high = (torch.tensor(row, dtype=torch.float64) for row in BOUNDS[name])
    X = sample_bounded_simplex(low, high, 2000, seeded_generator(0))
    Y = by_rejection(low, high, 2000)
    torch.testing.assert_close(X.sum(-1), torch.ones(2000, dtype=torch.float64))
    assert (low - 1e-9 <= X).all()
    assert (high + 1e-9 >= X).all()
    assert len(Y) > 200
    for i in range(4):
        assert stats.ks_2samp(X[:, i], Y[:, i]).pvalue > 1e-6
    for i, j in ((0, 1), (1, 2)):
        assert stats.ks_2samp(X[:, i] * X[:, j], Y[:, i] * Y[:, j]).pvalue > 1e-6


def test_the_simplex_is_dirichlet():
    """The first fraction of k is Beta(1, k - 1); at 10⁻⁶."""
    k = 10
    zeros, ones = torch.zeros(k).double(), torch.ones(k).double()
    X = sample_bounded_simplex(zeros, ones, 3000, seeded_generator(0))
    for i in (0, 5, 9):
        assert stats.kstest(X[:, i], stats.beta(1, k - 1).cdf).pvalue > 1e-6


def test_ten_tight_bounds():
    """Widths that all bind: the mean is at the middle of equal bounds."""
    low, high = torch.full((10,), 0.05).double(), torch.full((10,), 0.15).double()
    X = sample_bounded_simplex(low, high, 2000, seeded_generator(0))
    assert ((low - 1e-9 <= X) & (high + 1e-9 >= X)).all()
    assert (X.mean(0) - 0.1).abs().max() < 5 * 0.03 / 500**0.5


def test_fixed_fractions_stay():
    low = torch.tensor([0.25, 0.0, 0.0]).double()
    high = torch.tensor([0.25, 1.0, 0.3]).double()
    X = sample_bounded_simplex(low, high, 100, seeded_generator(0))
    assert (X[:, 0] == 0.25).all()
    assert stats.kstest(X[:, 2] / 0.3, stats.uniform().cdf).pvalue > 1e-6
    point = torch.tensor([0.4, 0.6]).double()
    torch.testing.assert_close(
        sample_bounded_simplex(point, point, 2, seeded_generator(0)), point.repeat(2, 1)
    )


def test_projects_to_the_nearest():
    low, high = (torch.tensor(row).double() for row in BOUNDS["tight"])
    X = torch.randn(40, 4, generator=seeded_generator(0), dtype=torch.float64)
    P = project_bounded_simplex(X, low, high)
    torch.testing.assert_close(P.sum(-1), torch.ones(40).double())
    assert ((low <= P) & (high >= P)).all()
    torch.testing.assert_close(project_bounded_simplex(P, low, high), P)
    # no other point makes a sharper angle: (x - p)·(y - p) ≤ 0 for all y inside
    Y = sample_bounded_simplex(low, high, 200, seeded_generator(1))
    inner = ((X - P).unsqueeze(1) * (Y - P.unsqueeze(1))).sum(-1)
    assert inner.max() < 1e-9


def test_projects_row_by_row():
    """Points inside stay, bit for bit, beside those outside, in any number of dimensions."""
    low, high = (torch.tensor(row).double() for row in BOUNDS["tight"])
    inside = sample_bounded_simplex(low, high, 6, seeded_generator(0))
    outside = torch.randn(6, 4, generator=seeded_generator(1), dtype=torch.float64)
    middle = torch.tensor([0.25, 0.2, 0.2, 0.35]).double()  # sums to 1
    shift = torch.tensor([1e-3, 0, 0, 0]).double()
    wrong_sums = torch.stack([middle + shift, middle - shift]).repeat(3, 1)  # within the bounds
    wrong_bounds = middle + torch.tensor([0.5, -0.5, 0, 0])  # of two elements, and sums to 1
    X = torch.stack([inside, outside, wrong_sums, wrong_bounds.expand(6, 4)], 1)  # [6, 4, 4]
    P = project_bounded_simplex(X, low, high)
    assert torch.equal(P[:, 0], inside)
    assert (P[:, 1:] != X[:, 1:]).any(-1).all()
    torch.testing.assert_close(P.sum(-1), torch.ones(6, 4).double())
    assert ((low <= P) & (high >= P)).all()
    for row, projected in zip(X.reshape(-1, 4), P.reshape(-1, 4), strict=True):
        assert torch.equal(project_bounded_simplex(row, low, high), projected)
    assert torch.equal(project_bounded_simplex(X.mT.contiguous().mT, low, high), P)


def test_refuses_too_many_bounds():
    low, high = torch.zeros(20).double(), torch.full((20,), 0.06).double()
    with pytest.raises(InputError, match="`bounds` must bind in fewer than 8192 sets"):
        sample_bounded_simplex(low, high, 1, seeded_generator(0))

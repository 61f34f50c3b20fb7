"""Pivoted Cholesky against its definition and linear_operator's."""

import pytest
import torch
from linear_operator.operators import DenseLinearOperator

from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp import inducing_points
from bostruct.surrogates.local_gp.dot_product_kernel import PowerKernel
from bostruct.surrogates.local_gp.inducing_points import (
    evenly_spaced,
    select_inducing_points,
)
from tests.surrogates.dense import labelled

POWER = 2
KERNEL = PowerKernel(POWER)


def random(n, f, seed=0):
    """Return n environments of unit length."""
    generator = torch.Generator().manual_seed(seed)
    P = torch.randn(n, f, dtype=torch.float64, generator=generator)
    return P / P.norm(dim=-1, keepdim=True)


def kernel(P, place, power=POWER):
    return (P @ P.T) ** power * (place.unsqueeze(-1) == place)


def taken(P, found):
    """Return the rows of P that were taken, in the order of the inducing set."""
    equal = (P.unsqueeze(0) == found.features.unsqueeze(1)).all(-1)
    assert (equal.sum(-1) >= 1).all()
    return [int(row.nonzero()[0]) for row in equal]


def pick(P, place=None, **arguments):
    place = torch.zeros(len(P), dtype=torch.int64) if place is None else place
    given = {"max_inducing": 100, "tolerance": 1e-9, "n_preferred": len(P), "max_pool": 10_000}
    return select_inducing_points(P, place, KERNEL, **(given | arguments))


def residual(P, place, found):
    """Return what the inducing set leaves unexplained, `[n, n]`."""
    same = place.unsqueeze(-1) == found.species_index
    cross = found.whiten((P @ found.features.T) ** POWER * same)
    return kernel(P, place) - cross @ cross.T


@pytest.mark.parametrize("tolerance", [0.3, 1e-3, 1e-8])
def test_everything_is_explained_up_to_the_tolerance(tolerance):
    P, place = random(60, 4), torch.arange(60) % 2
    found = pick(P, place, tolerance=tolerance)
    left = residual(P, place, found)
    assert left.diagonal().max() <= tolerance + 1e-10
    assert torch.linalg.eigvalsh(left).min() > -1e-10


def test_stops_at_the_rank_of_the_kernel():
    """Squares of three numbers span six dimensions, for each species."""
    P, place = random(200, 3), torch.arange(200) % 2
    found = pick(P, place)
    assert len(found) == 12
    assert found.species_index.tolist() == [0] * 6 + [1] * 6


def test_takes_no_more_than_asked():
    found = pick(random(50, 6), max_inducing=5)
    assert len(found) == 5
    assert len(pick(random(3, 6), max_inducing=5)) == 3


def test_factor_is_that_of_the_kernel():
    P, place = random(40, 6), (torch.arange(40) * 7) % 3
    found = pick(P, place, max_inducing=25)
    own = kernel(found.features, found.species_index)
    torch.testing.assert_close(
        found.kernel_cholesky @ found.kernel_cholesky.T, own, rtol=0, atol=1e-12
    )
    assert torch.equal(found.kernel_cholesky, found.kernel_cholesky.tril())
    assert (found.kernel_cholesky.diagonal() > 0).all()
    assert found.kernel == KERNEL


def test_takes_what_linear_operator_takes():
    """Equal environments have equal variance, so both start with the first."""
    P = random(80, 6)
    scale = torch.linspace(1.0, 0.5, 80, dtype=torch.float64).unsqueeze(-1)
    P = P * scale  # no ties
    place = torch.zeros(80, dtype=torch.int64)
    found = pick(P, max_inducing=12)
    operator = DenseLinearOperator(kernel(P, place))
    _, pivots = operator.pivoted_cholesky(12, error_tol=1e-12, return_pivots=True)
    assert taken(P, found) == pivots[:12].tolist()


def test_each_is_the_least_explained():
    P, place = random(40, 5), torch.zeros(40, dtype=torch.int64)
    rows = taken(P, pick(P, max_inducing=8))
    for k in range(1, 8):
        head = pick(P[rows[:k]], max_inducing=k)
        left = residual(P, place, head).diagonal()
        assert float(left[rows[k]]) == pytest.approx(float(left.max()), abs=1e-12)


def test_copies_are_never_taken_twice():
    P = random(10, 8)
    noisy = P + 1e-9 * random(10, 8, seed=1)  # 1e-18 of the variance is left
    many = torch.cat((P, P, noisy, P))
    found = pick(many)
    assert len(found) == 10
    rows = taken(many, found)
    assert sorted(row % 10 for row in rows) == list(range(10))


def test_the_preferred_ones_come_first():
    """The best of the first ten, then the rest; even if others are worse explained."""
    P = random(60, 6)
    place = torch.zeros(60, dtype=torch.int64)
    rows = taken(P, pick(P, n_preferred=10, max_inducing=15))
    assert sorted(rows[:10]) == list(range(10))
    assert all(row >= 10 for row in rows[10:])
    free = taken(P, pick(P, n_preferred=60, max_inducing=15))
    assert sorted(free) != sorted(rows)
    assert residual(P, place, pick(P, n_preferred=10)).diagonal().max() < 1e-8


def test_large_pools_are_thinned_evenly():
    P = random(1000, 8)
    found = taken(P, pick(P, max_pool=50, max_inducing=50))
    assert len(found) > 30  # squares of eight numbers span 36 dimensions
    assert all(row % 20 == 0 for row in found)
    few = taken(P, pick(P, max_pool=50, max_inducing=10, n_preferred=200))
    assert all(row < 200 for row in few)


def test_rows_are_thinned_evenly():
    assert evenly_spaced(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(0, 4).tolist() == []


def test_zero_tolerance_ends_with_everything():
    P = random(5, 8)
    found = pick(torch.cat((P, P)), tolerance=0.0)
    assert 5 <= len(found) <= 10
    assert found.kernel_cholesky.isfinite().all()


def test_unlike_species_are_not_explained_by_each_other():
    P = random(1, 6).repeat(2, 1)
    assert len(pick(P, torch.tensor([0, 1]))) == 2
    assert len(pick(P, torch.tensor([1, 1]))) == 1


def greedy(P, place, count):
    """Return the rows of the greedy choice, one after the other."""
    K = kernel(P, place)
    rows = []
    for _ in range(count):
        left = K.diagonal().clone()
        left[rows] = 0
        rows.append(int(left.argmax()))
        K = K - torch.outer(K[rows[-1]], K[rows[-1]]) / K[rows[-1], rows[-1]]
    return rows


@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_blocks_take_what_one_after_the_other_takes(monkeypatch, block, share):
    """However many are watched, and however late the others learn of it."""
    monkeypatch.setattr(inducing_points, "BLOCK_ROWS", block)
    monkeypatch.setattr(inducing_points, "CANDIDATE_FRACTION", share)
    P = random(400, 9) * torch.logspace(0, -1.5, 9, dtype=torch.float64)
    P = P / P.norm(dim=-1, keepdim=True)
    P = P * torch.linspace(1.0, 0.9, 400, dtype=torch.float64).unsqueeze(-1)  # no ties
    place = torch.arange(400) % 2
    expected = greedy(P, place, 50)
    found = pick(P, place, max_inducing=50, tolerance=1e-12)
    assert taken(P, found) == sorted(expected, key=lambda row: int(place[row]))
    own = kernel(found.features, found.species_index)
    torch.testing.assert_close(
        found.kernel_cholesky @ found.kernel_cholesky.T, own, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("cutoff", [None, 4.0])
def test_single_precision_takes_no_rounding_errors_for_variances(cutoff):
    space = Cluster("Cu6")
    X = [space.sample(1, torch.Generator().manual_seed(seed)) for seed in range(7)]
    double = labelled(torch.cat(X), space, shake=0.0)
    surrogate = LocalGP(cutoff=cutoff)
    model, single = (surrogate.fit(s, space) for s in (double, double.to(dtype=torch.float32)))
    assert single.state()["inducing_features"].dtype == torch.float32
    mean = single.predict(double.to(dtype=torch.float32)).mean
    torch.testing.assert_close(mean.double(), model.predict(double).mean, rtol=0, atol=0.01)

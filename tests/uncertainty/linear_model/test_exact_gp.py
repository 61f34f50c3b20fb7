import math

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import BayesianLinearModel, ExactGP
from bostruct.uncertainty.linear_model.exact_gp import check_kernel


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def gaussian(x, y):
    return torch.exp(-0.5 * torch.cdist(x, y).square())


X, Y, NEW = normal(30, 2), normal(30, seed=1), normal(9, 2, seed=2)
ONES = torch.ones(9).double()


@pytest.mark.parametrize("features", [5, 80])
def test_function_space_is_weight_space(features):
    """[V1]: (8) is (7) for tall and for broad F."""
    f, new, z2, a2 = normal(30, features), normal(9, features, seed=3), 0.3, 2.0
    gp = ExactGP.fit(f @ f.T, Y, ridge=z2, alpha2=a2)
    metric = BayesianLinearModel.fit(f, Y, ridge=z2, alpha2=a2)
    cross, diagonal = new @ f.T, new.square().sum(1)
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(gp.mean(cross), metric.mean(new), **close)
    for kind in ("latent", "observed"):
        found = gp.variance(cross, diagonal, variance_kind=kind)
        torch.testing.assert_close(found, metric.variance(new, variance_kind=kind), **close)


def test_all_of_it_is_calibrated_not_the_noise_alone():
    """Erratum E9: a2 inside the inverse alone is another model."""
    gp = ExactGP.fit(gaussian(X, X), Y, ridge=0.1, alpha2=2.0)
    cross = gaussian(NEW, X)
    before, after = gp.variance(cross, ONES), gp.calibrated(6.0).variance(cross, ONES)
    torch.testing.assert_close(after, 3 * before)
    other = ExactGP.fit(gaussian(X, X), Y, ridge=0.3, alpha2=6.0)
    assert not torch.allclose(other.variance(cross, ONES), after, rtol=1e-2)
    assert torch.equal(gp.calibrated(6.0).mean(cross), gp.mean(cross))


def test_a_prior_variance_inside_the_kernel_goes_with_the_noise_as_ridge():
    prior, noise = 20.0, 2.0
    one = ExactGP.fit(gaussian(X, X), Y, ridge=noise / prior, alpha2=noise)
    k = prior * gaussian(X, X)
    other = ExactGP.fit(k, Y, ridge=noise, alpha2=noise)
    cross = gaussian(NEW, X)
    found = other.variance(prior * cross, prior * ONES)
    torch.testing.assert_close(found, one.variance(cross, ONES))
    torch.testing.assert_close(other.mean(prior * cross), one.mean(cross))


def test_far_away_the_prior_and_at_the_data_less_than_the_noise():
    gp = ExactGP.fit(gaussian(X, X), Y, ridge=0.02, alpha2=0.5)
    far = gp.variance(gaussian(NEW + 100, X), ONES)
    torch.testing.assert_close(far, 25 * ONES)
    at = gp.variance(gaussian(X, X), torch.ones(30))
    assert float(at.max()) <= 0.5
    assert float(at.min()) >= 0


def test_more_data_are_never_less():
    cross = gaussian(NEW, X)
    last = torch.full((9,), math.inf).double()
    for n in (1, 5, 20, 30):
        gp = ExactGP.fit(gaussian(X[:n], X[:n]), Y[:n], ridge=0.02)
        found = gp.variance(cross[:, :n], ONES)
        assert bool((found <= last + 1e-9).all())
        last = found


def test_what_rounding_makes_negative_is_clamped():
    gp = ExactGP.fit(gaussian(X, X), Y, ridge=1e-9)
    prior = torch.ones(30).double()
    assert bool((gp.schur_complement(gaussian(X, X), prior) >= 0).all())
    assert float(gp.schur_complement(gaussian(X, X), prior - 1e-6).max()) == 0


def test_what_cannot_be_used_is_refused():
    k = gaussian(X, X)
    with pytest.raises(ShapeError, match=r"`kernel` must have shape \[30, 30\]"):
        check_kernel(k[:, :3])
    with pytest.raises(InputError, match="`kernel` must be symmetric"):
        check_kernel(k.triu())
    with pytest.raises(InputError, match="`kernel` must be finite"):
        check_kernel(k * math.nan)
    with pytest.raises(InputError, match="`ridge` must make H positive"):
        ExactGP.fit(-k, Y, ridge=0.1)
    with pytest.raises(InputError, match="`ridge` must be positive and finite"):
        ExactGP.fit(k, Y, ridge=0.0)
    with pytest.raises(InputError, match="`alpha2` must be positive and finite"):
        ExactGP.fit(k, Y, ridge=0.1, alpha2=-1.0)
    with pytest.raises(ShapeError, match=r"`targets` must have shape \[30\]"):
        ExactGP.fit(k, Y[:3], ridge=0.1)
    gp = ExactGP.fit(k, Y, ridge=0.1)
    with pytest.raises(InputError, match="`alpha2` must be positive and finite"):
        gp.calibrated(0.0)
    with pytest.raises(ShapeError, match="`cross` must have rows of 30 numbers"):
        gp.mean(k[:, :3])
    with pytest.raises(ShapeError, match=r"`diagonal` must have shape \[9\]"):
        gp.variance(gaussian(NEW, X), ONES[:3])
    with pytest.raises(InputError, match="`variance_kind` must be one of latent, observed"):
        gp.variance(gaussian(NEW, X), ONES, variance_kind="all")


def test_rows_are_taken_block_by_block(monkeypatch):
    gp = ExactGP.fit(gaussian(X, X), Y, ridge=0.1)
    whole = gp.schur_complement(gaussian(NEW, X), ONES)
    monkeypatch.setattr("bostruct.uncertainty.linear_model.exact_gp.rows_per_block", lambda _: 4)
    parts = gp.schur_complement(gaussian(NEW, X), ONES)
    torch.testing.assert_close(parts, whole)
    monkeypatch.setattr("bostruct.uncertainty.linear_model.exact_gp.free_bytes", lambda _: 100)
    with pytest.raises(InputError, match=r"`cross` must need at most.*Ask about fewer"):
        gp.variance(gaussian(NEW, X), ONES)
    with pytest.raises(InputError, match="`kernel` must need at most the"):
        check_kernel(gaussian(X, X))

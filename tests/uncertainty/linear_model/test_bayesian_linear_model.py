"""Against dense formulas of three lines, identities, and scikit-learn and scipy."""

import math
from dataclasses import FrozenInstanceError

import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.linear_model import BayesianRidge
from sklearn.preprocessing import KernelCenterer

from bostruct.errors import InputError, NotFittedError, ShapeError
from bostruct.uncertainty import BayesianLinearModel
from bostruct.uncertainty.linear_model.fingerprint import hash_tensors

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64 through one factorisation


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


F = normal(40, 6) + 0.5
Y = normal(40, seed=1)
NEW = normal(9, 6, seed=2) + 0.3
SLOPES = normal(12, 6, seed=3)
PULLS = normal(12, seed=4)
EYE = torch.eye(6, dtype=torch.float64)


def dense(rows, new, ridge, weights=None):
    w = torch.ones(len(rows)).double() if weights is None else weights
    h = rows.T @ (w[:, None] * rows) + ridge * torch.eye(rows.shape[1]).double()
    return new @ torch.linalg.inv(h) @ new.T


# U1 -----------------------------------------------------------------------------------


def test_the_variance_is_the_quadratic_form():
    weights = Y.exp()
    metric = BayesianLinearModel.fit(F, ridge=0.3, alpha2=2.0, weights=weights)
    expected = 2 * dense(F, NEW, 0.3, weights)
    torch.testing.assert_close(metric.variance(NEW), expected.diagonal(), **EXACT)
    torch.testing.assert_close(metric.covariance(NEW), expected, **EXACT)
    part = metric.covariance(NEW[:4], NEW[4:])
    torch.testing.assert_close(part, expected[:4, 4:], **EXACT)


def test_a_metric_is_the_inverse_of_a_second_moment_without_its_divisor():
    """Erratum E14: cov⁻¹ is n times as large."""
    metric = BayesianLinearModel.fit(F, ridge=1e-12)
    inverse = torch.linalg.inv(F.T @ F / len(F)).numpy()
    zero = torch.zeros(6).numpy()
    expected = mahalanobis(NEW[0].numpy(), zero, inverse) ** 2 / len(F)
    assert float(metric.leverage(NEW)[0]) == pytest.approx(expected, rel=1e-9)


def test_any_change_of_basis_leaves_the_variance_alone_without_a_ridge():
    mixing = normal(6, 6, seed=5) + 2 * EYE
    before = BayesianLinearModel.fit(F, ridge=1e-12).variance(NEW)
    after = BayesianLinearModel.fit(F @ mixing.T, ridge=1e-12).variance(NEW @ mixing.T)
    torch.testing.assert_close(before, after, rtol=1e-8, atol=0)


def test_alpha2_scales_the_variance_and_all_of_it():
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, alpha2=2.0)
    other = metric.calibrated(6.0)
    torch.testing.assert_close(other.variance(NEW), 3 * metric.variance(NEW))
    torch.testing.assert_close(other.covariance(NEW), 3 * metric.covariance(NEW))
    assert torch.equal(other.mean(NEW), metric.mean(NEW))


@pytest.mark.parametrize("ridge", [1e-10, 0.5, 30.0])
def test_leverages_are_at_most_one_and_add_up_to_the_freedom(ridge):
    metric = BayesianLinearModel.fit(F, ridge=ridge)
    leverage = metric.leverage(F)
    assert float(leverage.max()) <= 1 + 1e-12
    values = torch.linalg.eigvalsh(F.T @ F)
    expected = (values / (values + ridge)).sum()
    torch.testing.assert_close(leverage.sum(), expected, **EXACT)
    torch.testing.assert_close(metric.effective_dof, expected, **EXACT)


def test_the_determinant():
    metric = BayesianLinearModel.fit(F, ridge=0.3)
    torch.testing.assert_close(metric.logdet, torch.linalg.slogdet(metric.hessian)[1])


def test_single_precision_features_are_summed_in_double():
    """[V19]: at cond(FᵀF) = 1e8 sums in single precision are wrong by 30-70 %."""
    values = torch.logspace(0, -4, 20, dtype=torch.float64)
    rotation = torch.linalg.qr(normal(20, 20)).Q
    rows = (normal(2000, 20, seed=7) * values) @ rotation
    new = (normal(50, 20, seed=8) * values) @ rotation
    exact = BayesianLinearModel.fit(rows, ridge=1e-10).variance(new)
    found = BayesianLinearModel.fit(rows.float(), ridge=1e-10).variance(new)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)


def test_leading_dimensions_are_kept_and_blocks_do_not_show(monkeypatch):
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3)
    whole = metric.variance(NEW), metric.mean(NEW)
    monkeypatch.setattr(
        "bostruct.uncertainty.linear_model.bayesian_linear_model.rows_per_block", lambda _: 2
    )
    torch.testing.assert_close(metric.variance(NEW), whole[0])
    torch.testing.assert_close(metric.mean(NEW), whole[1])
    cube = metric.variance(NEW.reshape(3, 3, 6))
    torch.testing.assert_close(cube, whole[0].reshape(3, 3))
    assert metric.variance(NEW[0]).shape == ()


def test_the_variance_has_a_slope_with_the_features():
    """Its slope is 2 a2 H⁻¹ f, by which a simulation is biased to the unknown."""
    metric = BayesianLinearModel.fit(F, ridge=0.3, alpha2=2.0)
    new = NEW.clone().requires_grad_()
    (slope,) = torch.autograd.grad(metric.variance(new).sum(), new)
    expected = 4 * NEW @ torch.linalg.inv(metric.hessian)
    torch.testing.assert_close(slope, expected, **EXACT)


# U2 -----------------------------------------------------------------------------------


def test_equals_bayesian_ridge_regression():
    oracle = BayesianRidge(fit_intercept=False).fit(F.numpy(), Y.numpy())
    mean, std = oracle.predict(NEW.numpy(), return_std=True)
    metric = BayesianLinearModel.fit(
        F, Y, ridge=oracle.lambda_ / oracle.alpha_, alpha2=1 / oracle.alpha_
    )
    torch.testing.assert_close(metric.mean(NEW), torch.from_numpy(mean), **EXACT)
    found = metric.variance(NEW, variance_kind="observed")
    torch.testing.assert_close(found, torch.from_numpy(std) ** 2, **EXACT)
    latent = torch.from_numpy(std) ** 2 - 1 / oracle.alpha_
    torch.testing.assert_close(metric.variance(NEW), latent, **EXACT)


def test_a_label_scatters_by_its_noise():
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, alpha2=2.0)
    latent = metric.variance(NEW)
    torch.testing.assert_close(metric.variance(NEW, variance_kind="observed"), latent + 2)
    found = metric.variance(NEW, variance_kind="observed", noise_variance=0.5)
    torch.testing.assert_close(found, latent + 0.5)
    prediction = metric.predict(NEW, covariance=True)
    torch.testing.assert_close(prediction.variance, latent)
    torch.testing.assert_close(prediction.predictive_variance, latent + 2)
    torch.testing.assert_close(prediction.covariance.diagonal(), latent)
    assert prediction.noise_variance.shape == (9,)


# U5 -----------------------------------------------------------------------------------


def with_intercept(rows, y, new, ridge):
    """Ridge regression with a column of ones that is not penalised, densely."""
    x = torch.cat([rows, torch.ones(len(rows), 1).double()], 1)
    z = torch.cat([new, torch.ones(len(new), 1).double()], 1)
    penalty = ridge * torch.eye(x.shape[1]).double()
    penalty[-1, -1] = 0
    inverse = torch.linalg.inv(x.T @ x + penalty)
    return z @ inverse @ x.T @ y, (z @ inverse * z).sum(1)


def test_centred_features_lack_one_over_n_of_an_intercept():
    """[V10], erratum E20."""
    mean, quadratic = with_intercept(F, Y, NEW, 0.3)
    centred = BayesianLinearModel.fit(F, Y, ridge=0.3, offset="centred")
    full = BayesianLinearModel.fit(F, Y, ridge=0.3, offset="intercept")
    torch.testing.assert_close(full.leverage(NEW), quadratic, **EXACT)
    torch.testing.assert_close(centred.leverage(NEW) + 1 / 40, quadratic, **EXACT)
    for metric in (centred, full):
        torch.testing.assert_close(metric.mean(NEW), mean, **EXACT)
    at_the_mean = F.mean(0)
    assert float(centred.variance(at_the_mean)) == pytest.approx(0, abs=1e-20)
    assert float(full.variance(at_the_mean)) == pytest.approx(1 / 40)
    covariance = full.covariance(NEW)
    torch.testing.assert_close(covariance.diagonal(), quadratic, **EXACT)


@pytest.mark.parametrize("offset", ["centred", "intercept"])
def test_a_shift_of_all_features_changes_nothing_once_centred(offset):
    shift = 1e3 * normal(6, seed=6)
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, offset=offset)
    moved = BayesianLinearModel.fit(F + shift, Y, ridge=0.3, offset=offset)
    expected = metric.variance(NEW)
    torch.testing.assert_close(moved.variance(NEW + shift), expected, rtol=1e-8, atol=0)


def test_without_centring_nothing_is_uncertain_at_zero():
    zero = torch.zeros(6)
    assert float(BayesianLinearModel.fit(F, ridge=0.3).variance(zero)) == 0
    assert float(BayesianLinearModel.fit(F, ridge=0.3, offset="bias").variance(zero)) > 0


def test_centring_features_is_centring_their_kernel():
    """App. C, with test rows centred by the mean of the training rows."""
    z2 = 0.3
    centrer = KernelCenterer().fit((F @ F.T).numpy())
    k = torch.from_numpy(centrer.transform((F @ F.T).numpy()))
    cross = torch.from_numpy(centrer.transform((NEW @ F.T).numpy()))
    own = (NEW - F.mean(0)).square().sum(1)
    solved = torch.linalg.solve(k + z2 * torch.eye(40).double(), cross.T)
    expected = (own - (cross * solved.T).sum(1)) / z2
    metric = BayesianLinearModel.fit(F, ridge=z2, offset="centred")
    torch.testing.assert_close(metric.variance(NEW), expected, **EXACT)


# Energies, forces and differences -----------------------------------------------------


@pytest.mark.parametrize("offset", ["none", "bias"])
def test_energies_and_forces_are_rows_of_one_regression(offset):
    energies = BayesianLinearModel.fit(F, Y, ridge=0.3, offset=offset)
    forces = BayesianLinearModel.fit(SLOPES, PULLS, ridge=0.3, row_kind="force", offset=offset)
    both = energies + forces
    ones, none = torch.ones(40, 1).double(), torch.zeros(12, 1).double()
    rows, new, pulls = torch.cat([F, SLOPES]), NEW, SLOPES
    if offset == "bias":
        rows = torch.cat([rows, torch.cat([ones, none])], 1)
        new, pulls = torch.cat([NEW, ones[:9]], 1), torch.cat([SLOPES, none], 1)
    asked = torch.cat([new, pulls])
    expected = dense(rows, asked, 0.3)
    torch.testing.assert_close(both.variance(NEW), expected.diagonal()[:9], **EXACT)
    found = both.variance(SLOPES.reshape(4, 3, 6), row_kind="force")
    torch.testing.assert_close(found.reshape(-1), expected.diagonal()[9:], **EXACT)
    mixed = both.covariance(NEW, SLOPES, other_row_kind="force")
    torch.testing.assert_close(mixed, expected[:9, 9:], **EXACT)
    inverse = torch.linalg.inv(both.hessian)
    mean = asked @ inverse @ rows.T @ torch.cat([Y, PULLS])
    prediction = both.predict(NEW, SLOPES.reshape(4, 3, 6))
    torch.testing.assert_close(prediction.mean, mean[:9], **EXACT)
    torch.testing.assert_close(prediction.forces.reshape(-1), mean[9:], **EXACT)
    assert prediction.force_variance.shape == (4, 3)
    assert torch.equal(prediction.force_noise_variance, both.alpha2.expand(4, 3))
    given = both.predict(NEW, SLOPES.reshape(4, 3, 6), force_noise_variance=0.25)
    assert given.force_noise_variance.unique().tolist() == [0.25]


def test_forces_do_not_move_the_mean_of_an_intercept():
    both = BayesianLinearModel.fit(F, Y, ridge=0.3, offset="intercept") + BayesianLinearModel.fit(
        SLOPES, PULLS, ridge=0.3, row_kind="force", offset="intercept"
    )
    x = torch.cat([torch.cat([F, SLOPES]), torch.zeros(52, 1).double()], 1)
    x[:40, -1] = 1
    penalty = 0.3 * torch.eye(7).double()
    penalty[-1, -1] = 0
    inverse = torch.linalg.inv(x.T @ x + penalty)
    new = torch.cat([NEW, torch.ones(9, 1).double()], 1)
    pull = torch.cat([SLOPES, torch.zeros(12, 1).double()], 1)
    expected = (new @ inverse * new).sum(1)
    torch.testing.assert_close(both.variance(NEW), expected, **EXACT)
    expected = (pull @ inverse * pull).sum(1)
    found = both.variance(SLOPES, row_kind="force")
    torch.testing.assert_close(found, expected, **EXACT)
    mixed = both.covariance(NEW, SLOPES, other_row_kind="force")
    torch.testing.assert_close(mixed, new @ inverse @ pull.T, **EXACT)
    mean = new @ inverse @ x.T @ torch.cat([Y, PULLS])
    torch.testing.assert_close(both.mean(NEW), mean, **EXACT)


@pytest.mark.parametrize("offset", ["none", "centred", "intercept", "bias"])
def test_a_difference_is_what_the_covariance_says(offset):
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, offset=offset)
    c = metric.covariance(NEW)
    expected = c[0, 0] + c[1, 1] - 2 * c[0, 1]
    found = metric.variance(NEW[0] - NEW[1], row_kind="difference")
    torch.testing.assert_close(found, expected, **EXACT)


def test_variances_of_atoms_do_not_add():
    """Row U22: n equal atoms have n² times the variance of one."""
    metric = BayesianLinearModel.fit(F, ridge=0.3)
    one = metric.variance(NEW[0])
    torch.testing.assert_close(metric.variance(8 * NEW[0]), 64 * one)


# U7 -----------------------------------------------------------------------------------


def test_the_last_layer_is_that_of_a_laplace_approximation():
    """Precision Fᵀ F / s2 + p I, with a column of ones for the bias."""
    noise, precision = 0.04, 2.5
    x = torch.cat([F, torch.ones(40, 1).double()], 1)
    z = torch.cat([NEW, torch.ones(9, 1).double()], 1)
    h = x.T @ x / noise + precision * torch.eye(7).double()
    expected = (z @ torch.linalg.inv(h) * z).sum(1)
    metric = BayesianLinearModel.fit(
        F, Y, ridge=precision * noise, alpha2=noise, offset="bias", fingerprint="net"
    )
    torch.testing.assert_close(metric.variance(NEW), expected, **EXACT)


def test_another_basis_of_the_last_layer_is_the_same_network():
    mixing = normal(6, 6, seed=5) + 2 * EYE
    w = normal(6, seed=9)
    before = BayesianLinearModel.fit(F, F @ w, ridge=1e-12)
    after = BayesianLinearModel.fit(F @ mixing.T, F @ w, ridge=1e-12)
    torch.testing.assert_close(after.mean(NEW @ mixing.T), before.mean(NEW), **EXACT)
    moved = after.variance(NEW @ mixing.T)
    torch.testing.assert_close(moved, before.variance(NEW), rtol=1e-8, atol=0)


def test_targets_share_features_and_each_has_its_factor():
    """A factor per target once overwrote that of the target before, elsewhere."""
    y = torch.stack([Y, 3 * Y, PULLS.sum() - Y], 1)
    alpha2 = torch.tensor([1.0, 9.0, 4.0])
    metric = BayesianLinearModel.fit(F, y, ridge=0.3, alpha2=alpha2)
    single = BayesianLinearModel.fit(F, Y, ridge=0.3)
    expected = single.variance(NEW)[:, None] * alpha2
    torch.testing.assert_close(metric.variance(NEW), expected, **EXACT)
    assert metric.covariance(NEW).shape == (9, 9, 3)
    torch.testing.assert_close(metric.mean(NEW)[:, 1], 3 * single.mean(NEW), **EXACT)
    found = metric.variance(NEW, variance_kind="observed") - expected
    torch.testing.assert_close(found, alpha2.double().expand(9, 3), **EXACT)
    with pytest.raises(InputError, match="`linear_model` must have one target"):
        metric.predict(NEW)


# The object ---------------------------------------------------------------------------


@pytest.mark.parametrize("offset", ["none", "centred", "intercept", "bias"])
def test_shards_add_up(offset):
    def fit(part):
        return BayesianLinearModel.fit(F[part], Y[part], ridge=0.3, offset=offset, fingerprint="a")

    whole = fit(slice(None))
    total = fit(slice(7)) + fit(slice(7, 11)) + fit(slice(11, 40))
    torch.testing.assert_close(total.hessian, whole.hessian, **EXACT)
    torch.testing.assert_close(total.variance(NEW), whole.variance(NEW), **EXACT)
    torch.testing.assert_close(total.mean(NEW), whole.mean(NEW), **EXACT)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"ridge": 0.4}, "have the ridge 0.3"),
        ({"fingerprint": "b"}, "have the fingerprint 'a'"),
        ({"offset": "centred"}, "have the offset 'none'"),
        ({"alpha2": 2.0}, r"have the alpha2 1\.0"),
    ],
)
def test_shards_of_different_models_are_refused(other, sentence):
    settings = {"ridge": 0.3, "fingerprint": "a"}
    metric = BayesianLinearModel.fit(F, Y, **settings)
    with pytest.raises(InputError, match=f"`other` must {sentence}"):
        metric + BayesianLinearModel.fit(F, Y, **settings | other)


@pytest.mark.parametrize("offset", ["none", "centred", "intercept", "bias"])
def test_what_was_saved_predicts_the_same(offset):
    source = hash_tensors({"weight": F})
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, alpha2=2.0, offset=offset, fingerprint=source)
    again = BayesianLinearModel.restore(metric.state(), source)
    assert torch.equal(again.variance(NEW), metric.variance(NEW))
    assert torch.equal(again.mean(NEW), metric.mean(NEW))
    assert again.fingerprint == source
    assert again.jitter == metric.jitter == 0.0


def test_a_metric_of_a_model_that_has_changed_is_refused():
    layer = torch.nn.Linear(6, 1)
    source = hash_tensors(layer.state_dict())
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, fingerprint=source)
    assert BayesianLinearModel.restore(metric.state(), source).fingerprint == source
    with torch.no_grad():
        layer.weight[0, 0] += 1e-3
    changed = hash_tensors(layer.state_dict())
    with pytest.raises(InputError, match=r"`fingerprint` must be the '.*' that the linear model"):
        BayesianLinearModel.restore(metric.state(), changed)


def test_a_state_that_lacks_something_is_refused():
    state = BayesianLinearModel.fit(F, ridge=0.3).state()
    del state["mean"]
    with pytest.raises(InputError, match=r"`state` must be that of a linear model, got no"):
        BayesianLinearModel.restore(state, "")


def test_jitter_is_recorded_and_never_silent():
    """Rounding may leave H with a negative eigenvalue; here it is put in by hand."""
    metric = BayesianLinearModel.fit(torch.eye(3), ridge=1e-12)
    metric.moments.scatter.copy_(torch.diag(torch.tensor([1.0, 1.0, -1e-9])))
    metric.moments.mean.zero_()
    assert metric.jitter == pytest.approx(1e-8 * 2 / 3)
    assert float(metric.state()["jitter"]) == metric.jitter
    assert metric.calibrated(2.0).jitter == metric.jitter


def test_a_factor_may_come_from_elsewhere_if_it_is_one():
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3)
    stacked = torch.cat([F, 0.3**0.5 * EYE])
    upper = torch.linalg.qr(stacked).R
    lower = (upper.diagonal().sign()[:, None] * upper).T
    found = metric.with_cholesky(lower)
    torch.testing.assert_close(found.variance(NEW), metric.variance(NEW), **EXACT)
    with pytest.raises(ShapeError, match=r"`hessian_cholesky` must have shape \[6, 6\]"):
        metric.with_cholesky(lower[:5])
    with pytest.raises(InputError, match="`hessian_cholesky` must be positive and finite"):
        metric.with_cholesky(-lower)
    with pytest.raises(InputError, match="`hessian_cholesky` must be a root of the model's H"):
        metric.with_cholesky(1.1 * lower)


def test_no_jitter_makes_sense_of_nonsense():
    broken = BayesianLinearModel.fit(F, ridge=0.3)
    broken.moments.scatter.neg_()
    with pytest.raises(InputError, match="`ridge` must make H positive"):
        broken.variance(NEW)


def test_a_metric_does_not_change():
    metric = BayesianLinearModel.fit(F, ridge=0.3)
    with pytest.raises(FrozenInstanceError):
        metric.ridge = 1.0


def test_memory_is_refused_before_it_is_taken(monkeypatch):
    model, huge = BayesianLinearModel.fit(F, ridge=0.3), torch.zeros(1).expand(2_000_000, 6)
    with pytest.raises(InputError, match="`features` must need at most the"):
        model.covariance(huge)
    monkeypatch.setattr(
        "bostruct.uncertainty.linear_model.bayesian_linear_model.free_bytes", lambda _: 100
    )
    with pytest.raises(InputError, match="`features` must need at most the"):
        BayesianLinearModel.fit(F, ridge=0.3)
    with pytest.raises(InputError, match=r"Ask about fewer rows at once\."):
        model.covariance(NEW)


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.nan, math.inf])
def test_a_ridge_that_is_not_positive_is_refused(ridge):
    with pytest.raises(InputError, match="`ridge` must be positive and finite"):
        BayesianLinearModel.fit(F, ridge=ridge)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"features": F[0]}, ShapeError, r"`features` must have shape \[\*, \*\]"),
        ({"features": F * math.nan}, InputError, "`features` must be finite"),
        ({"targets": Y[:3]}, ShapeError, r"`targets` must have shape \[40\]"),
        ({"targets": Y * math.inf}, InputError, "`targets` must be finite"),
        ({"weights": Y[:3].exp()}, ShapeError, r"`weights` must have shape \[40\]"),
        ({"weights": Y}, InputError, "`weights` must be positive and finite"),
        ({"alpha2": 0.0}, InputError, "`alpha2` must be positive and finite"),
        ({"alpha2": torch.ones(2)}, ShapeError, "`alpha2` must be one number or one"),
        ({"row_kind": "stress"}, InputError, "`row_kind` must be one of energy, force"),
        ({"offset": "mean"}, InputError, "`offset` must be one of none, centred"),
    ],
)
def test_training_rows_that_cannot_be_used_are_refused(change, error, sentence):
    settings = {"features": F, "targets": Y, "ridge": 0.3} | change
    with pytest.raises(error, match=sentence):
        BayesianLinearModel.fit(**settings)


def test_questions_that_cannot_be_answered_are_refused():
    metric = BayesianLinearModel.fit(F, ridge=0.3)
    with pytest.raises(ShapeError, match="`features` must have rows of 6 numbers"):
        metric.variance(NEW[:, :5])
    with pytest.raises(InputError, match="`features` must be finite"):
        metric.variance(NEW * math.nan)
    with pytest.raises(InputError, match="`variance_kind` must be one of latent, observed"):
        metric.variance(NEW, variance_kind="total")
    with pytest.raises(InputError, match="`row_kind` must be one of energy, force"):
        metric.leverage(NEW, row_kind="stress")
    with pytest.raises(InputError, match="`noise_variance` must be finite and not negative"):
        metric.variance(NEW, variance_kind="observed", noise_variance=-1.0)
    with pytest.raises(NotFittedError, match="`linear_model` must have been fitted with"):
        metric.mean(NEW)
    forces = BayesianLinearModel.fit(SLOPES, ridge=0.3, row_kind="force", offset="intercept")
    with pytest.raises(NotFittedError, match="`linear_model` must have energies"):
        forces.variance(NEW)

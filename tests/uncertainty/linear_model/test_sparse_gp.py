"""Against exact processes, dense formulas and GPyTorch."""

import gpytorch
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import BayesianLinearModel, ExactGP, Nystroem, SparseGP


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def gaussian(x, y):
    return torch.exp(-0.5 * torch.cdist(x, y).square())


X, Y, NEW = 2 * normal(40, 2), normal(40, seed=1), 2 * normal(15, 2, seed=2)
CHOSEN = X[:8]
ONES, OWN = torch.ones(15).double(), torch.ones(40).double()
NOISE, PRIOR = 0.1, 5.0
SETTINGS = {"ridge": NOISE / PRIOR, "alpha2": NOISE}


def fit(method="dtc", chosen=CHOSEN):
    return SparseGP.fit(
        gaussian(chosen, chosen),
        gaussian(X, chosen),
        Y,
        approximation=method,
        diagonal=OWN,
        **SETTINGS,
    )


def test_features_make_the_kernel_of_the_chosen_points():
    """K ~ F Fᵀ = K_xs K_s⁻¹ K_sx; K - F Fᵀ has no negative eigenvalue."""
    features = Nystroem.fit(gaussian(CHOSEN, CHOSEN))
    f = features(gaussian(X, CHOSEN))
    cross = gaussian(X, CHOSEN)
    expected = cross @ torch.linalg.solve(gaussian(CHOSEN, CHOSEN), cross.T)
    torch.testing.assert_close(f @ f.T, expected)
    assert float(torch.linalg.eigvalsh(gaussian(X, X) - f @ f.T).min()) > -1e-12


def test_points_that_say_the_same_are_dropped():
    twice = torch.cat([CHOSEN, CHOSEN])
    features = Nystroem.fit(gaussian(twice, twice))
    assert features.rank == 8
    one = fit("dtc").variance(gaussian(NEW, CHOSEN), ONES)
    torch.testing.assert_close(fit("dtc", twice).variance(gaussian(NEW, twice), ONES), one)


def test_with_all_points_chosen():
    """[V2]: the mean and dtc are exact; sor is, but at training rows only."""
    exact = ExactGP.fit(gaussian(X, X), Y, **SETTINGS)
    expected = exact.variance(gaussian(NEW, X), ONES)
    dtc = fit("dtc", X)
    close = {"rtol": 1e-7, "atol": 1e-9}
    mean = exact.mean(gaussian(NEW, X))
    torch.testing.assert_close(dtc.mean(gaussian(NEW, X)), mean, **close)
    torch.testing.assert_close(dtc.variance(gaussian(NEW, X), ONES), expected, **close)
    sor = dtc.with_approximation("sor")
    at = sor.variance(gaussian(X, X))
    torch.testing.assert_close(at, exact.variance(gaussian(X, X), OWN), **close)
    short = PRIOR * dtc.nystroem_residual(gaussian(NEW, X), ONES)
    off = sor.variance(gaussian(NEW, X))
    torch.testing.assert_close(off, expected - short, **close)
    assert float((off / expected).min()) < 0.9


def test_far_away_sor_claims_to_know_and_the_others_have_the_prior():
    far = gaussian(NEW + 100, CHOSEN)
    assert float(fit("sor").variance(far).max()) == 0
    for method in ("dtc", "fitc", "gap"):
        torch.testing.assert_close(fit(method).variance(far, ONES), PRIOR * ONES)


def test_each_kind_is_its_formula():
    cross, kernel, z2 = gaussian(X, CHOSEN), gaussian(CHOSEN, CHOSEN), NOISE / PRIOR
    f = cross @ torch.linalg.inv(torch.linalg.cholesky(kernel)).T
    new = gaussian(NEW, CHOSEN) @ torch.linalg.inv(torch.linalg.cholesky(kernel)).T
    eye = torch.eye(8).double()
    h = f.T @ f + z2 * eye
    sor = NOISE * (new @ torch.linalg.inv(h) * new).sum(1)
    gap = PRIOR * (1 - new.square().sum(1))
    w = NOISE / (NOISE + PRIOR * (1 - f.square().sum(1)))
    weighted = f.T @ (w[:, None] * f) + z2 * eye
    fitc = NOISE * (new @ torch.linalg.inv(weighted) * new).sum(1) + gap
    at = gaussian(NEW, CHOSEN)
    for method, expected in {"sor": sor, "dtc": sor + gap, "fitc": fitc, "gap": gap}.items():
        found = fit(method).variance(at, ONES)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
        observed = fit(method).variance(at, ONES, variance_kind="observed")
        torch.testing.assert_close(observed, found + NOISE)
    mean = new @ torch.linalg.solve(weighted, f.T @ (w * Y))
    torch.testing.assert_close(fit("fitc").mean(at), mean, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("correction", "method"), [(True, "fitc"), (False, "sor")])
def test_gpytorch_predicts_fitc_unless_told_otherwise(correction, method):
    """[V15], GPyTorch issue 1715: neither setting gives dtc."""

    class Model(gpytorch.models.ExactGP):
        def __init__(self, likelihood):
            super().__init__(X, Y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            base = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())
            base.outputscale, base.base_kernel.lengthscale = PRIOR, 1.0
            self.covar_module = gpytorch.kernels.InducingPointKernel(
                base, CHOSEN.clone(), likelihood
            )

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(x), self.covar_module(x)
            )

    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    model = Model(likelihood).double()
    likelihood.noise = NOISE
    model.eval()
    with (
        torch.no_grad(),
        gpytorch.settings.sgpr_diagonal_correction(correction),
        gpytorch.settings.fast_computations(False, False, False),
    ):
        theirs = model(NEW)
        mean, variance = theirs.mean, theirs.variance
    ours = fit(method)
    at = gaussian(NEW, CHOSEN)
    torch.testing.assert_close(ours.mean(at), mean, rtol=1e-4, atol=1e-4)
    found = ours.variance(at, ONES)
    torch.testing.assert_close(found, variance, rtol=1e-3, atol=1e-4)
    dtc = fit("dtc").variance(at, ONES)
    assert not torch.allclose(dtc, variance, rtol=1e-3)


@pytest.mark.parametrize("method", ["sor", "dtc", "fitc", "gap"])
def test_mean_and_variance_share_their_features(method):
    model, at = fit(method), gaussian(NEW, CHOSEN)
    found = model.predict(at, ONES)
    torch.testing.assert_close(found.mean, model.mean(at))
    torch.testing.assert_close(found.variance, model.variance(at, ONES))
    observed = model.variance(at, ONES, variance_kind="observed")
    torch.testing.assert_close(found.predictive_variance, observed)


def test_more_points_leave_less_unknown():
    last = ONES
    for m in (1, 4, 8, 20):
        chosen = X[:m]
        gap = fit("gap", chosen).nystroem_residual(gaussian(NEW, chosen), ONES)
        assert bool((gap <= last + 1e-9).all())
        last = gap
    sor = fit("sor").variance(gaussian(NEW, CHOSEN))
    dtc = fit("dtc").variance(gaussian(NEW, CHOSEN), ONES)
    assert bool(((sor >= 0) & (sor <= dtc)).all())


def test_a_prior_variance_inside_the_kernel_goes_with_the_noise_as_ridge():
    inside = SparseGP.fit(
        PRIOR * gaussian(CHOSEN, CHOSEN), PRIOR * gaussian(X, CHOSEN), Y, ridge=NOISE, alpha2=NOISE
    )
    found = inside.variance(PRIOR * gaussian(NEW, CHOSEN), PRIOR * ONES)
    expected = fit("dtc").variance(gaussian(NEW, CHOSEN), ONES)
    torch.testing.assert_close(found, expected)


def test_all_of_it_is_calibrated():
    at = gaussian(NEW, CHOSEN)
    for method in ("sor", "dtc", "fitc", "gap"):
        before = fit(method)
        after = before.calibrated(3 * NOISE)
        expected = 3 * before.variance(at, ONES)
        torch.testing.assert_close(after.variance(at, ONES), expected)
        assert torch.equal(after.mean(at), before.mean(at))


def test_qr_keeps_what_normal_equations_lose():
    """Rows of condition 1e9: their square has lost the smallest of them."""
    rotation = torch.linalg.qr(normal(6, 6)).Q
    values = torch.logspace(0, -9, 6, dtype=torch.float64)
    cross = (torch.linalg.qr(normal(40, 6, seed=3)).Q * values) @ rotation
    truth = rotation.T @ (1 / values.clamp(min=1e-7))
    y = cross @ truth
    found = SparseGP.fit(torch.eye(6), cross, y, ridge=1e-26)
    assert float((found.mean(cross) - y).abs().max()) < 1e-8
    assert (
        float((BayesianLinearModel.fit(cross, y, ridge=1e-26).mean(cross) - y).abs().max()) > 1e-6
    )


def test_memory_is_refused_before_it_is_taken(monkeypatch):
    kernel, cross, model = gaussian(CHOSEN, CHOSEN), gaussian(X, CHOSEN), fit("dtc")
    monkeypatch.setattr("bostruct.uncertainty.linear_model.sparse_gp.free_bytes", lambda _: 100)
    with pytest.raises(InputError, match=r"Choose fewer points\."):
        SparseGP.fit(kernel, cross, Y, ridge=0.1)
    monkeypatch.setattr("bostruct.uncertainty.linear_model.exact_gp.free_bytes", lambda _: 100)
    for ask in (model.variance, model.predict):
        with pytest.raises(InputError, match=r"`cross` must need at most.*Ask about"):
            ask(cross, OWN)


def test_what_cannot_be_used_is_refused():
    kernel, cross = gaussian(CHOSEN, CHOSEN), gaussian(X, CHOSEN)
    with pytest.raises(InputError, match="`approximation` must be one of sor, dtc"):
        SparseGP.fit(kernel, cross, Y, ridge=0.1, approximation="vfe")
    with pytest.raises(InputError, match="`diagonal` must be given for fitc"):
        SparseGP.fit(kernel, cross, Y, ridge=0.1, approximation="fitc")
    with pytest.raises(InputError, match="`ridge` must be positive and finite"):
        SparseGP.fit(kernel, cross, Y, ridge=0.0)
    with pytest.raises(InputError, match="`alpha2` must be positive and finite"):
        SparseGP.fit(kernel, cross, Y, ridge=0.1, alpha2=0.0)
    with pytest.raises(ShapeError, match=r"`cross` must have shape \[\*, 8\]"):
        SparseGP.fit(kernel, cross[:, :3], Y, ridge=0.1)
    with pytest.raises(ShapeError, match=r"`targets` must have shape \[40\]"):
        SparseGP.fit(kernel, cross, Y[:3], ridge=0.1)
    with pytest.raises(InputError, match="`kernel` must have a positive eigenvalue"):
        Nystroem.fit(-kernel)
    with pytest.raises(ShapeError, match="`cross` must have rows of 8 numbers"):
        Nystroem.fit(kernel)(cross[:, :3])
    model = fit("dtc")
    with pytest.raises(InputError, match="`diagonal` must be given for the variance"):
        model.variance(cross)
    with pytest.raises(ShapeError, match=r"`diagonal` must have shape \[40\]"):
        model.variance(cross, ONES)
    with pytest.raises(InputError, match="`approximation` must not go from dtc to fitc"):
        model.with_approximation("fitc")
    with pytest.raises(InputError, match="`variance_kind` must be one of latent, observed"):
        model.variance(cross, OWN, variance_kind="all")


@pytest.mark.parametrize("method", ["sor", "dtc", "gap"])
def test_rows_are_taken_block_by_block(method, monkeypatch):
    model, cross = fit(method), gaussian(X, CHOSEN)
    whole = model.predict(cross, OWN)
    monkeypatch.setattr("bostruct.uncertainty.linear_model.exact_gp.rows_per_block", lambda _: 7)
    parts = model.predict(cross, OWN)
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.variance, whole.variance)
    torch.testing.assert_close(model.variance(cross, OWN), whole.variance)


def test_mean_and_variance_cost_what_the_mean_costs():
    """Counted products, not seconds: at most 1.5 times those of the mean alone."""
    kernel, cross = gaussian(CHOSEN, CHOSEN), gaussian(X, CHOSEN)
    model = SparseGP.fit(kernel, cross, Y, ridge=0.1)
    count = {}
    for name, ask in (("mean", model.mean), ("both", model.predict)):
        with FlopCounterMode(display=False) as counter:
            ask(cross) if name == "mean" else ask(cross, OWN)
        count[name] = counter.get_total_flops()
    assert 0 < count["mean"] <= count["both"] <= 1.5 * count["mean"]

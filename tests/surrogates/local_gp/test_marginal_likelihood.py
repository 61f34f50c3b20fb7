"""The marginal likelihood against the Gaussian it is the density of."""

import math
from dataclasses import replace

import gpytorch
import pytest
import torch
from linear_operator import settings
from torch.distributions import MultivariateNormal

from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.marginal_likelihood import (
    HYPERPARAMETER_NAMES,
    MAX_UNSEEN,
    Hyperparameters,
    Rows,
    RowStatistics,
    StandardDeviations,
    are_seen,
    degrees_of_freedom,
    gram_matrix,
    log_marginal_likelihood,
    maximize_marginal_likelihood,
    precision_matrix,
    value_and_gradient,
    weighted_moment,
)

ROUNDING = 1e-9  # relative; two ways of adding up some thousand terms


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


class Problem:
    """Random features of energies and forces, with values drawn from the model.

    Attributes:
        s, e, f: the deviations the values were drawn with.
        mean_residual_variance: of energies and of forces, in units of s².
    """

    def __init__(self, energies=12, forces=50, m=7, seed=0, mean_residual_variance=(0.0, 0.0)):
        self.s, self.e, self.f = (torch.tensor(x).double() for x in (1.7, 0.05, 0.2))
        self.F = random(energies + forces, m, seed=seed)
        self.trust = 1 + random(energies + forces, seed=seed + 1).abs()
        kind = torch.arange(energies + forces) < energies
        self.mean_residual_variance = torch.tensor(mean_residual_variance).double()
        d, g = torch.stack((self.e, self.f)) ** 2 + self.s**2 * self.mean_residual_variance
        self.D = torch.where(kind, d, g) * self.trust
        weights = self.s * random(m, seed=seed + 2)
        noise = self.D.sqrt() * random(energies + forces, seed=seed + 3)
        self.y = self.F @ weights + noise
        kinds = []
        for part, own in zip((kind, ~kind), self.mean_residual_variance, strict=True):
            rows = replace(RowStatistics.empty(m, self.F), mean_residual_variance=own)
            for half in torch.arange(energies + forces)[part].chunk(3):
                rows = rows.add_rows(self.F[half], self.y[half], self.trust[half])
            kinds.append(rows)
        self.rows, self.std = Rows(*kinds), StandardDeviations(self.s, self.e, self.f)

    def dense(self):
        return self.s**2 * self.F @ self.F.T + torch.diag(self.D)

    def value(self):
        return log_marginal_likelihood(self.rows, self.std)


UNSEEN = pytest.mark.parametrize("unseen", [(0.0, 0.0), (0.01, 0.0), (0.002, 0.05)])


@UNSEEN
@pytest.mark.parametrize(("energies", "forces"), [(12, 50), (5, 0), (0, 9), (1, 2)])
def test_is_the_density_of_the_dense_gaussian(energies, forces, unseen):
    """With rows that are trusted differently, added in parts."""
    problem = Problem(energies, forces, mean_residual_variance=unseen)
    gaussian = MultivariateNormal(torch.zeros(energies + forces).double(), problem.dense())
    expected = gaussian.log_prob(problem.y)
    torch.testing.assert_close(problem.value(), expected, rtol=ROUNDING, atol=1e-9)


def test_agrees_with_gpytorch():
    problem = Problem()
    zero = torch.zeros_like(problem.y)
    gaussian = gpytorch.distributions.MultivariateNormal(zero, problem.dense())
    expected = gaussian.log_prob(problem.y)
    torch.testing.assert_close(problem.value(), expected, rtol=ROUNDING, atol=1e-9)


@UNSEEN
@pytest.mark.parametrize(("energies", "forces"), [(12, 50), (5, 0), (0, 9), (1, 2)])
def test_slopes_are_those_of_the_density(energies, forces, unseen):
    problem = Problem(energies, forces, mean_residual_variance=unseen)
    logs = [x.log().requires_grad_() for x in (problem.s, problem.e, problem.f)]
    value = log_marginal_likelihood(problem.rows, StandardDeviations(*(x.exp() for x in logs)))
    expected = torch.stack(torch.autograd.grad(value, logs))
    same, found = value_and_gradient(problem.rows, problem.std)
    assert torch.equal(same, problem.value())
    torch.testing.assert_close(found, expected, rtol=ROUNDING, atol=1e-9)


@UNSEEN
def test_slopes_by_amplitudes_are_those_of_the_density(unseen):
    """Two terms after three weights of environments; one weight has a given deviation."""
    problem = Problem(mean_residual_variance=unseen)
    blocks, given = [slice(3, 5), slice(5, 6)], torch.tensor([2.5]).double()
    logs = [x.log() for x in (problem.s, problem.e, problem.f, 0.3 * problem.s, 4 * problem.s)]
    logs = [x.clone().requires_grad_() for x in logs]

    def arguments(s, e, f, *amplitudes):
        parts = (s.expand(3), amplitudes[0].expand(2), amplitudes[1].expand(1), given)
        return StandardDeviations(s, e, f, torch.cat(parts))

    values = arguments(*(x.exp() for x in logs))
    value = log_marginal_likelihood(problem.rows, values)
    expected = torch.stack(torch.autograd.grad(value, logs))
    with torch.no_grad():
        same, found = value_and_gradient(problem.rows, values, blocks, 3)
        K = problem.F @ torch.diag(values[-1].square()) @ problem.F.T + torch.diag(problem.D)
    gaussian = MultivariateNormal(torch.zeros(len(K)).double(), K)
    torch.testing.assert_close(same, gaussian.log_prob(problem.y), rtol=ROUNDING, atol=1e-9)
    torch.testing.assert_close(found, expected, rtol=ROUNDING, atol=1e-9)


@UNSEEN
def test_weights_are_those_of_the_dense_gaussian(unseen):
    problem = Problem(mean_residual_variance=unseen)
    arguments = problem.rows, problem.std
    A, v = precision_matrix(*arguments), weighted_moment(*arguments)
    weighed = problem.F / problem.D.unsqueeze(-1)
    expected = torch.eye(7).double() / problem.s**2 + problem.F.T @ weighed
    torch.testing.assert_close(A, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(v, weighed.T @ problem.y, rtol=1e-12, atol=1e-12)


def test_gradient_matches_finite_differences():
    problem = Problem()
    inputs = [x.clone().requires_grad_() for x in (problem.s, problem.e, problem.f)]

    def evidence(s, e, f):
        return log_marginal_likelihood(problem.rows, StandardDeviations(s, e, f))

    assert torch.autograd.gradcheck(evidence, inputs)


@pytest.mark.parametrize("count", [900, 4200])
@pytest.mark.parametrize("fast", [True, False])
def test_many_rows_and_any_settings_give_the_same(count, fast):
    """GPyTorch's own value changes above 800 rows, BoTorch moves that to 4096.

    Here every factorisation is of m x m. The closed form is built up row by row,
    log p(y) = sum_i log p(y_i | y_1 .. y_i-1), by rank-one updates of the weights.
    """
    problem = Problem(energies=count // 10, forces=count - count // 10)
    with (
        settings.fast_computations(fast, fast, fast),
        settings.max_cholesky_size(1),
        settings.num_trace_samples(1),
    ):
        found = problem.value()
        hyper = Hyperparameters(1.0, 1.0)
        values = (float(problem.s), float(problem.e), float(problem.f))
        hyper.set_values(values)
        fixed = maximize_marginal_likelihood(problem.rows, hyper, fixed_names=hyper.names)
    V = problem.s**2 * torch.eye(problem.F.shape[1]).double()
    mean = torch.zeros(problem.F.shape[1]).double()
    expected = 0.0
    for x, y, d in zip(problem.F, problem.y, problem.D, strict=True):
        Vx = V @ x
        spread = x @ Vx + d
        miss = y - x @ mean
        expected -= float(miss**2 / spread + spread.log() + math.log(2 * math.pi)) / 2
        mean, V = mean + Vx * miss / spread, V - torch.outer(Vx, Vx) / spread
    assert float(found) == pytest.approx(expected, rel=ROUNDING)
    assert float(fixed) == pytest.approx(expected, rel=ROUNDING)


def test_a_fit_does_not_depend_on_the_settings(data):
    """900 force rows, with the process set to stochastic solvers."""
    gp = LocalGP(max_inducing=60, n_max=3, l_max=2)
    expected = gp.fit(data).state()
    with (
        settings.fast_computations(True, True, True),
        settings.max_cholesky_size(1),
        settings.cholesky_jitter(double_value=1e-2),
    ):
        found = gp.fit(data).state()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_finds_the_deviations_that_were_drawn_with():
    """From 400 rows of 30 features the deviations are known to a few per cent."""
    problem = Problem(energies=400, forces=900, m=30)
    hyper = Hyperparameters(force_scale=1.0, length_scale=1.0)
    start = maximize_marginal_likelihood(problem.rows, hyper, fixed_names=hyper.names)
    before = start + hyper.log_prior()[0]
    found = maximize_marginal_likelihood(problem.rows, hyper)
    assert found + hyper.log_prior()[0] > before + 1
    assert found > start
    signal, energy, force = numbers(hyper)
    assert signal == pytest.approx(1.7, rel=0.5)
    assert energy == pytest.approx(0.05, rel=0.15)
    assert force == pytest.approx(0.2, rel=0.15)


def test_what_features_do_not_see_is_not_taken_for_noise():
    """Rows of which each has its own part unseen, told by the mean of these parts.

    Without it the noises are what is not seen, 0.17 and 0.38 here.
    """
    problem = Problem(energies=400, forces=900, m=30)
    part = random(1300, seed=7).square() * torch.where(problem.D > 0.02, 0.05, 0.01)
    kind = torch.arange(1300) < 400
    extra = problem.s * (part * problem.trust).sqrt() * random(1300, seed=8)
    y = problem.y + extra
    found = []
    for told in (0.0, 1.0):
        rows = []
        for some in (kind, ~kind):
            none = RowStatistics.empty(30, problem.F)
            one = none.add_rows(problem.F[some], y[some], problem.trust[some])
            rows.append(replace(one, mean_residual_variance=told * part[some].mean()))
        hyper = Hyperparameters(force_scale=1.0, length_scale=1.0)
        maximize_marginal_likelihood(Rows(*rows), hyper)
        found.append(numbers(hyper))
    (_, energy, force), (signal, seen, felt) = found
    assert signal == pytest.approx(1.7, rel=0.3)
    assert energy > 2 * seen
    assert force > 1.3 * felt
    assert felt == pytest.approx(0.2, rel=0.4)


def test_noises_do_not_vanish_with_noiseless_data():
    """They stand for what the model cannot represent: see `Hyperparameters`."""
    F, rows = random(60, 7), []
    y = F @ random(7, seed=1)
    for part in (slice(0, 10), slice(10, 60)):
        none = RowStatistics.empty(7, F)
        rows.append(none.add_rows(F[part], y[part], torch.ones_like(y[part])))
    hyper = Hyperparameters(1.0, 1.0)
    maximize_marginal_likelihood(Rows(*rows), hyper)
    _, energy, force = numbers(hyper)
    assert energy == pytest.approx(hyper.lower_bounds["energy_noise"])
    assert force == pytest.approx(hyper.lower_bounds["force_noise"])


@pytest.mark.parametrize(("contradiction", "is_followed"), [(5, False), (20, True)])
def test_energies_that_forces_contradict_are_not_all_noise(contradiction, is_followed):
    """Many forces outvote a few energies, up to a bound of their noise; beyond it, these count."""
    F, rows = random(220, 7), []
    y = F @ random(7, seed=1)
    y[:4] += contradiction * random(4, seed=2)
    for part in (slice(0, 4), slice(4, 220)):
        none = RowStatistics.empty(7, F)
        rows.append(none.add_rows(F[part], y[part], torch.ones_like(y[part])))
    hyper = Hyperparameters(1.0, 1.0)
    maximize_marginal_likelihood(Rows(*rows), hyper)
    _, energy, force = numbers(hyper)
    assert (energy < hyper.upper_bounds["energy_noise"] / 10) == is_followed
    assert (force > 10 * hyper.lower_bounds["force_noise"]) == is_followed


def numbers(hyper):
    return [float(hyper.value(name).detach()) for name in HYPERPARAMETER_NAMES]


def test_is_at_rest_at_its_maximum():
    problem = Problem()
    hyper = Hyperparameters(1.0, 1.0)
    maximize_marginal_likelihood(problem.rows, hyper)
    values = [hyper.value(name) for name in HYPERPARAMETER_NAMES]
    loss = log_marginal_likelihood(problem.rows, StandardDeviations(*values))
    slopes = torch.stack(torch.autograd.grad(loss, list(hyper.parameters())))
    assert (slopes + hyper.log_prior()[1]).abs().max() < 1e-2


def test_stays_where_it_is_when_told():
    hyper = Hyperparameters(2.0, 3.0)
    before = numbers(hyper)
    maximize_marginal_likelihood(Problem().rows, hyper, fixed_names=hyper.names)
    assert numbers(hyper) == before


def test_starts_at_the_scale_of_the_data():
    hyper = Hyperparameters(force_scale=2.0, length_scale=0.5)
    assert numbers(hyper) == pytest.approx([1.0, 0.01, 0.06])
    hyper.set_values((3.0, 0.1, 0.2))
    assert numbers(hyper) == pytest.approx([3.0, 0.1, 0.2])


def test_prior_is_the_density_of_the_logarithms():
    hyper = Hyperparameters(force_scale=2.0, length_scale=0.5)
    hyper.set_values((2.5, 0.001, 0.3))
    raw = torch.tensor([2.5, 0.001, 0.3]).double().log().requires_grad_()
    widths = torch.tensor([2.0, 1.5, 1.5], dtype=torch.float64)
    typical = torch.tensor([1.0, 0.01, 0.06], dtype=torch.float64)
    expected = torch.distributions.Normal(typical.log(), widths).log_prob(raw).sum()
    value, slopes = hyper.log_prior()
    assert float(value) == pytest.approx(float(expected.detach()))
    torch.testing.assert_close(slopes, *torch.autograd.grad(expected, raw))


def test_scales_with_the_unit_of_energy():
    """Values a thousand times as large have deviations a thousand times as large."""
    problem, found = Problem(), []
    for unit in (1.0, 1000.0):
        hyper = Hyperparameters(unit, 1.0)
        rows = []
        for part in problem.rows:
            rows.append(
                RowStatistics(
                    part.gram,
                    part.moment * unit,
                    part.sum_of_squares * unit**2,
                    part.n_rows,
                    part.log_factor_sum,
                    part.mean_residual_variance,
                )
            )
        maximize_marginal_likelihood(Rows(*rows), hyper)
        found.append(numbers(hyper)[0] / unit)
    assert found[0] == pytest.approx(found[1], rel=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_two_structures_do_not_run_away(data, count):
    """The priors hold deviations that so few data say little about."""
    found = LocalGP(pair_term=None, embedding_term=None).fit(data[:count])
    hyper = found.hyperparameters()
    scale = float(data[:count].forces.square().mean().sqrt())
    assert 0.01 * scale < hyper["signal_eV"] < 100 * scale
    noise = hyper["energy_noise_eV_per_root_atom"]
    assert 1e-4 * scale < noise < scale
    assert math.isfinite(hyper["log_marginal_likelihood"])


@pytest.mark.parametrize("m", [1, 95, 96, 97, 250])
def test_half_a_product_is_the_whole(m):
    F = random(40, m)
    found = gram_matrix(F)
    torch.testing.assert_close(found, F.T @ F, rtol=0, atol=1e-12)
    assert torch.equal(found, found.T)


def test_no_rows_say_nothing():
    rows = RowStatistics.empty(4, torch.zeros(1, dtype=torch.float64))
    one = torch.tensor(1.3).double()
    assert float(
        log_marginal_likelihood(Rows(rows, rows), StandardDeviations(one, one, one))
    ) == pytest.approx(0)


@pytest.mark.parametrize(("n_energies", "n_forces"), [(12, 50), (5, 0), (1, 2)])
def test_degrees_of_freedom_are_the_trace_of_the_hat_matrix(n_energies, n_forces):
    problem = Problem(n_energies, n_forces)
    K = problem.s**2 * problem.F @ problem.F.T
    expected = torch.linalg.solve(K + problem.D.diag(), K).trace()
    found = degrees_of_freedom(problem.rows, problem.std).sum()
    assert float(found) == pytest.approx(float(expected))


def test_data_of_one_kind_determine_one_weight_at_most():
    rows = RowStatistics.empty(4, torch.zeros(1, dtype=torch.float64))
    F = random(1, 4).repeat(9, 1)
    one = torch.tensor(1.0).double()
    copies = rows.add_rows(F, random(9), torch.ones(9, dtype=torch.float64))
    assert (
        0.9
        < degrees_of_freedom(Rows(copies, rows), StandardDeviations(one, 0.01 * one, one)).sum()
        <= 1
    )
    assert degrees_of_freedom(Rows(rows, rows), StandardDeviations(one, one, one)) == pytest.approx(
        0
    )


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_rows_are_seen_while_their_residual_variance_is_some_times_their_noise(unit):
    """Whatever the unit of the energies is."""
    s, noise = (torch.tensor(x * unit).double() for x in (1.7, 0.2))
    for part, expected in ((0.0, True), (0.99, True), (1.01, False)):
        residual = torch.tensor(part * MAX_UNSEEN * (0.2 / 1.7) ** 2).double()
        rows = replace(RowStatistics.empty(3, s), mean_residual_variance=residual)
        assert are_seen(rows, s, noise) is expected


def test_the_fewer_rows_the_larger_the_least_noise():
    bounds = [
        Hyperparameters(1.0, 1.0, weights_per_row=ratio).logarithmic_bounds()
        for ratio in (0.01, 0.8, 1.0, 7.0)
    ]
    for name in ("energy_noise", "force_noise"):
        least = [bound[name][0] for bound in bounds]
        assert least[0] < least[1] < least[2] == least[3]
    assert len({bound["signal"] for bound in bounds}) == 1

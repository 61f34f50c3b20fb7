import math

import pytest
import torch
from sklearn.mixture import GaussianMixture

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import density_gates, distance_gates, mix_experts
from tests.uncertainty.networks import normal

Y, S2 = normal(20, 4), normal(20, 4, seed=1).square()
P = normal(20, 4, seed=2).softmax(-1)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_three_modes_of_one_example():
    """[V7]: 0.58 independent, 3.55 as a density, 1.12 at most if they are correlated.

    Two experts with p s = a and b, where a² + b² = 0.58 and (a + b)² = 1.12.
    """
    a, b = (math.sqrt(1.12) + 0.2) / 2, (math.sqrt(1.12) - 0.2) / 2
    p = tensor(0.6, 0.4)
    s2 = (tensor(a, b) / p).square()
    apart = math.sqrt((3.55 - float((p * s2).sum())) / float(p.prod()))
    y = tensor(1.0, 1.0 + apart)
    found = {
        mode: float(mix_experts(y, s2, p, mode).variance)
        for mode in ("independent", "mixture", "correlated")
    }
    assert found == pytest.approx({"independent": 0.58, "mixture": 3.55, "correlated": 1.12})


def test_the_variance_of_a_mixture_is_that_of_its_draws():
    generator = torch.Generator().manual_seed(0)
    p, y, s2 = P[:1], Y[:1], S2[:1]
    which = torch.multinomial(p[0], 200_000, replacement=True, generator=generator)
    noise = torch.randn(200_000, generator=generator, dtype=torch.float64)
    draws = y[0, which] + s2[0, which].sqrt() * noise
    found = mix_experts(y, s2, p)
    assert float(found.mean) == pytest.approx(float(draws.mean()), abs=0.02)
    assert float(found.variance) == pytest.approx(float(draws.var()), rel=0.02)


def test_modes_stand_to_each_other_as_they_must():
    means, variances = zip(
        *(mix_experts(Y, S2, P, m) for m in ("independent", "correlated", "mixture")), strict=True
    )
    assert all(torch.equal(mean, means[0]) for mean in means)
    independent, bound, mixture = variances
    assert bool((independent <= bound).all())
    assert bool((mixture >= S2.min(-1).values).all())
    assert bool((mixture >= bound - 1e-12).all()), "Jensen: Σ p s2 >= (Σ p s)²"


def test_a_covariance_between_experts_lies_between():
    """Diagonal: (25). Fully correlated: the bound."""
    full = S2.sqrt().unsqueeze(-1) * S2.sqrt().unsqueeze(-2)
    bound = mix_experts(Y, S2, P, "correlated").variance
    found = mix_experts(Y, S2, P, "correlated", covariance=full).variance
    torch.testing.assert_close(found, bound)
    found = mix_experts(Y, S2, P, "correlated", covariance=torch.diag_embed(S2)).variance
    torch.testing.assert_close(found, mix_experts(Y, S2, P, "independent").variance)


def test_equal_experts_shrink_the_independent_variance():
    """The caveat of (25): by their number, which says nothing about the error."""
    y, s2, p = torch.zeros(5), torch.full((5,), 2.0), torch.full((5,), 0.2)
    assert float(mix_experts(y, s2, p, "independent").variance) == pytest.approx(2 / 5)
    assert float(mix_experts(y, s2, p, "correlated").variance) == pytest.approx(2)
    assert float(mix_experts(y, s2, p, "mixture").variance) == pytest.approx(2)


@pytest.mark.parametrize("mode", ["independent", "correlated", "mixture"])
def test_one_expert_is_itself(mode):
    found = mix_experts(Y[:, :1], S2[:, :1], torch.ones(20, 1), mode)
    torch.testing.assert_close(found.mean, Y[:, 0])
    torch.testing.assert_close(found.variance, S2[:, 0])


def test_large_energies_keep_small_spreads():
    y = 1e5 + 1e-3 * Y
    spread = mix_experts(y, 1e-6 * S2, P).variance
    torch.testing.assert_close(spread, 1e-6 * mix_experts(Y, S2, P).variance, rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", ["independent", "correlated", "mixture"])
def test_slopes_are_right_and_finite_where_a_variance_vanishes(mode):
    def call(y, s2, logits):
        return mix_experts(y, s2, logits.softmax(-1), mode).variance

    inputs = [v[:3].clone().requires_grad_() for v in (Y, S2 + 0.1, P.log())]
    torch.autograd.gradcheck(call, inputs)
    zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(call(Y[0, :2], zero, P[0, :2].log()), zero)
    assert bool(slope.isfinite().all())


def test_gates_of_distances():
    d = tensor(1.0, 2.0, 4.0)
    found = distance_gates(d, sharpness=3.0)
    expected = torch.exp(3 / d) / torch.exp(3 / d).sum()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(distance_gates(2 * d, sharpness=6.0), found)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ((0.0, 1.0, 5.0), (1.0, 0.0, 0.0)),
        ((0.0, 1.0, 0.0), (0.5, 0.0, 0.5)),
        ((1e-320, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1e-9, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1e300, 1e300, 1e300), (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_who_is_at_home_takes_all(distance, expected):
    d = tensor(*distance).requires_grad_()
    found = distance_gates(d)
    torch.testing.assert_close(found.detach(), tensor(*expected))
    (slope,) = torch.autograd.grad(found[0], d)
    assert bool(slope.isfinite().all())


def test_gates_of_densities_are_those_of_a_gaussian_mixture():
    X = torch.cat([normal(60, 2), 0.5 * normal(40, 2, seed=1) + 3])
    fitted = GaussianMixture(2, random_state=0).fit(X)
    log = torch.stack(
        [
            torch.distributions.MultivariateNormal(
                torch.as_tensor(mean), torch.as_tensor(covariance)
            ).log_prob(X)
            + math.log(weight)
            for mean, covariance, weight in zip(
                fitted.means_, fitted.covariances_, fitted.weights_, strict=True
            )
        ],
        -1,
    )
    found = density_gates(log)
    torch.testing.assert_close(found, torch.as_tensor(fitted.predict_proba(X)))


def test_gates_add_up_however_extreme():
    extreme = tensor(-1e8, -2e8, -1e8 + 1)
    found = density_gates(extreme)
    assert float(found.sum()) == pytest.approx(1)
    torch.testing.assert_close(found, tensor(1, 0, math.e) / (1 + math.e))
    spread = distance_gates(normal(50, 6).abs() * 1e-4)
    torch.testing.assert_close(spread.sum(-1), torch.ones(50, dtype=torch.float64))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="`distance` must not be negative, got -1"):
        distance_gates(tensor(-1.0, 2.0))
    with pytest.raises(InputError, match="`sharpness` must be positive"):
        distance_gates(tensor(1.0), sharpness=0.0)
    with pytest.raises(InputError, match="`log_density` must be finite"):
        density_gates(tensor(0.0, math.inf))
    with pytest.raises(InputError, match="`mode` must be one of independent, correlat"):
        mix_experts(Y, S2, P, "sum")
    with pytest.raises(ShapeError, match=r"`gates` must have shape \[20, 4\]"):
        mix_experts(Y, S2, P[:, :3])
    with pytest.raises(InputError, match="`variance` must not be negative"):
        mix_experts(Y, -S2, P)
    with pytest.raises(InputError, match="`gates` must add up to 1, got a sum off by"):
        mix_experts(Y, S2, 2 * P)
    with pytest.raises(InputError, match="mode correlated and for no other"):
        mix_experts(Y, S2, P, covariance=torch.diag_embed(S2))
    with pytest.raises(ShapeError, match=r"`covariance` must have shape \[20, 4"):
        mix_experts(Y, S2, P, "correlated", covariance=S2)

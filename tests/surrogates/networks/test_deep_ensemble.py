import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import DeepEnsemble, MeanVariance
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.deep_ensemble import (
    MIN_RELATIVE_STD,
    WARMUP_FRACTION,
    beta_nll_loss,
    fit_variance_head,
)
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.training import forward, scaled_errors, squared_loss
from bostruct.uncertainty import decompose_variance, gaussian_nll
from tests.surrogates.small import SMALL


def deviations(model, structures):
    """Return what the members predict for themselves, `[M, b]` eV."""
    crowd = model.predictor
    x, place = crowd.featurizer(structures)
    each = crowd.weights.atomic_std(crowd.weights.hidden_layers(x, place))
    return crowd.featurizer.energy_scale * each.unflatten(1, (len(structures), -1)).sum(-1)


@pytest.mark.parametrize("ddof", [0, 1])
def test_variances_are_those_of_equation_20(data, ddof):
    model = DeepEnsemble(SMALL, n_members=3, ddof=ddof).fit(data[:9])
    found = model.predict(data[9:14], covariance=True)
    t2 = deviations(model, data[9:14]).square()
    shares = decompose_variance(found.members, t2, ddof)
    torch.testing.assert_close(found.variance, shares.total)
    shared = found.covariance - torch.diag(t2.mean(0))
    gap = found.members - found.members.mean(0)
    torch.testing.assert_close(shared, gap.T @ gap / (3 - ddof), rtol=1e-6, atol=1e-9)


def test_one_member_has_its_own_variance_alone(data):
    model = MeanVariance(SMALL).fit(data[:9])
    found = model.predict(data[9:14], covariance=True)
    assert found.members is None
    torch.testing.assert_close(found.variance, deviations(model, data[9:14])[0] ** 2)
    assert torch.equal(found.covariance, torch.diag(found.covariance.diagonal()))
    with pytest.raises(InputError, match="`force_variance` must be false for a model"):
        model.predict(data[9], force_variance=True)


def test_deviations_of_copies_add_up(data):
    """N times one's deviation, not the root of N: errors of like atoms are alike."""
    model = MeanVariance(SMALL).fit(data[:9])
    crowd = model.predictor
    x, place = crowd.featurizer(data[9])
    layers = crowd.weights.hidden_layers(x.repeat(3, 1), place.repeat(3))
    thrice = crowd.weights.atomic_std(layers).sum()
    torch.testing.assert_close(
        crowd.featurizer.energy_scale * thrice, 3 * deviations(model, data[9])[0, 0]
    )


@pytest.fixture(scope="module")
def taught(data):
    _, lesson = prepare_training_set(SMALL, data[:9], None)
    generator = torch.Generator().manual_seed(0)
    sizes = lesson.inputs.shape[1], 1, SMALL.width
    return NetworkWeights.initialize(sizes, generator, n_backbones=2, n_heads=2), lesson


def test_squares_teach_the_mean_first(taught):
    weights, lesson = taught
    weights = NetworkWeights(*(v.clone().requires_grad_() for v in weights.parameters()))
    weights.std_weights.data[:, 0] = 1.0  # some structures are less certain
    said = forward(weights, lesson)
    early = torch.autograd.grad(
        beta_nll_loss(0.0)(said, lesson, 0.0), weights.last_weights, retain_graph=True
    )
    plain = torch.autograd.grad(
        squared_loss()(said, lesson, 0.0), weights.last_weights, retain_graph=True
    )
    torch.testing.assert_close(early, plain)
    late = torch.autograd.grad(
        beta_nll_loss(0.0)(said, lesson, WARMUP_FRACTION),
        weights.last_weights,
        retain_graph=True,
    )
    assert not torch.allclose(late[0], plain[0])
    (level,) = torch.autograd.grad(beta_nll_loss(0.0)(said, lesson, 0.0), weights.std_bias)
    assert (level != 0).all()


def test_the_likelihood_with_beta_of_zero_is_eq_19(taught):
    weights, lesson = taught
    said = forward(weights, lesson)
    e, g = scaled_errors(said, lesson)
    t2 = said.energy_std.square() / lesson.counts + MIN_RELATIVE_STD**2
    plain = 2 * (t2.mean(1, keepdim=True) * gaussian_nll(e, t2)).sum()
    found = beta_nll_loss(0.0)(said, lesson, 1.0)
    torch.testing.assert_close(found, plain + g.square().sum())


def test_settled_deviations_are_at_the_minimum(taught):
    weights, lesson = taught
    found = fit_variance_head(weights, lesson)
    assert torch.equal(found.last_weights, weights.last_weights)
    e = scaled_errors(forward(found, lesson), lesson)[0]

    def loss(level):
        moved = NetworkWeights(*found.parameters()[:-1], level)
        said = forward(moved, lesson)
        t2 = said.energy_std.square() / lesson.counts + MIN_RELATIVE_STD**2
        return gaussian_nll(e, t2).sum()

    level = found.std_bias.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(level), level)
    assert slope.abs().max() < 0.01
    assert loss(found.std_bias) < loss(weights.std_bias)


def test_refusals():
    for kind in (MeanVariance, DeepEnsemble):
        with pytest.raises(InputError, match="`beta` must be from 0 to 1, got 2"):
            kind(beta=2.0)
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        DeepEnsemble(n_members=1)
    with pytest.raises(InputError, match="`ddof` must be 1 for the divisor M - 1"):
        DeepEnsemble(ddof=2)

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates import ShallowEnsemble
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.shallow_ensemble import (
    MIN_RELATIVE_STDS,
    ensemble_nll_loss,
)
from bostruct.surrogates.networks.training import forward, scaled_errors
from bostruct.uncertainty import gaussian_nll
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def taught(data):
    _, lesson = prepare_training_set(SMALL, data[:6], None)
    generator = torch.Generator().manual_seed(0)
    sizes = lesson.inputs.shape[1], 1, SMALL.width
    return NetworkWeights.initialize(sizes, generator, n_heads=4), lesson


def with_last(weights, last):
    values = dict(zip(vars(weights), weights.parameters(), strict=True))
    return NetworkWeights(**(values | {"last_weights": last}))


def test_heads_share_one_network(data):
    model = ShallowEnsemble(SMALL, n_members=4).fit(data[:9])
    found = model.predict(data[9:12], member_forces=True)
    assert len(model.predictor.weights.first_weights) == 1
    torch.testing.assert_close(found.members.var(0), found.variance)
    torch.testing.assert_close(found.member_forces.mean(0), found.forces)


def test_slopes_of_the_loss_are_those_of_differences(taught):
    weights, lesson = taught

    def loss(last, progress):
        return ensemble_nll_loss(0.0)(forward(with_last(weights, last), lesson), lesson, progress)

    last = weights.last_weights.clone().requires_grad_()
    generator = torch.Generator().manual_seed(1)
    along = torch.randn(last.shape, generator=generator, dtype=torch.float64)
    along *= 1e-6
    said = forward(weights, lesson)
    e, g = scaled_errors(said, lesson)
    ve, vg = e.var(0) + MIN_RELATIVE_STDS[0] ** 2, g.var(0) + MIN_RELATIVE_STDS[1] ** 2

    def plain(last):
        """Eq. 19 of energies and forces with the factors held."""
        e, g = scaled_errors(forward(with_last(weights, last), lesson), lesson)
        first = gaussian_nll(e.mean(0), e.var(0) + MIN_RELATIVE_STDS[0] ** 2).sum()
        second = gaussian_nll(g.mean(0), g.var(0) + MIN_RELATIVE_STDS[1] ** 2).sum()
        return 2 * (ve.mean() * first + vg.mean() * second)

    (slope,) = torch.autograd.grad(loss(last, 1.0), last)
    with torch.no_grad():
        secant = (plain(last + along) - plain(last - along)) / 2
    torch.testing.assert_close((slope * along).sum(), secant, rtol=1e-5, atol=0)


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_the_order_of_heads_does_not_matter(taught, progress):
    weights, lesson = taught
    turned = with_last(weights, weights.last_weights.flip(0))
    first, second = (
        ensemble_nll_loss(0.5)(forward(w, lesson), lesson, progress) for w in (weights, turned)
    )
    torch.testing.assert_close(first, second)


def test_equal_heads_have_the_floor_and_a_finite_loss(taught):
    weights, lesson = taught
    equal = with_last(weights, weights.last_weights[:1].expand(4, -1))
    loss = ensemble_nll_loss(0.0)(forward(equal, lesson), lesson, 1.0)
    assert loss.isfinite()
    e, _ = scaled_errors(forward(equal, lesson), lesson)
    assert e.var(0).max() < MIN_RELATIVE_STDS[0] ** 2


def test_energies_alone_teach_as_well(data):
    from dataclasses import replace

    bare = replace(data[:6], forces=None)
    model = ShallowEnsemble(SMALL, n_members=3).fit(bare)
    assert model.predict(data[:2]).variance.isfinite().all()


def test_refusals():
    with pytest.raises(InputError, match="`beta` must be from 0 to 1, got -1"):
        ShallowEnsemble(beta=-1.0)
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        ShallowEnsemble(n_members=1)

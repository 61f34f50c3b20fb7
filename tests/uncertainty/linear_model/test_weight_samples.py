import pytest
import torch

from bostruct.errors import InputError, NotFittedError
from bostruct.uncertainty import BayesianLinearModel, WeightPosteriorSamples


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


F, Y, NEW = normal(40, 6) + 0.5, normal(40, seed=1), normal(9, 6, seed=2)


def draw(metric, members=4000, **options):
    generator = torch.Generator().manual_seed(11)
    return WeightPosteriorSamples.sample(metric, members, generator, **options)


@pytest.mark.parametrize("offset", ["none", "centred", "intercept", "bias"])
@pytest.mark.parametrize("rows", ["energy", "force"])
def test_the_spread_of_members_is_the_closed_form(offset, rows):
    """Covariance of 4000 members; 5 standard deviations of each entry."""
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, alpha2=2.0, offset=offset)
    found = draw(metric)(NEW, row_kind=rows)
    assert found.shape == (4000, 9)
    expected = metric.covariance(NEW, row_kind=rows)
    scale = expected.diagonal().sqrt()
    gap = (torch.cov(found.T) - expected) / torch.outer(scale, scale)
    assert float(gap.abs().max()) < 5 * (2 / 3999) ** 0.5


@pytest.mark.parametrize("head", [None, torch.tanh])
def test_the_mean_of_members_is_the_model(head):
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3, offset="intercept")
    model = metric.mean(NEW) if head is None else head(metric.mean(NEW))
    found = draw(metric, 8)(NEW, head=head).mean(0)
    torch.testing.assert_close(found, model)
    loose = draw(metric, 8, recentered=False)(NEW, head=head).mean(0)
    assert float((loose - model).abs().max()) > 1e-6


@pytest.mark.parametrize(("members", "scatter"), [(8, 0.53), (32, 0.25), (128, 0.13)])
def test_few_members_know_their_spread_badly(members, scatter):
    """[V20]: sqrt(2 / (M - 1)); 600 repetitions know it to 6 % (2 standard errors)."""
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3)
    found = draw(metric, members * 600, recentered=False)(NEW[:1]).reshape(600, members)
    ratio = found.var(1) / metric.variance(NEW[:1])
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * scatter / 600**0.5)
    assert float(ratio.std()) == pytest.approx(scatter, rel=0.15)


def test_targets_are_drawn_apart_with_their_own_factor():
    metric = BayesianLinearModel.fit(
        F, torch.stack([Y, -Y], 1), ridge=0.3, alpha2=torch.tensor([1.0, 9.0])
    )
    found = draw(metric)(NEW.reshape(3, 3, 6))
    assert found.shape == (4000, 3, 3, 2)
    ratio = found.var(0).reshape(9, 2) / metric.variance(NEW)
    assert float((ratio - 1).abs().max()) < 5 * (2 / 3999) ** 0.5
    both = found.reshape(4000, -1).T[:2]
    assert abs(float(torch.corrcoef(both)[0, 1])) < 5 / 4000**0.5


def test_the_generator_decides_all():
    metric = BayesianLinearModel.fit(F, Y, ridge=0.3)
    assert torch.equal(draw(metric, 4)(NEW), draw(metric, 4)(NEW))


def test_one_member_is_refused_and_so_is_a_metric_without_targets():
    with pytest.raises(InputError, match="`n_members` must be an integer of at least 2"):
        draw(BayesianLinearModel.fit(F, Y, ridge=0.3), 1)
    with pytest.raises(NotFittedError, match="`linear_model` must have been fitted with"):
        draw(BayesianLinearModel.fit(F, ridge=0.3), 4)

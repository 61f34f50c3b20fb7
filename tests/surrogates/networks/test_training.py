"""Training, and what it minimises."""

from dataclasses import replace

import pytest
import torch

from bostruct.surrogates import PairRepulsion
from bostruct.surrogates.networks.dataset import prepare_training_set
from bostruct.surrogates.networks.network import NetworkWeights
from bostruct.surrogates.networks.training import (
    draw_dropout_masks,
    forward,
    scaled_errors,
    squared_loss,
    structure_dropout_masks,
    train,
    training_error,
)
from tests.surrogates.small import SMALL


@pytest.fixture(scope="module")
def lesson(data):
    stiff = replace(SMALL, pair_repulsion=PairRepulsion(strength=20.0))
    return prepare_training_set(stiff, data[:10], None)[1]


def begin(lesson, members=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = lesson.inputs.shape[1], 1, SMALL.width
    weights = NetworkWeights.initialize(sizes, generator, n_backbones=members, n_heads=members)
    return weights, generator


def test_training_is_a_pure_function_and_lowers_the_loss(lesson):
    first, second = (
        train(start, SMALL, lesson, squared_loss(), generator)
        for start, generator in (begin(lesson), begin(lesson))
    )
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad
    start, _ = begin(lesson)
    before, after = (training_error(w, lesson, squared_loss()) for w in (start, first))
    assert after[0] < 0.3 * before[0]
    assert after[2] < before[2]


def test_slopes_of_the_loss_are_those_of_differences(lesson):
    part = lesson.subset(torch.tensor([0, 4]))
    start, _ = begin(lesson)

    def loss(*values):
        return squared_loss()(forward(NetworkWeights(*values), part), part, 0.0)

    values = [value.clone().requires_grad_() for value in start.parameters()]
    generator = torch.Generator().manual_seed(2)
    along = [torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in values]
    slopes = torch.autograd.grad(loss(*values), values, allow_unused=True)
    found = sum((g * a).sum() for g, a in zip(slopes, along, strict=True) if g is not None)
    with torch.no_grad():
        up, down = (
            loss(*(v + h * a for v, a in zip(values, along, strict=True))) for h in (1e-5, -1e-5)
        )
    torch.testing.assert_close(found, (up - down) / 2e-5, rtol=1e-6, atol=0)


def test_a_structure_of_weight_zero_is_not_seen(lesson):
    """Two members, each without one structure: its energy may be anything."""
    weight = torch.ones(2, 10).double()
    weight[0, 3] = 0
    spoiled = lesson.energy.clone()
    spoiled[3] += 10
    found = [
        train(start, SMALL, wrong, squared_loss(weight), generator)
        for wrong in (lesson, replace(lesson, energy=spoiled))
        for start, generator in [begin(lesson)]
    ]
    assert torch.equal(found[0].last_weights[0], found[1].last_weights[0])
    assert not torch.equal(found[0].last_weights[1], found[1].last_weights[1])


def test_distrusted_structures_count_less(lesson):
    start, _ = begin(lesson)
    e, g = scaled_errors(forward(start, lesson), lesson)
    twice = replace(lesson, noise_factor=2 * lesson.noise_factor)
    e2, g2 = scaled_errors(forward(start, lesson), twice)
    torch.testing.assert_close(e2, e / 2)
    torch.testing.assert_close(g2, g / 2)


def test_energies_alone_teach_as_well(data):
    _, bare = prepare_training_set(SMALL, replace(data[:10], forces=None), None)
    start, generator = begin(bare)
    found = train(start, SMALL, bare, squared_loss(), generator)
    assert (
        training_error(found, bare, squared_loss())[1]
        < training_error(start, bare, squared_loss())[1]
    )
    assert training_error(found, bare, squared_loss())[2] == 0.0


def test_two_structures_are_enough(data):
    _, two = prepare_training_set(SMALL, data[:2], None)
    start, generator = begin(two)
    found = train(start, SMALL, two, squared_loss(), generator)
    assert (
        training_error(found, two, squared_loss())[0]
        < training_error(start, two, squared_loss())[0]
    )


def test_masks_keep_the_mean():
    generator = torch.Generator().manual_seed(0)
    found = draw_dropout_masks(2000, 50, 0.2, generator)
    assert set(found.unique().tolist()) == {0.0, 1.25}
    assert float(found.mean()) == pytest.approx(1.0, abs=0.01)


def test_a_structure_is_thinned_as_a_whole(lesson):
    weights, generator = begin(lesson)
    first, second = structure_dropout_masks(weights, lesson, 0.5, generator)
    assert first.shape == second.shape == (1, 60, SMALL.width)
    by_structure = first.view(10, 6, -1)
    assert (by_structure == by_structure[:, :1]).all()
    assert not torch.equal(by_structure[0], by_structure[1])
    kept = train(weights, SMALL, lesson, squared_loss(), generator, dropout_rate=0.1)
    assert kept.last_weights.isfinite().all()

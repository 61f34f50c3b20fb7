"""The written-out network against autograd."""

from dataclasses import asdict

import pytest
import torch

from bostruct.errors import InputError
from bostruct.surrogates.networks.network import (
    STD_BIAS_INIT,
    NetworkConfig,
    NetworkWeights,
    check_members,
)


def drawn(backbones=3, heads=3):
    generator = torch.Generator().manual_seed(0)
    weights = NetworkWeights.initialize((5, 2, 7), generator, n_backbones=backbones, n_heads=heads)
    x = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    return weights, x, torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("backbones", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_those_of_autograd(backbones, masked):
    weights, x, place = drawn(backbones)
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(2, 3, 1, 7, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    layers = weights.hidden_layers(x, place, tuple(masks) if masked else None)
    local, slopes = weights.atomic_energies(layers), weights.input_gradients(layers)
    assert local.shape == (3, 4)
    assert slopes.shape == (3, 4, 5)
    for m in range(3):
        (slope,) = torch.autograd.grad(local[m].sum(), x, retain_graph=True)
        torch.testing.assert_close(slopes[m], slope)


def test_members_are_networks_of_their_own():
    weights, x, place = drawn()
    together = weights.atomic_energies(weights.hidden_layers(x, place))
    alone = NetworkWeights(*(value[1:2] for value in weights.parameters()))
    torch.testing.assert_close(together[1:2], alone.atomic_energies(alone.hidden_layers(x, place)))
    assert (together[0] - together[1]).abs().min() > 0


def test_heads_are_columns_of_one_linear_layer():
    weights, x, place = drawn(backbones=1)
    layers = weights.hidden_layers(x, place)
    linear = torch.nn.Linear(7, 3, bias=False, dtype=torch.float64)
    linear.weight.data = weights.last_weights
    torch.testing.assert_close(weights.atomic_energies(layers), linear(layers.second[0]).T)


def test_species_shift_the_first_layer():
    weights, x, _ = drawn()
    first, second = (
        weights.atomic_energies(weights.hidden_layers(x, torch.full((4,), k))) for k in (0, 1)
    )
    assert (first - second).abs().min() > 0


def test_deviations_are_positive_and_frozen_if_asked():
    weights, x, place = drawn()
    x.requires_grad_()
    layers = weights.hidden_layers(x, place)
    found = weights.atomic_std(layers)
    torch.testing.assert_close(found, torch.full_like(found, 0.01))
    assert weights.std_bias[0] == STD_BIAS_INIT
    assert found.requires_grad
    assert not weights.atomic_std(layers, detach_hidden=True).requires_grad


def test_weights_come_back_from_their_tensors():
    weights, _, _ = drawn()
    again = NetworkWeights.restore(weights.tensors())
    for one, other in zip(weights.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_description_is_json():
    assert asdict(NetworkConfig(width=3))["width"] == 3
    assert asdict(NetworkConfig())["pair_repulsion"] == {
        "strength": None,
        "range_factor": 1.0,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cutoff", -1.0),
        ("n_components", 0),
        ("width", 0),
        ("n_steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("seed", -1),
        ("n_max", 0),
    ],
)
def test_refusals(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be"):
        NetworkConfig(**{name: value})


def test_refusals_of_members():
    with pytest.raises(InputError, match=r"`n_members` must be .* at least 2, got 1"):
        check_members(1)
    assert check_members(2) == 2

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import LayerBatch
from bostruct.uncertainty.linear_model.last_layer_features import (
    extract_features,
    last_linear_name,
    negative_position_jacobian,
    position_gradients,
)
from tests.uncertainty.networks import Atomistic, normal, perceptron

X = normal(7, 4)
INDEX = torch.tensor([0, 0, 0, 1, 1])
ATOMS = normal(5, 3, seed=3)


def test_rows_are_the_inputs_of_the_layer_and_a_column_of_ones_for_its_bias():
    """Trap 12: without the constant a biased layer lacks a weight."""
    model = perceptron()
    answer, found = extract_features(model, ["2"], LayerBatch(X))
    hidden = torch.tanh(model[0](X))
    assert torch.equal(answer, model(X))
    assert torch.equal(found, torch.cat([hidden, torch.ones(7, 1)], 1))
    assert torch.equal(extract_features(perceptron(bias=False), ["2"], LayerBatch(X))[1], hidden)


def test_rows_times_weights_are_the_energy():
    """The constant of a sum over atoms is their number, not one."""
    model = Atomistic()
    energy, f = extract_features(model, ["head"], LayerBatch((ATOMS, INDEX), structure_index=INDEX))
    weights = torch.cat([model.head.weight[0], model.head.bias])
    torch.testing.assert_close(f @ weights, energy)
    assert f[:, -1].tolist() == [3.0, 2.0]


def test_several_layers_stand_side_by_side():
    model = perceptron()
    _, both = extract_features(model, ["0", "2"], LayerBatch(X))
    _, second = extract_features(model, ["2"], LayerBatch(X))
    assert both.shape == (7, 5 + 7)
    assert torch.equal(both[:, 5:], second)


def test_the_last_layer_is_the_one_that_runs_last():
    """Not the one that was defined last."""

    class Crossed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.late = torch.nn.Linear(3, 1)
            self.early = torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.late(self.early(x).tanh())

    assert last_linear_name(Crossed().double(), LayerBatch(X)) == "late"
    with pytest.raises(InputError, match=r"run a torch.nn.Linear, got none"):
        last_linear_name(torch.nn.Tanh(), LayerBatch(X))


def test_slopes_are_those_of_central_differences():
    model, step = Atomistic(), 1e-5
    with position_gradients(ATOMS):
        _, f = extract_features(model, ["head"], LayerBatch((ATOMS, INDEX), structure_index=INDEX))
        g = negative_position_jacobian(f, ATOMS, block_size=4)
        one = negative_position_jacobian(f, ATOMS, block_size=1)
    assert not ATOMS.requires_grad
    torch.testing.assert_close(g, one)
    assert g.shape == (5, 3, 6)
    assert bool((g[..., -1] == 0).all()), "no constant enters a force"
    for atom, axis in ((0, 0), (2, 1), (4, 2)):
        moved = ATOMS.repeat(2, 1, 1)
        moved[:, atom, axis] += torch.tensor([step, -step], dtype=torch.float64)
        up, down = (
            extract_features(model, ["head"], LayerBatch((r, INDEX), structure_index=INDEX))[1]
            for r in moved
        )
        expected = -((up - down) / (2 * step)).sum(0).detach()
        torch.testing.assert_close(g[atom, axis], expected, rtol=1e-6, atol=1e-8)


def test_a_tensor_that_already_moves_goes_on_moving():
    leaf = ATOMS.clone().requires_grad_()
    with position_gradients(leaf):
        pass
    assert leaf.requires_grad


def test_hooks_are_gone_afterwards():
    model = perceptron()
    extract_features(model, ["2"], LayerBatch(X))
    with pytest.raises(ShapeError, match=r"\[n, w\], got shape \[1, 7, 4\]"):
        extract_features(model, ["0"], LayerBatch(X.unsqueeze(0)))
    assert not any(module._forward_pre_hooks for module in model.modules())


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x))


class Squares(torch.nn.Module):
    bias = None

    def forward(self, x):
        return x.square().sum(1)


def test_layers_of_other_libraries_are_taken_if_they_are_linear():
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return 3 * x.sum(1)

    found = extract_features(torch.nn.Sequential(Scaled()), ["0"], LayerBatch(X))[1]
    assert torch.equal(found, X)
    with pytest.raises(InputError, match=r"`0` must be linear in its inputs, got a"):
        extract_features(torch.nn.Sequential(Squares()), ["0"], LayerBatch(X))


def test_what_cannot_be_read_is_refused():
    with pytest.raises(InputError, match=r"got 'head'. Linear layers: 0, 2"):
        extract_features(perceptron(), ["head"], LayerBatch(X))
    with pytest.raises(InputError, match=r"run once in a call of the model, got 2 tim"):
        extract_features(Twice().double(), ["layer"], LayerBatch(X))
    model = Atomistic()
    with pytest.raises(ShapeError, match="one number for each of the 5 rows"):
        extract_features(model, ["head"], LayerBatch((ATOMS, INDEX), structure_index=INDEX[:3]))
    for wrong in (INDEX * 2, INDEX - 1):
        with pytest.raises(InputError, match="number the structures from 0 on"):
            extract_features(model, ["head"], LayerBatch((ATOMS, INDEX), structure_index=wrong))


def test_positions_that_the_network_does_not_see_are_refused():
    other = ATOMS.clone()
    with position_gradients(other):
        _, f = extract_features(
            Atomistic(), ["head"], LayerBatch((ATOMS, INDEX), structure_index=INDEX)
        )
        with pytest.raises(InputError, match="be an input of the network"):
            negative_position_jacobian(f, other)
    with pytest.raises(InputError, match="Put this very tensor into `inputs`"):
        negative_position_jacobian(f.detach(), other)

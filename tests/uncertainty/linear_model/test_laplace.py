"""Equations 9 to 12 against linear regression and finite differences."""

import math
import sys

import pytest
import torch

from bostruct.errors import InputError, ShapeError
from bostruct.uncertainty import (
    BayesianLinearModel,
    RandomProjection,
    laplace_approximation,
    loss_curvature,
    parameter_jacobian,
)


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_curvatures_are_second_derivatives():
    e = torch.tensor([0.3, -2.0]).double().requires_grad_()
    variance = torch.tensor([0.5, 4.0]).double()
    losses = {
        "half": (e.square() / 2, {}),
        "square": (e.square(), {}),
        "gaussian": ((e.square() / variance + variance.log()) / 2, {}),
        "huber": (
            torch.nn.functional.huber_loss(e, torch.zeros_like(e), reduction="none", delta=1.0),
            {"huber_delta": 1.0},
        ),
    }
    losses["gaussian"] = (losses["gaussian"][0], {"variance": variance})
    for name, (loss, more) in losses.items():
        (first,) = torch.autograd.grad(loss.sum(), e, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), e, allow_unused=True)
        found = loss_curvature(name, e.detach(), **more)
        torch.testing.assert_close(found, second)
        torch.testing.assert_close(
            loss_curvature(name, e.detach(), loss_weight=3.0, **more), 3 * second
        )


def test_a_linear_model_is_bayesian_regression():
    X, y = draws(30, 4), draws(30, seed=1)
    model = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
    flat = torch.nn.Sequential(model, torch.nn.Flatten(0))
    rows = parameter_jacobian(flat, X)
    assert torch.equal(rows, X)
    found = laplace_approximation(rows, loss_curvature("half", y), ridge=0.3, alpha2=0.7)
    expected = BayesianLinearModel.fit(X, ridge=0.3, alpha2=0.7)
    asked = draws(5, 4, seed=2)
    torch.testing.assert_close(found.variance(asked), expected.variance(asked))


def test_what_multiplies_the_loss_goes_into_the_calibration():
    rows, asked, c = draws(20, 4), draws(5, 4, seed=2), 7.0
    e = draws(20, seed=1)
    one = laplace_approximation(rows, loss_curvature("half", e), ridge=0.3)
    scaled = laplace_approximation(rows, loss_curvature("half", e, loss_weight=c), ridge=c * 0.3)
    torch.testing.assert_close(scaled.variance(asked), one.variance(asked) / c)
    held = draws(5, seed=3).square()
    a2, b2 = ((held / m.variance(asked)).mean() for m in (one, scaled))
    torch.testing.assert_close(b2, c * a2)
    torch.testing.assert_close(
        scaled.calibrated(b2).variance(asked), one.calibrated(a2).variance(asked)
    )


def test_it_is_the_hessian_where_residuals_vanish():
    """Finite differences of the gradient of a two-layer network's loss."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)
    ).double()
    model.append(torch.nn.Flatten(0))
    X = draws(12, 2)
    y = model(X).detach() + 1e-9 * draws(12, seed=1)
    parameters = list(model.parameters())

    def slope():
        loss = (model(X) - y).square().sum()
        found = torch.autograd.grad(loss, parameters)
        return torch.cat([one.flatten() for one in found])

    columns = []
    for parameter in parameters:
        flat = parameter.data.view(-1)
        for k in range(flat.numel()):
            flat[k] += 1e-5
            up = slope()
            flat[k] -= 2e-5
            down = slope()
            flat[k] += 1e-5
            columns.append((up - down) / 2e-5)
    hessian = torch.stack(columns)
    rows = parameter_jacobian(model, X)
    found = laplace_approximation(rows, loss_curvature("square", y), ridge=1e-3).hessian
    eye = 1e-3 * torch.eye(13, dtype=torch.float64)
    torch.testing.assert_close(found - eye, hessian, rtol=1e-5, atol=1e-6)


def test_several_outputs_share_their_weights():
    J, root = draws(6, 3, 5), draws(6, 3, 3, seed=1)
    inner = root @ root.mT
    inner[0] = torch.outer(root[0, 0], root[0, 0])  # of rank one
    found = laplace_approximation(J, inner, ridge=0.1).hessian
    expected = torch.einsum("ntp,ntu,nuq->pq", J, inner, J)
    torch.testing.assert_close(found, expected + 0.1 * torch.eye(5).double())


def test_a_loss_per_atom_divides_the_rows_but_not_what_is_asked():
    """Ten times the atoms with a sum ten times as large: the same information."""
    rows, atoms = draws(20, 4), torch.tensor(10 * [3] + 10 * [30])
    found = laplace_approximation(rows, torch.ones(20).double(), ridge=0.3, n_atoms=atoms)
    by_hand = BayesianLinearModel.fit(rows / atoms.unsqueeze(1), ridge=0.3)
    asked = draws(5, 4, seed=2)
    torch.testing.assert_close(found.variance(asked), by_hand.variance(asked))
    naive = laplace_approximation(rows, torch.ones(20).double(), ridge=0.3)
    assert (found.variance(asked) > 3 * naive.variance(asked)).all()


def test_rows_beyond_the_knee_say_nothing():
    rows, e = draws(20, 4), draws(20, seed=1)
    found = laplace_approximation(rows, loss_curvature("huber", e, huber_delta=1.0), ridge=0.3)
    torch.testing.assert_close(
        found.hessian, BayesianLinearModel.fit(rows[e.abs() <= 1], ridge=0.3).hessian
    )


def test_parts_add_up():
    rows, one = draws(20, 4), torch.ones(20).double()
    whole = laplace_approximation(rows, one, ridge=0.3)
    parts = laplace_approximation(rows[:7], one[:7], ridge=0.3) + laplace_approximation(
        rows[7:], one[7:], ridge=0.3
    )
    torch.testing.assert_close(parts.hessian, whole.hessian)


def test_several_outputs_have_rows_of_their_own():
    model = torch.nn.Linear(3, 2, dtype=torch.float64)
    model.bias.requires_grad_(False)
    X = draws(4, 3)
    rows = parameter_jacobian(model, X)
    assert rows.shape == (4, 2, 6)
    torch.testing.assert_close(rows[:, 0, :3], X)
    assert (rows[:, 0, 3:] == 0).all()


def test_a_sketch_keeps_inner_products_on_average():
    f = draws(2, 40)
    exact = f @ f.T
    found = torch.stack([(s := RandomProjection(30, seed)(f)) @ s.T for seed in range(400)])
    spread = exact.diagonal().max() * math.sqrt(2 / 30 / 400)
    assert (found.mean(0) - exact).abs().max() < 4 * spread
    each = found[:, 0, 0].std() / exact[0, 0]
    assert float(each) == pytest.approx(math.sqrt(2 / 30), rel=0.2)


def test_a_sketch_is_linear_and_fixed(monkeypatch):
    f = draws(3, 2, 50)
    sketch = RandomProjection(8, seed=3)
    assert sketch(f).shape == (3, 2, 8)
    torch.testing.assert_close(sketch(2 * f[0]), 2 * sketch(f)[0])
    whole = sketch(f)
    module = sys.modules[RandomProjection.__module__]
    monkeypatch.setattr(module, "rows_per_block", lambda size: 16)
    torch.testing.assert_close(sketch(f), whole)


def test_refusals_of_curvatures():
    e = draws(3)
    with pytest.raises(InputError, match="`loss` must be one of half, square"):
        loss_curvature("cubic", e)
    with pytest.raises(InputError, match="`variance` must be given for the loss gau"):
        loss_curvature("gaussian", e)
    with pytest.raises(InputError, match="`huber_delta` must be given for the loss huber"):
        loss_curvature("half", e, huber_delta=1.0)
    with pytest.raises(InputError, match="`huber_delta` must be positive"):
        loss_curvature("huber", e, huber_delta=0.0)
    with pytest.raises(InputError, match="`variance` must be positive and finite"):
        loss_curvature("gaussian", e, variance=torch.zeros(3).double())
    with pytest.raises(ShapeError, match=r"`variance` must have shape \[3\]"):
        loss_curvature("gaussian", e, variance=torch.ones(2).double())
    with pytest.raises(InputError, match="`loss_weight` must be positive"):
        loss_curvature("half", e, loss_weight=0.0)


def test_refusals_of_rows():
    rows, one = draws(4, 3), torch.ones(4).double()
    with pytest.raises(InputError, match="`curvatures` must be not negative, got -1"):
        laplace_approximation(rows, -one, ridge=1.0)
    with pytest.raises(InputError, match="`curvatures` must have one above zero"):
        laplace_approximation(rows, 0 * one, ridge=1.0)
    with pytest.raises(ShapeError, match=r"`curvatures` must have shape \[4\]"):
        laplace_approximation(rows, one[:2], ridge=1.0)
    with pytest.raises(ShapeError, match=r"`jacobian` must have shape \[\*, \*\]"):
        laplace_approximation(one, one, ridge=1.0)
    with pytest.raises(InputError, match="`n_atoms` must be positive"):
        laplace_approximation(rows, one, ridge=1.0, n_atoms=0 * one)


def test_memory_is_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr("bostruct.uncertainty.linear_model.laplace.free_bytes", lambda _: 100)
    with pytest.raises(InputError, match=r"`model` must need at most .* project them"):
        parameter_jacobian(torch.nn.Linear(3, 2), torch.zeros(4, 3))


def test_refusals_of_models():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(ShapeError, match=r"`model` must answer `\[4\]` or"):
        parameter_jacobian(model, torch.zeros(4, 5, 3))
    with pytest.raises(InputError, match="`model` must have weights that are not fro"):
        parameter_jacobian(model.requires_grad_(False), torch.zeros(4, 3))
    with pytest.raises(InputError, match="`n_components` must be an integer of at least 1"):
        RandomProjection(0)
    with pytest.raises(InputError, match="`seed` must be an integer of at least 0"):
        RandomProjection(2, seed=-1)

"""The batched ascent against functions whose maxima are known."""

import math

import pytest
import torch

from bostruct.candidates import relax
from bostruct.candidates.batched_lbfgs import COMPACTION_FRACTION
from bostruct.errors import InputError

TIGHT = 1e-8  # gradients at rest in these tests; the functions are smooth


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def valley(scales, centre):
    """Return minus a quadratic: `scales` `[b, d]` or `[d]`, least at `centre`."""
    return lambda X: -0.5 * (scales * (X - centre).square()).sum(-1)


def rosenbrock(X):
    x, y = X[..., 0], X[..., 1]
    return -((1 - x).square() + 100 * (y - x.square()).square())


class Rows:
    """A different function for each row, which stays with its row.

    Column 0 of X says which row it is; it has no slope, so it never moves.
    """

    def __init__(self, b, d):
        self.scales = 10 ** random(b, d, seed=1)
        self.centres = random(b, d, seed=2)
        label = torch.arange(b, dtype=torch.float64).unsqueeze(-1)
        self.start = torch.cat((label, random(b, d, seed=3)), -1)
        self.evaluated = []

    def __call__(self, X):
        row = X[:, 0].detach().round().long()
        self.evaluated.append(row.tolist())
        off = X[:, 1:] - self.centres[row]
        return -0.5 * (self.scales[row] * off.square()).sum(-1) + row


def test_ill_conditioned_quadratic():
    """The condition 1e4 would cost steepest descent some 1e5 steps; this takes 200 to 450."""
    scales = torch.logspace(0, 4, 8, dtype=torch.float64)
    centre = random(8, seed=4)
    found = relax(valley(scales, centre), random(16, 8), fmax=1e-6, max_steps=500)
    assert found.converged.all()
    assert (found.n_steps < 500).all()
    torch.testing.assert_close(
        found.X, centre.expand_as(found.X), atol=1e-6, rtol=0
    )  # gradient 1e-6 over the least curvature 1
    assert (found.acq_value <= 0).all()


def test_rosenbrock_from_everywhere():
    starts = torch.tensor([[-1.2, 1.0], [2.0, 2.0], [-2.0, -1.0], [0.0, 3.0]], dtype=torch.float64)
    found = relax(rosenbrock, starts, fmax=TIGHT, max_steps=500, max_step=0.5)
    assert found.converged.all()
    torch.testing.assert_close(found.X, torch.ones_like(starts), atol=1e-6, rtol=0)


def test_every_row_finds_its_own_maximum():
    """Rows that end early are put aside; what is left must stay in its place."""
    b = 40
    value = Rows(b, 5)
    value.start[::3, 1:] = value.centres[::3]  # a third is there already
    found = relax(value, value.start, fmax=TIGHT, max_steps=400, max_step=1.0)
    assert found.converged.all()
    off = value.scales * (found.X[:, 1:] - value.centres).abs()  # the gradient
    assert (off < TIGHT).all()
    assert torch.equal(found.X[:, 0], value.start[:, 0])
    torch.testing.assert_close(found.acq_value, value.start[:, 0], atol=1e-10, rtol=0)
    assert (found.n_steps[::3] == 0).all()
    assert (found.n_steps[1::3] > 0).all()
    sizes = [len(rows) for rows in value.evaluated]
    assert sizes[0] == b
    assert sizes[1] < COMPACTION_FRACTION * b
    assert sizes == sorted(sizes, reverse=True)


def test_batch_equals_one_by_one():
    value = Rows(12, 4)
    together = relax(value, value.start, max_steps=37)
    for row in range(12):
        alone = relax(value, value.start[row : row + 1], max_steps=37)
        torch.testing.assert_close(alone.X[0], together.X[row], atol=1e-9, rtol=0)
        assert alone.n_steps[0] == together.n_steps[row]
        assert alone.converged[0] == together.converged[row]


def test_is_never_worse_than_its_start():
    """On a rough landscape, with any number of steps."""

    def rough(X):
        return (X.sin() * (3.7 * X).cos() * 5).sum(-1) - 0.01 * X.square().sum(-1)

    starts = 4 * random(64, 6)
    least = rough(starts)
    for steps in (0, 1, 2, 5, 20):
        found = relax(rough, starts, max_steps=steps, max_step=1.0)
        assert (found.acq_value >= least).all()
        torch.testing.assert_close(found.acq_value, rough(found.X), rtol=1e-12, atol=1e-12)
        least = found.acq_value  # more steps go on from where fewer ended
    assert (least > rough(starts)).all()


def test_step_limit_holds_for_every_evaluation():
    seen = []

    def value(X):
        seen.append(X.detach().clone())
        return 1e6 * X.sum(-1) - X.square().sum(-1)

    starts = random(5, 3)
    found = relax(value, starts, max_steps=30, max_step=0.2)
    best = starts
    for X in seen[1:]:
        assert (X - best).abs().max() <= 0.2 * (1 + 1e-12)
        best = X  # uphill all the way: every step is kept
    assert (found.n_steps == 30).all()
    assert not found.converged.any()
    assert (found.X - starts).abs().max() > 0.2 * 20


def test_zero_steps_only_look():
    starts = random(4, 3)
    value = valley(torch.ones(3, dtype=torch.float64), torch.zeros(3))
    found = relax(value, starts, max_steps=0)
    assert torch.equal(found.X, starts)
    assert torch.equal(found.acq_value, value(starts))
    assert found.n_steps.tolist() == [0] * 4
    assert not found.converged.any()


def test_start_at_rest_is_done():
    calls = []

    def value(X):
        calls.append(len(X))
        return -X.square().sum(-1)

    found = relax(value, torch.zeros(3, 2, dtype=torch.float64))
    assert found.converged.all()
    assert found.n_steps.tolist() == [0, 0, 0]
    assert calls == [3]


def test_empty_batch():
    found = relax(lambda X: -X.square().sum(-1), torch.zeros(0, 6))
    assert found.X.shape == (0, 6)
    assert len(found.acq_value) == len(found.n_steps) == len(found.converged) == 0


def test_projection_holds_everywhere():
    """Uphill leads out of the ball; the best place in it is on its edge."""
    seen = []
    goal = torch.tensor([3.0, 4.0], dtype=torch.float64)

    def ball(X):
        length = torch.linalg.vector_norm(X, dim=-1, keepdim=True)
        return X / length.clamp(min=1)

    def value(X):
        seen.append(X.detach())
        return -(X - goal).square().sum(-1)

    found = relax(value, 3 * random(6, 2), project=ball, max_steps=200, fmax=1e-3)
    for X in seen:
        assert (torch.linalg.vector_norm(X, dim=-1) <= 1 + 1e-12).all()
    expected = (goal / 5).expand(6, 2)
    torch.testing.assert_close(found.X, expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_walls_of_nonsense_are_survived(poison):
    """Beyond |x| = 1 the value is no number; the maximum lies just inside."""

    def value(X):
        inside = -(X - 0.95).square().sum(-1)
        return torch.where((X.abs() > 1).any(-1), inside * 0 + poison, inside)

    starts = torch.tensor([[0.0, -0.9], [0.5, 0.5], [3.0, 0.0]], dtype=torch.float64)
    found = relax(value, starts, max_step=0.5, max_steps=100, fmax=1e-6)
    torch.testing.assert_close(found.X[:2], torch.full_like(starts[:2], 0.95), atol=1e-5, rtol=0)
    assert found.converged.tolist() == [True, True, False]
    assert torch.equal(found.X[2], starts[2])
    assert found.acq_value[2] == -math.inf
    assert found.n_steps[2] == 0


def test_gradient_that_is_no_number_is_a_wall_too():
    """At 2 the value is finite, and its slope is 0 times infinity."""

    def value(X):
        x = X[:, 0]
        return torch.where(x < 1, -(x - 2).square(), -((x - 2).abs().sqrt() * 0 + 5))

    starts = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    found = relax(value, starts, max_steps=40)
    assert found.X.isfinite().all()
    assert found.X[0, 0] > 0.9
    assert found.acq_value.tolist()[1] == -math.inf
    assert not found.converged[1]


def test_a_corner_does_not_trap_the_batch():
    """|x| has no gradient below the tolerance: the row ends when it is stuck."""

    def corner(X):
        kink = X[:, 1] > 5
        return torch.where(kink, -X[:, 0].abs(), -X[:, 0].square())

    starts = torch.tensor([[0.7, 10.0], [0.7, 0.0]], dtype=torch.float64)
    found = relax(corner, starts, max_steps=1000, fmax=1e-6)
    assert found.converged.tolist() == [False, True]
    assert found.n_steps[0] < 200
    assert found.X[0, 0].abs() < 1e-2


def test_start_is_left_as_it_was():
    starts = random(3, 2).requires_grad_()
    before = starts.detach().clone()
    found = relax(lambda X: -X.square().sum(-1), starts)
    assert torch.equal(starts.detach(), before)
    assert not found.X.requires_grad
    assert not found.acq_value.requires_grad


def test_works_without_gradients_around_it():
    with torch.no_grad():
        found = relax(lambda X: -X.square().sum(-1), random(3, 2), fmax=1e-6)
    assert found.converged.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_follows_its_input(device, dtype):
    starts = random(6, 3).to(device, dtype)
    found = relax(lambda X: -X.square().sum(-1), starts, fmax=1e-3)
    assert found.X.dtype == found.acq_value.dtype == dtype
    for tensor in (found.X, found.acq_value, found.n_steps, found.converged):
        assert tensor.device.type == device.type
    assert found.converged.all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fmax": 0.0}, "`fmax` must be positive"),
        ({"max_steps": -1}, "`max_steps` must be an integer of at least 0"),
        ({"max_step": -0.1}, "`max_step` must be positive"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(InputError, match=match):
        relax(rosenbrock, random(2, 2), **arguments)


def test_a_function_with_a_gradient_of_its_own_is_asked_for_that():
    class Bowl:
        def __call__(self, X):
            raise AssertionError("the value alone is never needed")

        def value_and_gradient(self, X):
            assert not torch.is_grad_enabled() or not X.requires_grad
            return -X.square().sum(-1), -2 * X

    found = relax(Bowl(), random(4, 3), fmax=TIGHT, max_steps=50)
    assert found.converged.all()
    assert float(found.X.abs().max()) < TIGHT


def test_a_gradient_that_is_no_number_ends_a_relaxation():
    class Broken:
        def __call__(self, X):
            return X.sum(-1)

        def value_and_gradient(self, X):
            return X.sum(-1), torch.full_like(X, torch.nan)

    found = relax(Broken(), random(2, 3))
    assert found.acq_value.tolist() == [-math.inf] * 2
    assert not found.converged.any()


def test_no_step_leads_to_what_is_not_allowed():
    """The maximum lies beyond a border: rows end close to it, or at a maximum on this side."""
    centre = torch.tensor([2.0, 0.0], dtype=torch.float64)
    start = torch.cat((random(8, 2).clamp(max=0.5), torch.tensor([[-1.0, 0.0]]).double()))
    found = relax(valley(torch.ones(2), centre), start, contains=lambda X: X[:, 0] <= 1.0)
    assert (found.X[:, 0] <= 1.0).all()
    assert (found.X[:, 0] > 0.95).all()
    free = relax(valley(torch.ones(2), -centre), start, contains=lambda X: X[:, 0] <= 1.0)
    assert free.converged.all()

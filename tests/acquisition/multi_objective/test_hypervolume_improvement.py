import json
import math
from dataclasses import replace

import pytest
import torch

from bostruct.acquisition import Acquisition
from bostruct.acquisition.multi_objective.hypervolume_improvement import (
    ExpectedHypervolumeImprovement,
    qLogExpectedHypervolumeImprovement,
    qLogNoisyExpectedHypervolumeImprovement,
)
from bostruct.acquisition.multi_objective.parego import qLogNParEGO
from bostruct.errors import InputError
from bostruct.objectives import Constraint, hypervolume

FORMS = [
    ExpectedHypervolumeImprovement(),
    qLogExpectedHypervolumeImprovement(),
    qLogNoisyExpectedHypervolumeImprovement(),
    qLogNParEGO(),
]
LOGS = FORMS[1:]
BOXES = FORMS[:3]
X = torch.tensor([[[1.5, 2.5]], [[4.0, 0.5]], [[2.1, 2.1]], [[-0.5, -0.5]]], dtype=torch.float64)


def name(form):
    return type(form).__name__


each = pytest.mark.parametrize("form", FORMS, ids=name)
logs = pytest.mark.parametrize("form", LOGS, ids=name)
boxes = pytest.mark.parametrize("form", BOXES, ids=name)


def psi(a, mu, sigma):
    """E max(u - a, 0) of a normal u."""
    z = (mu - a) / sigma
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return (mu - a) * 0.5 * math.erfc(-z / math.sqrt(2)) + sigma * density


def by_hand(x, sigma=0.5):
    """The stairs (1, 3), (2, 2), (3, 1) from the origin, strip by strip."""
    a, b = x
    ends = [0.0, 1.0, 2.0, 3.0]
    heights = [3.0, 2.0, 1.0, 0.0]
    widths = [psi(end, a, sigma) for end in ends] + [0.0]
    return sum((widths[i] - widths[i + 1]) * psi(heights[i], b, sigma) for i in range(4))


def test_closed_form_by_hand(case):
    """In shares of the box from the origin to (3, 3)."""
    value = ExpectedHypervolumeImprovement().build(case())(X)
    expected = [by_hand(x[0].tolist()) / 9.0 for x in X]
    assert value.tolist() == pytest.approx(expected, rel=1e-8)


def test_closed_form_against_draws(case):
    """The definition: the mean gain of the front's hypervolume."""
    told = case()
    wanted = told.optimization_config, told.reference_point
    before = hypervolume(told.Y, *wanted)
    value = ExpectedHypervolumeImprovement().build(told)(X[:1])
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    draws = X[0] + 0.5 * normal
    gains = torch.tensor(
        [
            hypervolume(
                torch.cat([told.Y, y[None]]), told.optimization_config, told.reference_point
            )
            - before
            for y in draws
        ]
    )
    # 5 standard errors: a false alarm in two million.
    error = 5 * gains.std() / math.sqrt(300)
    assert abs(9.0 * value - gains.mean()) < error


def test_monte_carlo_by_hand(case):
    """The noisy form compares with fronts that are uncertain by 1e-3 only."""
    expected = [math.log(by_hand(x[0].tolist()) / 9.0) for x in X[:3]]
    value = qLogExpectedHypervolumeImprovement(2**12).build(case())(X[:3])
    # Quasi-random samples, and BoTorch's smooth kinks.
    assert value.tolist() == pytest.approx(expected, abs=0.03)


@boxes
@pytest.mark.parametrize("m", [1, 2, 3])
def test_certain_outcomes_gain_the_difference(form, m, case):
    generator = torch.Generator().manual_seed(m)
    rows = torch.rand(5, m, generator=generator, dtype=torch.float64)
    told = case(rows.tolist(), sigma=1e-5)
    new = rows.amax(dim=0, keepdim=True) * 0.9 + 0.05
    both = torch.cat([told.Y, new])
    gain = hypervolume(both, told.optimization_config, told.reference_point)
    gain -= hypervolume(told.Y, told.optimization_config, told.reference_point)
    share = gain / float((rows.amax(dim=0)).prod())
    few = type(form)(16) if form in LOGS else form
    value = few.build(told)(new.unsqueeze(0)).item()
    value = value if form in FORMS[:1] else math.exp(value)
    # tau_max rounds the corners of BoTorch's boxes by up to 1e-2 of a side.
    assert value == pytest.approx(share, rel=1e-3 if form in FORMS[:1] else 0.1)


@each
def test_known_outcomes_count_as_they_are(form, case):
    """Exact or believed with a tiny error: the same gain."""
    form = type(form)(2**11) if form in LOGS else form
    exact = form.build(case(learnt=1))(X[:3])
    model = case().model
    model.sigma = [0.5, 1e-4]
    told = case()
    object.__setattr__(told, "model", model)
    believed = form.build(told)(X[:3])
    torch.testing.assert_close(exact, believed, rtol=0.1, atol=0.1)
    assert torch.equal(exact.argsort(), believed.argsort())


@each
@pytest.mark.parametrize("factors", [(1000.0, 1.0), (1e-3, 1000.0)])
def test_units_do_not_matter(form, factors, case):
    one, other = factors
    plain = form.build(case(learnt=1))(X)
    changed = form.build(case(learnt=1, factor=one, known_factor=other))(X)
    torch.testing.assert_close(plain, changed, rtol=1e-6, atol=1e-12)


@each
def test_sure_to_be_infeasible_is_worth_nothing(form, case):
    """Even where it betters everything else."""
    rows = [[*row, 0.0] for row in [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]]
    rows += [[5.0, 5.0, 2.0]]
    bound = (Constraint("u2", upper=1.0),)
    candidates = torch.tensor([[[9.0, 9.0, 2.0]], [[2.3, 2.3, 0.9]]]).double()
    for learnt in (2, 3):
        told = case(rows, learnt=learnt, constraints=bound, sigma=0.01)
        bad, good = form.build(told)(candidates).tolist()
        if form in LOGS:
            assert bad < good - 15
            assert bad < -20
        else:
            assert bad < 1e-20 < good


@each
@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 3.0, 9.0], [2.0, 2.0, 9.0]],  # none is feasible
        [[1.0, math.nan, 0.0], [math.nan, 2.0, 0.0]],  # none is complete
        [[-1.0, 3.0, 0.0], [-2.0, 2.0, 0.0]],  # none is before the reference
    ],
)
def test_without_a_front_the_whole_box_is_new(form, rows, case):
    bound = (Constraint("u2", upper=1.0),)
    told = case(rows, constraints=bound, sigma=0.1)
    candidates = torch.tensor([[[3.0, 3.0, 0]], [[1.0, 1.0, 0]], [[3, 3, 1.5]]])
    best, small, dear = form.build(told)(candidates.double()).tolist()
    assert best > small > dear
    if form in BOXES:
        ratio = best / small if form in FORMS[:1] else math.exp(best - small)
        assert ratio == pytest.approx(9.0, rel=0.05)


@logs
def test_pending_candidates_are_not_gained_twice(form, case):
    pending = X[2]
    alone = form.build(case())(X[2:3] + 0.01)
    beside = form.build(case(X_pending=pending))(X[2:3] + 0.01)
    assert not torch.isclose(alone, beside)
    if form in LOGS[1:]:
        assert beside < alone - 0.5


def test_pending_candidates_join_every_set(case):
    form = qLogExpectedHypervolumeImprovement()
    together = form.build(case())(X[[0, 2]].reshape(1, 2, 2))
    found = form.build(case(X_pending=X[2]))(X[:1])
    torch.testing.assert_close(found, together)


def test_many_pending_candidates_count_as_in_the_noisy_form(case):
    """Sets of nine would have 511 subsets."""
    generator = torch.Generator().manual_seed(0)
    pending = 3.0 * torch.rand(8, 2, generator=generator, dtype=torch.float64)
    found = qLogExpectedHypervolumeImprovement().build(case(X_pending=pending))(X)
    noisy = qLogNoisyExpectedHypervolumeImprovement().build(case(X_pending=pending))
    assert torch.equal(found, noisy(X))


@logs
def test_many_pending_candidates_before_there_is_a_front(form, case):
    generator = torch.Generator().manual_seed(0)
    pending = 3.0 * torch.rand(8, 2, generator=generator, dtype=torch.float64)
    told = case([[-1.0, 3.0], [2.0, -2.0]], sigma=0.1, X_pending=pending)
    beside, beyond = form.build(told)(X[[2]] + torch.tensor([[[-1.9]], [[1.9]]]))
    assert beside < beyond - 1.0


def test_closed_form_refuses_pending(case):
    with pytest.raises(InputError, match=r"`X_pending` must be None, got \[1, 2\]"):
        ExpectedHypervolumeImprovement().build(case(X_pending=X[0]))


@each
def test_one_objective_will_do(form, case):
    told = case([[1.0], [2.0]], sigma=0.2)
    x = torch.tensor([[[2.5]], [[1.9]], [[0.9]]]).double()
    value = form.build(told)(x)
    assert value[0] > value[1] > value[2]
    assert value.isfinite().all()


@each
@pytest.mark.parametrize("second", [0.0, 0.9, 5.0])
def test_one_objective_with_a_constraint(form, second, case):
    """The best row is feasible, may be, or is not: there is a value all the same."""
    bound = (Constraint("u1", upper=1.0),)
    told = case([[1.0, 0.0], [2.0, second]], sigma=0.2, constraints=bound)
    x = torch.tensor([[[2.5, 0.1]], [[1.9, 0.2]], [[2.6, 6.0]]]).double()
    good, less, dear = form.build(told)(x).tolist()
    assert good > less > dear


@logs
def test_same_seed_same_value(form, case):
    values = [form.build(case(seed=seed))(X) for seed in (3, 3, 4)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


@each
def test_leaves_the_global_generator_alone(form, case):
    state = torch.get_rng_state()
    form.build(case())(X)
    assert torch.equal(torch.get_rng_state(), state)


@each
def test_gradients_are_finite(form, case):
    x = X.clone().requires_grad_()
    form.build(case(learnt=1))(x).sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).any()


def moved(told, *where):
    """The case in another format or on another device."""
    names = ("X_baseline", "Y", "reference_point")
    tensors = {name: getattr(told, name).to(*where) for name in names}
    return replace(told, **tensors)


@each
def test_follows_the_dtype_of_the_case(form, case):
    low = (Constraint("u1", upper=9.0),)
    told = case(learnt=1, constraints=low, objectives=2)
    value = form.build(moved(told, torch.float32))(X.float())
    assert value.dtype == torch.float32
    expected = form.build(told)(X)
    torch.testing.assert_close(value[:3].double(), expected[:3], rtol=0.02, atol=0.02)


@each
def test_follows_the_device_of_the_case(form, device, case):
    low = (Constraint("u1", upper=9.0),)
    told = case(learnt=1, constraints=low, objectives=2)
    value = form.build(moved(told, device))(X.to(device))
    assert value.device.type == device.type
    torch.testing.assert_close(value.cpu(), form.build(told)(X), rtol=1e-6, atol=1e-9)


@each
def test_describes_itself(form):
    assert isinstance(form, Acquisition)
    assert form.supports_multi_objective
    assert form.supports_q_batch is (form in LOGS)
    found = json.loads(json.dumps(form.description()))
    assert found.pop("type") == type(form).__name__
    assert type(form)(**found) == form


@logs
def test_refuses_no_samples(form):
    with pytest.raises(InputError, match="`n_samples` must be an integer of at least 1"):
        type(form)(n_samples=0)

import dataclasses
import json
import math
import warnings
from dataclasses import replace

import pytest
import torch
from botorch.acquisition import analytic, logei, monte_carlo

from bostruct import acquisition as module
from bostruct.acquisition import AcquisitionContext
from bostruct.acquisition.base import best_f_tensor
from bostruct.acquisition.monte_carlo import pruned_baseline
from bostruct.errors import InputError

# Central differences of step 1e-5 in float64: h² from the formula, 1e-16 / h from
# rounding; quasi-random values are smooth for fixed samples, but steep.
FINITE_DIFFERENCE = 1e-5


def supports_objectives(kind):
    """Whether an acquisition is of several objectives; neither true nor false of other names."""
    return getattr(kind, "supports_multi_objective", None)


def build(acquisition, setting, **kwargs):
    return acquisition.build(setting.context(X_baseline=setting.observed, **kwargs))


def candidates(acquisition, setting):
    return setting.X if acquisition.supports_q_batch else setting.X[:, :1]


# BoTorch's class and its arguments for the objective turned upside down.
TWINS = {
    "LowerConfidenceBound": (analytic.UpperConfidenceBound, {"beta": 1.5**2}),
    "ExpectedImprovement": (analytic.ExpectedImprovement, {"best_f": -1.7}),
    "LogExpectedImprovement": (analytic.LogExpectedImprovement, {"best_f": -1.7}),
    "ProbabilityOfImprovement": (analytic.ProbabilityOfImprovement, {"best_f": -1.7}),
    "LogProbabilityOfImprovement": (
        analytic.LogProbabilityOfImprovement,
        {"best_f": -1.7},
    ),
    "StandardDeviation": (analytic.PosteriorStandardDeviation, {}),
    "qLowerConfidenceBound": (monte_carlo.qUpperConfidenceBound, {"beta": 1.5**2}),
    "qExpectedImprovement": (monte_carlo.qExpectedImprovement, {"best_f": -1.7}),
    "qLogExpectedImprovement": (logei.qLogExpectedImprovement, {"best_f": -1.7}),
    "qNoisyExpectedImprovement": (monte_carlo.qNoisyExpectedImprovement, {}),
    "qLogNoisyExpectedImprovement": (logei.qLogNoisyExpectedImprovement, {}),
    "qProbabilityOfImprovement": (
        monte_carlo.qProbabilityOfImprovement,
        {"best_f": -1.7, "tau": 0.02},
    ),
    "qStandardDeviation": (monte_carlo.qPosteriorStandardDeviation, {}),
}


@pytest.mark.filterwarnings("ignore:.*has known numerical issues")
def test_is_the_flipped_objective_maximised(each, setting):
    """Lower energies are better here, larger utilities in BoTorch: the same value.

    The joint forms draw mu + L z; upside down that is -mu + L z with z turned too.
    """
    twin, arguments = TWINS[type(each).__name__]
    if "best_f" in arguments:
        best = torch.tensor(arguments["best_f"], dtype=torch.float64)
        arguments = arguments | {"best_f": best}
    X = candidates(each, setting)
    if each.supports_q_batch:
        together = X
        if "Noisy" in type(each).__name__:
            kept = pruned_baseline(each, setting.context(X_baseline=setting.observed, seed=3))
            arguments = arguments | {"X_baseline": kept, "prune_baseline": False}
            together = torch.cat([kept.expand(4, -1, -1), X], dim=-2)
        sampler = setting.flipped.reflected(together, each.n_samples, seed=3)
        arguments = arguments | {"sampler": sampler}
    flipped = twin(setting.flipped, **arguments)(X)
    value = build(each, setting, seed=3)(X)
    torch.testing.assert_close(value, flipped, rtol=1e-10, atol=1e-12)


def test_every_public_form_is_tested():
    public = {
        name for name in module.__all__ if supports_objectives(getattr(module, name)) is False
    }
    assert set(TWINS) == public


def test_is_an_acquisition(each):
    assert isinstance(each, module.Acquisition)
    assert each.supports_q_batch is type(each).__name__.startswith("q")


def test_description_is_json_and_names_every_field(each):
    description = each.description()
    assert json.loads(json.dumps(description)) == description
    assert description.pop("type") == type(each).__name__
    assert type(each)(**description) == each


def test_is_frozen(each):
    with pytest.raises(dataclasses.FrozenInstanceError):
        each.supports_q_batch = None


def test_one_value_per_set(each, setting):
    value = build(each, setting)(candidates(each, setting))
    assert value.shape == (4,)
    assert value.dtype == torch.float64
    assert value.isfinite().all()


def test_follows_the_dtype_of_its_input(each, setting):
    X = candidates(each, setting).float()
    function = each.build(setting.context(X_baseline=setting.observed.float()))
    assert function(X).dtype == torch.float32


def test_follows_the_device_of_its_input(each, setting, device):
    X = candidates(each, setting)
    function = each.build(setting.context(X_baseline=setting.observed.to(device)))
    value = function(X.to(device))
    assert value.device.type == device.type
    torch.testing.assert_close(value.cpu(), build(each, setting)(X))


def test_gradient_matches_central_differences(each, setting):
    function = build(each, setting)
    X = candidates(each, setting).clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(X).sum(), X)
    step = 1e-5
    with torch.no_grad():
        secant = torch.zeros_like(X)
        for q in range(X.shape[1]):
            for axis in range(2):
                shift = torch.zeros_like(X)
                shift[:, q, axis] = step
                rise = function(X + shift) - function(X - shift)
                secant[:, q, axis] = rise / (2 * step)
    # BoTorch differentiates qLogNEI's Cholesky update as it evaluates it, but the
    # largest of two near-ties may change within a step: an absolute part for that.
    torch.testing.assert_close(slope, secant, rtol=FINITE_DIFFERENCE, atol=1e-6)


def test_lower_energies_are_worth_more(each, setting):
    """The same σ and a lower mean: never less; only σ's forms do not care."""
    below, above = setting.X[:1, :1], setting.X[:1, :1] * torch.tensor([1.0, -1.0])
    if setting.model.mean(below) > setting.model.mean(above):
        below, above = above, below
    function = build(each, setting)
    if type(each).__name__.endswith("StandardDeviation"):
        torch.testing.assert_close(function(below), function(above), rtol=1e-2, atol=0)
    else:
        assert function(below) > function(above)


def test_silent(each, setting):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(each, setting)(candidates(each, setting))
    assert not caught


def test_leaves_the_global_generator_alone(each, setting):
    state = torch.get_rng_state()
    build(each, setting)(candidates(each, setting))
    assert torch.equal(torch.get_rng_state(), state)


def test_same_seed_same_value(joint, setting):
    values = [build(joint, setting, seed=seed)(setting.X) for seed in (3, 3, 4)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


@pytest.mark.filterwarnings("ignore:A not p.d., added jitter of 1.0e-08")
def test_coincident_candidates(each, setting):
    """Copies in one set have a singular covariance; there is a value all the same."""
    X = candidates(each, setting)
    X = X[:, :1].expand_as(X).clone().requires_grad_()
    value = build(each, setting)(X)
    value.sum().backward()
    assert value.isfinite().all()
    assert X.grad.isfinite().all()


def test_single_forms_refuse_pending(single, setting):
    with pytest.raises(InputError, match=r"`X_pending` must be None, got \[2, 2\]"):
        build(single, setting, X_pending=setting.X[0])


@pytest.mark.parametrize("best", [None, math.nan, math.inf, -math.inf])
def test_refuses_a_best_that_is_no_energy(best, setting):
    with pytest.raises(InputError, match="`best_f` must be a finite energy"):
        module.LogExpectedImprovement().build(setting.context(best_f=best))


def test_best_keeps_its_digits():
    """A Python float would become float32: 1e5 eV is then wrong by several meV."""
    found = best_f_tensor(AcquisitionContext(None, best_f=-123456.7891))
    assert found.item() == -123456.7891
    assert found.dtype == torch.float64


def test_forms_of_one_energy_refuse_objectives(each, setting, case):
    context = replace(case(), best_f=setting.best, X_baseline=case().X_baseline)
    name = type(each).__name__
    with pytest.raises(InputError, match=f"`optimization_config` must be None for {name}, got Opt"):
        each.build(context)


MULTI_OBJECTIVE = [
    module.ExpectedHypervolumeImprovement(),
    module.ParetoProbabilityOfImprovement(),
    module.qLogExpectedHypervolumeImprovement(),
    module.qLogNParEGO(),
    module.qLogNoisyExpectedHypervolumeImprovement(),
    module.qLogProbabilityOfFeasibility(),
]


@pytest.mark.parametrize("form", MULTI_OBJECTIVE, ids=lambda form: type(form).__name__)
def test_forms_of_objectives_refuse_one_energy(form, setting):
    assert isinstance(form, module.Acquisition)
    condition = f"`optimization_config` must be given for {type(form).__name__}, got NoneType"
    with pytest.raises(InputError, match=condition):
        form.build(setting.context(X_baseline=setting.observed))


def test_every_public_form_of_objectives_is_tested():
    flags = {name: supports_objectives(getattr(module, name)) for name in module.__all__}
    tested = {type(form).__name__ for form in MULTI_OBJECTIVE}
    assert tested == {name for name, flag in flags.items() if flag is True}

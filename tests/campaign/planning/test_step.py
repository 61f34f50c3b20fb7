from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal

from bostruct.acquisition import ExpectedImprovement, qLowerConfidenceBound
from bostruct.campaign.planning.step import initial_data_step, plan_step
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import Trial
from bostruct.candidates import ExhaustiveSearch
from bostruct.runtime.threads import THREAD_VARIABLES
from bostruct.spaces import Pool
from bostruct.surrogates import fit_surrogate
from tests.campaign.standin import campaign, start

CPU = torch.device("cpu")


def task(step, q=1, seed=0, **arguments):
    return StepContext(campaign(**arguments).components, seed, CPU, step, q)


def trial(number, X, energy=None, state="done"):
    return Trial(number, 0, f"k{number}-1", 1, state, "random", X, energy=energy)


@pytest.fixture
def known(log):
    return log.trials()


def test_the_first_step_is_random():
    found = plan_step(task(0), [])
    assert (found.kind, len(found.X), found.tensors) == ("random", 4, None)
    assert torch.equal(found.X, plan_step(task(0), []).X)
    assert not torch.equal(found.X, plan_step(task(0, seed=1), []).X)


def test_without_two_energies_it_stays_random(known):
    for trials in (known[:1], [trial(0, known[0].X, state="failed")] * 4):
        found = plan_step(task(1, q=2), trials)
        assert (found.kind, len(found.X)) == ("random", 2)
    assert plan_step(task(1), known[:2]).kind == "model"


def test_a_step_is_a_pure_function(known):
    one, two = plan_step(task(5, 2), known), plan_step(task(5, 2), known)
    assert torch.equal(one.X, two.X)
    assert one.predictions == two.predictions
    assert one.tensors.keys() == two.tensors.keys()
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)
    assert not torch.equal(one.X, plan_step(task(6, 2), known).X)


def test_what_is_written_down(known):
    found = plan_step(task(5, 2), known)
    assert found.X.dtype == torch.float64
    assert found.training_trials == list(range(8))
    assert "log_marginal_likelihood" in found.hyperparameters
    assert found.header["generators"] == ["drawn"] * 8
    assert found.seconds_fit >= 0
    assert found.seconds_search > 0
    assert set(found.predictions[0]) == {
        "mean",
        "latent_variance",
        "predictive_variance",
        "acquisition",
        "candidate_index",
    }


@pytest.mark.parametrize(
    "acquisition", [ExpectedImprovement(), qLowerConfidenceBound(n_samples=16)]
)
def test_other_acquisitions(known, acquisition):
    found = plan_step(task(5, 3, acquisition=acquisition), known)
    assert len({tuple(x.tolist()) for x in found.X}) == 3


def test_pending_trials_are_not_asked_for_again(known):
    first = plan_step(task(5), known)
    waiting = [*known, trial(8, first.X[0], state="running")]
    again = plan_step(task(5), waiting)
    assert not torch.equal(first.X, again.X)
    assert again.training_trials == list(range(8))


@pytest.mark.gpu
def test_on_cuda_it_is_the_same(known):
    parts = campaign().components
    here = plan_step(StepContext(parts, 0, CPU, 5, 2), known)
    there = plan_step(StepContext(parts, 0, torch.device("cuda"), 5, 2), known)
    assert there.X.device == CPU
    torch.testing.assert_close(here.X, there.X)
    for name in here.tensors:
        assert there.tensors[name].device == CPU
        torch.testing.assert_close(here.tensors[name], there.tensors[name])


class Liar(Model):
    """Promises 100 eV at the first member of a list, whatever was found there."""

    supports_multiple_outcomes = False
    num_outputs = 1
    batch_shape = torch.Size([])

    def fit(self, structures, space=None):
        return self

    def restore(self, tensors, space=None):
        return self

    def description(self):
        return {"kind": "Liar"}

    def posterior(self, X, observation_noise=False, **_):
        mean = torch.where(X[..., 0] == 0, -100.0, X[..., 0])
        C = torch.eye(X.shape[-2]).to(X).expand(*X.shape[:-1], X.shape[-2])
        return GPyTorchPosterior(MultivariateNormal(mean, 1e-4 * C))

    def condition_on_observations(self, X, Y, **_):
        return self

    def state(self):
        return {}

    def hyperparameters(self):
        return {}


def test_a_member_has_one_energy():
    """It is not looked at again, with whatever forces and for whatever promise."""
    pool = Pool([bulk(element) for element in ("Cu", "Ag", "Au", "Pt")])
    forces = torch.full((1, 3), 9.0)
    trials = [
        replace(trial(i, x, 3.0 * i), forces=forces) for i, x in enumerate(pool.members(0, 2))
    ]
    found = plan_step(task(1, q=3, space=pool, surrogate=Liar(), search=ExhaustiveSearch()), trials)
    assert found.X.flatten().tolist() == [2.0, 3.0]
    assert found.generators == ["listed"] * 2


def test_what_the_user_gave_comes_first():
    """Structures to evaluate, then random ones; none where two are enough."""
    found = plan_step(task(0, initial_structures=start(None, None, None), n_initial=None), [])
    assert (found.kind, found.generators) == ("initial_structures", ["initial_structures"] * 3)
    one = plan_step(task(0, initial_structures=start(None), n_initial=None), [])
    assert one.generators == ["initial_structures", "random"]
    more = plan_step(task(0, initial_structures=start(None), n_initial=3), [])
    assert more.generators == ["initial_structures"] + ["random"] * 3


def test_given_energies_are_used_from_the_first_step():
    mine = task(1, initial_structures=start(True, True, True), n_initial=None)
    step = initial_data_step(mine.components.initial_data)
    assert (step.kind, step.generators, len(step.results)) == (
        "initial_data",
        ["initial_structures"] * 3,
        3,
    )
    trials = [
        replace(trial(i, x, outcome.energy), attempt=0)
        for i, (x, outcome) in enumerate(zip(step.X, step.results, strict=True))
    ]
    found = plan_step(mine, trials)
    assert (found.kind, found.training_trials) == ("model", [0, 1, 2])
    mine = task(1, initial_structures=start(True, True, None), n_initial=None)
    assert plan_step(mine, trials[:2]).generators == ["initial_structures"]
    mine = task(1, initial_structures=start(True, True), n_initial=2)
    assert plan_step(mine, trials[:2]).generators == ["random"] * 2


def test_a_step_is_planned_in_one_thread(known, monkeypatch):
    """As many as the environment says, where it says something; afterwards all is as before."""
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    seen, before = [], torch.get_num_threads()

    def fit(*arguments):
        seen.append(torch.get_num_threads())
        return fit_surrogate(*arguments)

    monkeypatch.setattr("bostruct.campaign.planning.step.fit_surrogate", fit)
    torch.set_num_threads(2)
    try:
        plan_step(task(2), known)
        assert torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        plan_step(task(2), known)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]

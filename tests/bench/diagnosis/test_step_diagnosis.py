import pytest
import torch

from bostruct.bench.diagnosis.reference_minimum import ReferenceMinimum
from bostruct.bench.diagnosis.step_diagnosis import (
    _kappa_factor,
    diagnose_step,
    rebuild_acquisition,
)
from tests.campaign.standin import Draw, campaign


class Blind(Draw):
    """A search that never leaves a corner, where all atoms are close together."""

    def __call__(self, value, space, known, energies, generator):
        found = super().__call__(value, space, known, energies, generator)
        X = 0.05 * found.X
        with torch.no_grad():
            worth = value(X)
        return type(found)(X, worth, found.generator_names, found.n_steps, found.converged)


@pytest.fixture
def ran(tmp_path):
    def ran(search):
        made = campaign(search=search)
        return made, made.run(tmp_path / "run", seed=3)

    return ran


def model_at(log, X):
    posterior = log.posterior(log.steps()[-1].number).posterior(
        X.unsqueeze(0), observation_noise=True
    )
    return float(posterior.mean), float(posterior.variance) ** 0.5


def test_the_acquisition_is_that_of_the_step(ran):
    """Also where the weight of the uncertainty has changed."""
    made, log = ran(Draw(3))
    steps = [step for step in log.steps() if step.kind == "model"]
    assert len({_kappa_factor(step) for step in steps}) > 1
    for step in steps:
        (trial,) = [one for one in log.trial_records() if one.step == step.number]
        value = rebuild_acquisition(made, log, step, log.posterior(step.number))
        assert float(value(trial.X.unsqueeze(0))) == pytest.approx(trial.acquisition)


def extreme(log, made, worst):
    """Return the structure of many that the last step values least, or most."""
    X = made.components.space.sample(400, torch.Generator().manual_seed(1))
    model = log.posterior(log.steps()[-1].number)
    with torch.no_grad():
        there = model.posterior(X.unsqueeze(1))
    value = (there.variance.sqrt() - there.mean).flatten()
    return X[value.argmin() if worst else value.argmax()]


def test_the_search_missed_what_it_would_have_taken(ran):
    made, log = ran(Blind())
    X = extreme(log, made, worst=False)
    found = diagnose_step(made, log, log.steps()[-1], ReferenceMinimum(X, -2.0, -2.0))
    assert (found.step, found.cause) == (log.steps()[-1].number, "search")
    assert found.shortfall < 0


@pytest.mark.parametrize(("sigmas", "cause"), [(-5.0, "model"), (5.0, "model"), (1.0, "isomer")])
def test_the_model_is_wrong_or_others_promise_more(ran, sigmas, cause):
    made, log = ran(Draw(64))
    X = extreme(log, made, worst=True)
    mean, sigma = model_at(log, X)
    found = diagnose_step(
        made, log, log.steps()[-1], ReferenceMinimum(X, mean + sigmas * sigma, mean)
    )
    assert found.cause == cause
    assert found.z_score == pytest.approx(sigmas, rel=1e-6)
    assert found.shortfall > 0


def test_what_may_not_be_proposed_is_excluded(ran):
    made, log = ran(Draw())
    step = log.steps()[-1]
    seen = log.trials()[0].X
    for X in (seen, seen + 10.0):  # evaluated, outside the box
        assert diagnose_step(made, log, step, ReferenceMinimum(X, -2.0, -2.0)).cause == "excluded"

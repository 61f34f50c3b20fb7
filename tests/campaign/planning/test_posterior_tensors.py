import pytest
import torch

from bostruct.campaign.analysis.energy_comparison import EnergyComparison
from bostruct.campaign.planning.posterior_tensors import (
    CHUNK_SIZE,
    evaluate_in_chunks,
    posterior_marginals,
    posterior_mean_variance,
    posterior_tensors,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.candidates import Candidates
from bostruct.runtime.rng import N_PROBE_STRUCTURES, generator_for
from bostruct.surrogates import IndependentProperties, TrainingData, fit_surrogate
from tests.campaign import alloys
from tests.campaign.standin import Box, campaign


def test_many_candidates_are_looked_at_in_parts():
    sizes = []

    def noted(X):
        assert not torch.is_grad_enabled()
        sizes.append(len(X))
        return 2 * X.sum(-1)

    X = Box().sample(2 * CHUNK_SIZE + 3, generator_for(0))
    assert torch.equal(evaluate_in_chunks(noted, X), 2 * X.sum(-1))
    assert sizes == [CHUNK_SIZE, CHUNK_SIZE, 3]


def step_of(components):
    return StepContext(components, 0, torch.device("cpu"), 3, 2)


def considered(X):
    n = len(X)
    values, steps = torch.arange(n, dtype=torch.float64), torch.arange(n)
    return Candidates(X, values, ["a"] * n, steps, torch.ones(n, dtype=torch.bool))


def test_one_energy_has_no_axis_of_outcomes(made, tmp_path):
    step, acquisition, _ = made
    known = campaign(n=6).run(tmp_path / "run").trial_records()
    model = acquisition.context.model.model  # the fitted one, before its shrinkage
    X = Box().sample(5, generator_for(1))
    found = posterior_tensors(step, model, considered(X), [4, 2], known, [0, 1, 7])
    latent = model.posterior(X.unsqueeze(-2))
    noisy = model.posterior(X.unsqueeze(-2), observation_noise=True)
    assert torch.equal(found["candidates.mean"], latent.mean.flatten())
    assert torch.equal(found["candidates.latent_variance"], latent.variance.flatten())
    assert torch.equal(found["candidates.predictive_variance"], noisy.variance.flatten())
    joint = model.posterior(X[[4, 2]]).distribution.covariance_matrix
    assert torch.equal(found["chosen.covariance"], joint)
    numbers = found["compared.trials"].tolist()
    assert numbers == sorted(range(len(known)), key=lambda number: known[number].energy)
    X_compared = torch.stack([*(known[number].X for number in numbers), X[4], X[2]])
    expected = EnergyComparison.from_model(model, X_compared).tensors([known[n] for n in numbers])
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    probe = model.posterior(found["probe.X"].unsqueeze(-2))
    assert found["probe.X"].shape == (N_PROBE_STRUCTURES, X.shape[1])
    assert torch.equal(found["probe.mean"], probe.mean.flatten())
    assert torch.equal(found["probe.latent_variance"], probe.variance.flatten())
    assert found["candidates.acquisition"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert found["candidates.steps"].tolist() == [0, 1, 2, 3, 4]
    assert found["candidates.converged"].all()
    assert found["chosen.index"].tolist() == [4, 2]
    assert found["training_trials"].tolist() == [0, 1, 7]
    assert {name for name in found if name.startswith("model.")} == {
        "model.features",
        "model.energies",
    }


@pytest.fixture(scope="module")
def properties():
    """A campaign with objectives, and a model of two of its outcomes."""
    mine = alloys.campaign().components
    X = alloys.space().members(0, 9)
    rows = [alloys.truth(x) for x in X.tolist()]
    names = mine.learned_objectives.learned_names
    Y = X.new_tensor([[row[name] for name in names] for row in rows])
    return mine, fit_surrogate(IndependentProperties(), TrainingData(X, Y, names), alloys.space())


def test_several_outcomes_have_an_axis(properties):
    components, model = properties
    X = alloys.space().members(9, 14)
    found = posterior_tensors(step_of(components), model, considered(X), [1], [], [0])
    for name, values in zip(
        ("mean", "latent_variance", "predictive_variance"), model.marginals(X), strict=True
    ):
        assert torch.equal(found[f"candidates.{name}"], values)
        assert values.shape == (5, 2)
    probe = model.posterior(found["probe.X"].unsqueeze(-2))
    assert torch.equal(found["probe.mean"], probe.mean.squeeze(-2))
    assert torch.equal(found["probe.latent_variance"], probe.variance.squeeze(-2))
    assert found["chosen.covariance"].shape == (2, 2)
    assert not any(name.startswith("compared.") for name in found)


def test_without_a_selection_there_is_no_joint_covariance(properties):
    components, model = properties
    found = posterior_tensors(
        step_of(components), model, considered(alloys.space().members(0, 2)), [], [], [0]
    )
    assert "chosen.covariance" not in found
    assert found["chosen.index"].shape == (0,)


def test_marginals_are_those_of_the_posterior(properties):
    """Whether a model has them in one call or not."""
    _, model = properties
    X = alloys.space().members(0, 20)
    mean, latent, predictive = posterior_marginals(model, X)
    expected, variance = posterior_mean_variance(model, X)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(latent, variance)
    noisy = posterior_mean_variance(model, X, observation_noise=True)[1]
    torch.testing.assert_close(predictive, noisy)

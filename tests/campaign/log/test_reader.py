from dataclasses import replace

import pytest
import torch

from bostruct.campaign import FinalRelaxation
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import training_structures
from bostruct.errors import InputError, LogError, ShapeError
from tests.campaign.standin import GP, Box, campaign


def test_posteriors_predict_as_they_did(log):
    for step in log.steps()[1:]:
        model, arrays = log.posterior(step.number), log.posterior_tensors(step.number)
        for name in ("probe", "candidates"):
            found = model.posterior(arrays[f"{name}.X"].unsqueeze(-2))
            for moment, key in (("mean", "mean"), ("variance", "latent_variance")):
                now = getattr(found, moment).flatten()
                before = arrays[f"{name}.{key}"]
                torch.testing.assert_close(now, before, rtol=1e-10, atol=1e-10)


def test_everything_considered_is_logged(log):
    arrays = log.posterior_tensors(2)
    (trial,) = [trial for trial in log.trials() if trial.step == 2]
    i = trial.candidate_index
    assert arrays["chosen.index"].tolist() == [i]
    assert arrays["candidates.X"].shape == (8, 9)
    assert torch.equal(arrays["candidates.X"][i], trial.X)
    assert arrays["candidates.mean"][i] == trial.mean
    assert arrays["candidates.latent_variance"][i] == trial.latent_variance
    assert arrays["candidates.predictive_variance"][i] == trial.predictive_variance
    assert arrays["candidates.acquisition"][i] == trial.acquisition
    assert arrays["candidates.acquisition"].argmax() == i
    assert arrays["chosen.covariance"].shape == (1, 1)
    assert arrays["probe.X"].shape == (64, 9)
    assert arrays["training_trials"].tolist() == list(log.steps()[2].training_trials)
    assert log.candidate_generators(2) == ["drawn"] * 8
    assert trial.generator == "drawn"
    assert torch.equal(arrays["probe.X"], log.posterior_tensors(4)["probe.X"])


def test_a_batch_has_its_joint_covariance(tmp_path):
    log = campaign(n=10, batch_size=3).run(tmp_path / "run")
    arrays = log.posterior_tensors(1)
    covariance = arrays["chosen.covariance"]
    assert covariance.shape == (3, 3)
    chosen = arrays["chosen.index"]
    variance = arrays["candidates.latent_variance"][chosen]
    torch.testing.assert_close(covariance.diagonal(), variance)
    posterior = log.posterior(1).posterior(arrays["candidates.X"][chosen])
    torch.testing.assert_close(covariance, posterior.distribution.covariance_matrix)


@pytest.mark.parametrize("step", [0, 5, -1])
def test_steps_without_a_posterior_say_so(log, step):
    with pytest.raises(InputError, match="`step` must be one with a posterior, got"):
        log.posterior(step)


def test_a_log_without_a_model_yet(tmp_path):
    log = campaign(n=2).run(tmp_path / "run")
    with pytest.raises(InputError, match="Steps with one: none yet"):
        log.posterior(0)


def test_a_log_without_space_and_surrogate(folder, log):
    bare = Log(folder)
    assert bare.trials()[0].structures is None
    assert bare.fingerprint() == log.fingerprint()
    with pytest.raises(LogError, match="opened without a surrogate"):
        bare.posterior(1)
    with pytest.raises(LogError, match="`log` must have a space"):
        bare.structures()
    with pytest.raises(LogError, match="coordinates but no structure"):
        _ = bare.trials()[0].atoms


def test_no_campaign(tmp_path):
    with pytest.raises(LogError, match="holds no campaign"):
        Log(tmp_path)


def test_a_lost_or_damaged_file(log):
    path = log.posterior_path(2)
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(LogError, match=r"could not read .*step-000002"):
        log.posterior(2)
    path.write_bytes(data[:-1])
    with pytest.raises(LogError, match=r"step-000002.* its sha256 differs"):
        log.posterior(2)


def test_a_wrong_query(log):
    with pytest.raises(LogError, match=r"could not read .*: no such table"):
        log.query("SELECT * FROM nowhere")


def test_training_data(log):
    trials = log.trials("done")
    found = log.structures()
    assert found.energy.tolist() == [trial.energy for trial in trials]
    assert torch.equal(found.forces, torch.cat([trial.forces for trial in trials]))
    some = training_structures([trials[0], replace(trials[1], forces=None)], Box())
    assert some.forces.isnan().any(-1).tolist() == [False] * 3 + [True] * 3
    none = training_structures([replace(trials[1], forces=None)], Box())
    assert none.forces is None


def test_trials_by_state(log):
    assert len(log.trials("done", "failed")) == 8
    assert log.trials("planned") == []


def test_fingerprint_sees_every_number(log, folder):
    other = Log(folder, Box(), GP())
    before = other.fingerprint()
    other.seed += 1
    assert other.fingerprint() != before


def test_a_space_that_does_not_fit(folder):
    class Other(Box):
        def decode(self, X):
            raise ShapeError("`X` must have shape [*, 6]")

    with pytest.raises(ShapeError, match="`X` must have shape"):
        Log(folder, Other()).trials()


def test_reports_of_the_final_relaxation(tmp_path):
    log = campaign(n=10, final_relaxation=FinalRelaxation(fmax=10.0)).run(tmp_path / "run")
    (found,) = log.relaxations()
    assert found.energy == min(trial.energy for trial in log.trials("done"))
    assert (found.state, found.n_evaluations) == ("converged", 0)

import os
import shutil
import sqlite3
from dataclasses import replace

import pytest
import torch

from bostruct.campaign import FinalRelaxation
from bostruct.campaign.log.reader import Log
from bostruct.campaign.records import training_structures
from bostruct.errors import InputError, LogError, ShapeError
from bostruct.evaluators import Failure
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


def test_another_current_directory_changes_nothing(folder, tmp_path, monkeypatch):
    """A notebook that changes it keeps its log, and so does a calculator."""
    monkeypatch.chdir(folder.parent)
    log = Log(folder.name, Box(), GP())
    running = campaign(n=9)
    mine = running.open("new")
    monkeypatch.chdir(tmp_path.parent)
    assert log.folder == folder
    assert len(log.trials("done")) == 8
    assert log.posterior(2).posterior is not None
    mine.tell(mine.ask(1)[0], Failure("none"))
    running.close()
    assert len(running.log.trials("failed")) == 1
    assert running.log.folder == folder.parent / "new"


def edit(folder, query, *values):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute(query, values)
    connection.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "step-1.safetensors/", "a\nb"])
def test_posterior_files_are_in_the_folder(folder, log, name):
    edit(folder, "UPDATE bostruct_posterior SET file = ? WHERE step = 2", name)
    with pytest.raises(LogError, match="which is no posterior file in its folder posteriors"):
        log.posterior(2)


def test_posterior_files_are_files_of_their_size(folder, log):
    path = log.posterior_path(2)
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(LogError, match=r"has 1099511627776 bytes, more than the \d+ expected"):
        log.posterior(2)
    edit(folder, "UPDATE bostruct_posterior SET bytes = ? WHERE step = 2", 2**40)
    with pytest.raises(LogError, match="more than the 4294967296 expected"):
        log.posterior(2)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(LogError, match="is a pipe, not a file"):
        log.posterior(2)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(LogError, match="is a link, not a file"):
        log.posterior(2)
    shutil.rmtree(folder / "posteriors")
    (folder / "posteriors").symlink_to("/tmp")
    with pytest.raises(LogError, match="posteriors is a link, not a folder"):
        log.posterior(2)


def test_coordinates_fit_the_space(folder, log):
    edit(folder, "UPDATE bostruct_trial SET x = ? WHERE number = 3", bytes(8 * 8))
    with pytest.raises(LogError, match=r"trial 3 of .* has 8 coordinates, its space 9"):
        log.trials()
    edit(folder, "UPDATE bostruct_trial SET x = ? WHERE number = 3", b"\xff" * 72)
    with pytest.raises(LogError, match="trial 3 has no finite coordinates"):
        log.trials()


def test_a_campaign_row_that_is_none(folder):
    edit(folder, "DELETE FROM bostruct_campaign")
    with pytest.raises(LogError, match="table bostruct_campaign is not as bostruct writes it"):
        Log(folder)


def test_json_of_another_form(folder, log):
    edit(folder, "UPDATE bostruct_step SET training_trials = '{}' WHERE number = 1")
    with pytest.raises(LogError, match="step 1: training_trials is not a JSON array"):
        log.steps()
    edit(folder, "UPDATE bostruct_session SET versions = '[' ")
    with pytest.raises(LogError, match="session: versions is not JSON"):
        log.sessions()


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

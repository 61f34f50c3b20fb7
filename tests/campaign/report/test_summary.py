import json
import math
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from bostruct.campaign import stop
from bostruct.campaign.analysis.calibration import OnlineCalibration
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.report.summary import (
    best_evaluation,
    summarize,
    summarize_calibration,
)
from tests.campaign import processes
from tests.campaign.standin import GP, Box, campaign


def test_what_a_finished_campaign_says(log):
    found = json.loads(json.dumps(summarize(log), allow_nan=False))
    assert found["status"] == "finished"
    assert found["reason"] == "8 evaluations"
    assert (found["seed"], found["evaluations"], found["failures"]) == (0, 8, 0)
    assert len(found["energies"]) == 8
    energy = min(found["energies"])
    evaluation = found["energies"].index(energy) + 1
    assert found["best"]["energy"] == energy
    assert found["best"]["evaluation"] == evaluation
    assert found["best"]["step"] == log.trials()[evaluation - 1].step
    assert set(found["seconds"]) == {"fit", "search", "evaluate", "log"}
    assert all(value > 0 for value in found["seconds"].values())
    assert found["calibration"]["n"] == 4
    assert len(found["steps"]) == 5
    assert found["steps"][-1]["trained_on"] == 7


@pytest.mark.parametrize("n", [0, 1, 8, 30])
def test_a_calibration_is_ready_for_json(n):
    found = summarize_calibration(OnlineCalibration(tuple(math.sin(i + 1) for i in range(n))))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["n"], found["z2"] is None) == (n, n == 0)
    assert found["alpha_of_last"] == (None if n < 8 else min(n, 20))
    assert (found["conformal"] is None) == (n < 9)


def test_calibration(log):
    found = summarize(log)["calibration"]
    expected = log.calibration()
    assert found["z2"] == expected.mean_z2
    assert found["factor"] == expected.sigma_factor
    assert (found["alpha"], found["conformal"]) == (None, None)
    assert (found["intervals"], found["held"], found["held_interval"]) == (0, 0, None)


def test_intervals_that_have_held(tmp_path):
    log = campaign(n=20).run(tmp_path / "run")
    found = summarize(log)["calibration"]
    held = [each.covered for each in log.predictions() if each.covered is not None]
    assert (found["intervals"], found["held"]) == (7, sum(held))
    assert found["held_interval"] == list(binomtest(sum(held), 7).proportion_ci(method="wilson"))
    assert found["alpha"] == log.calibration().alpha


def test_sigma_is_that_of_an_observed_energy(log):
    """Latent variance and noise together are what an energy can be held against."""
    trials = [trial for trial in log.trials() if trial.mean is not None]
    squares = [(t.energy - t.mean) ** 2 / t.predictive_variance for t in trials]
    expected = math.fsum(squares) / len(squares)
    found = summarize(log)
    assert found["calibration"]["z2"] == pytest.approx(expected)
    (last,) = found["steps"][-1]["trials"]
    assert last["sigma"] == math.sqrt(trials[-1].predictive_variance)
    factor = found["steps"][-1]["hyperparameters"]["calibration_factor"]
    assert last["calibrated"] == pytest.approx(factor * last["sigma"])
    (random, *_) = found["steps"][0]["trials"]
    assert (random["sigma"], random["calibrated"], random["low"]) == (None,) * 3


def test_the_best_of_none(log):
    assert best_evaluation([]) is None
    assert best_evaluation([replace(log.trials()[0], energy=None)]) is None


def test_status_of_a_campaign_that_was_killed(tmp_path):
    folder = tmp_path / "run"
    assert processes.call(processes.die_at, 20, folder, tmp_path / "c", 9, {}) == 77
    found = summarize(_log(folder))
    assert found["status"] == "interrupted"
    assert "again" in found["reason"]


def _log(folder):
    return Log(folder, Box(), GP())


def test_status_before_the_first_session(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LogWriter, "_initialize_worker", broken)
    with pytest.raises(KeyboardInterrupt):
        campaign().open(tmp_path / "run")
    found = summarize(_log(tmp_path / "run"))
    assert found["status"] == "interrupted"
    assert found["best"] is None
    assert found["device"] is None


def test_pending_and_abandoned(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run") as opened:
        first, *_ = opened.ask(2)
        opened.abandon(first)
    found = summarize(mine.log)
    assert (found["pending"], found["abandoned"], found["evaluations"]) == (3, 1, 0)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(3))
    assert summarize(log)["evaluations"] == 3


def test_what_a_campaign_with_goals_says(screened):
    found = json.loads(json.dumps(summarize(screened), allow_nan=False))
    assert (found["status"], found["reason"]) == ("finished", "15 evaluations")
    assert (found["evaluations"], found["failures"]) == (15, 1)
    assert {"best", "energies", "outlook", "check"}.isdisjoint(found)
    assert set(found["calibration"]) == {"enthalpy", "modulus"}
    alpha = screened.calibration(outcome="modulus").alpha
    assert found["calibration"]["modulus"]["alpha"] == alpha
    assert found["front"]["points"][0]["formula"].startswith("Cu")
    assert found["steps"][-1]["trials"][0]["outcomes"]["price"]["exact"]
    assert found["retracted"] == []
    assert found["description"]["goals"] == found["goals"]

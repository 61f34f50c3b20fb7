import json
import math
from dataclasses import fields, replace

import pytest
from scipy.stats import binomtest

from bostruct.campaign import stop
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.report.summary import best_evaluation, summarize
from tests.campaign import processes
from tests.campaign.standin import GP, Box, campaign


def test_what_a_finished_campaign_says(log):
    found = summarize(log)
    assert (found.status, found.reason) == ("finished", "8 evaluations")
    assert (found.seed, found.n_evaluations, found.n_failed) == (0, 8, 0)
    energies = found.energy.energies
    assert len(energies) == 8
    best = found.energy.best
    assert best.energy == min(energies)
    assert best.evaluation == energies.index(best.energy) + 1
    assert best.step == log.trials()[best.trial].step
    assert set(found.seconds) == {"fit", "search", "evaluate", "log"}
    assert all(value > 0 for value in found.seconds.values())
    assert found.energy.calibration.n_predictions == 4
    assert len(found.steps) == 5
    assert found.steps[-1].n_training_trials == 7
    assert found.pareto is None


def test_json_has_the_attributes_as_keys(log, screened):
    for each in (log, screened):
        summary = summarize(each)
        found = json.loads(json.dumps(summary.to_json(), allow_nan=False))
        assert list(found) == [item.name for item in fields(summary)]
    assert found["energy"] is None
    point, front = found["pareto"]["structures"][0]["point"], screened.pareto_front()
    assert found["pareto"]["hypervolume"] == front.hypervolume
    assert (point["trial"], point["exact_names"]) == (front.points[0].trial, ["price"])
    assert point["raw_outcomes"] == dict(front.points[0].raw_outcomes)
    modulus = front.points[0].predictions["modulus"]
    assert point["predictions"]["modulus"]["mean"] == modulus.mean
    assert found["pareto"]["history"]["n_front"] == list(front.history.n_front)


def test_calibration(log):
    found = summarize(log).energy.calibration
    expected = log.calibration()
    assert found.mean_z2 == expected.mean_z2
    assert found.sigma_factor == expected.sigma_factor
    assert (found.alpha, found.conformal_quantile) == (None, None)
    assert (found.n_intervals, found.n_covered, found.coverage_interval) == (0, 0, None)


def test_intervals_that_have_held(tmp_path):
    log = campaign(n=20).run(tmp_path / "run")
    found = summarize(log).energy.calibration
    held = [each.covered for each in log.predictions() if each.covered is not None]
    assert (found.n_intervals, found.n_covered) == (7, sum(held))
    assert found.coverage_interval == tuple(binomtest(sum(held), 7).proportion_ci(method="wilson"))
    assert found.alpha == log.calibration().alpha


def test_sigma_is_that_of_an_observed_energy(log):
    """Latent variance and noise together are what an energy can be held against."""
    trials = [trial for trial in log.trials() if trial.mean is not None]
    squares = [(t.energy - t.mean) ** 2 / t.predictive_variance for t in trials]
    expected = math.fsum(squares) / len(squares)
    found = summarize(log)
    assert found.energy.calibration.mean_z2 == pytest.approx(expected)
    (last,) = found.steps[-1].trials
    assert last.prediction.sigma == math.sqrt(trials[-1].predictive_variance)
    factor = found.steps[-1].hyperparameters["calibration_factor"]
    assert last.prediction.calibrated_sigma == pytest.approx(factor * last.prediction.sigma)
    assert all(trial.prediction is None for trial in found.steps[0].trials)


def test_the_best_of_none(log):
    assert best_evaluation([]) is None
    assert best_evaluation([replace(log.trials()[0], energy=None)]) is None


def test_status_of_a_campaign_that_was_killed(tmp_path):
    folder = tmp_path / "run"
    assert processes.call(processes.die_at, 20, folder, tmp_path / "c", 9, {}) == 77
    found = summarize(_log(folder))
    assert found.status == "interrupted"
    assert "again" in found.reason


def _log(folder):
    return Log(folder, Box(), GP())


def test_status_before_the_first_session(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LogWriter, "_open_writer_session", broken)
    with pytest.raises(KeyboardInterrupt):
        campaign().open(tmp_path / "run")
    found = summarize(_log(tmp_path / "run"))
    assert found.status == "interrupted"
    assert found.energy.best is None
    assert found.device is None


def test_pending_and_abandoned(tmp_path):
    mine = campaign()
    with mine.open(tmp_path / "run") as opened:
        first, *_ = opened.ask(2)
        opened.abandon(first)
    found = summarize(mine.log)
    assert (found.n_pending, found.n_abandoned, found.n_evaluations) == (3, 1, 0)
    log = mine.run(tmp_path / "run", stop=stop.Evaluations(3))
    assert summarize(log).n_evaluations == 3


def test_what_a_campaign_with_goals_says(screened):
    found = summarize(screened)
    assert (found.status, found.reason) == ("finished", "15 evaluations")
    assert (found.n_evaluations, found.n_failed) == (15, 1)
    assert found.energy is None
    assert set(found.pareto.calibration) == {"enthalpy", "modulus"}
    alpha = screened.calibration(outcome="modulus").alpha
    assert found.pareto.calibration["modulus"].alpha == alpha
    assert found.pareto.structures[0].formula.startswith("Cu")
    assert found.steps[-1].trials[0].outcomes["price"].is_exact
    assert found.retracted == {}
    described = found.description["optimization_config"]
    assert described == found.pareto.optimization_config.description()

import pytest

from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.report.export import trial_energies_above_hull
from bostruct.campaign.report.html.report_trials import read_report_trials
from bostruct.campaign.report.summary import summarize
from tests.campaign import chemical_systems


def test_rows_are_those_of_the_log(log):
    found = read_report_trials(log)
    trials = log.trials()
    assert [t.number for t in found.trials] == [t.number for t in trials]
    assert [t.evaluation for t in found.trials] == list(range(1, 9))
    assert [t.value for t in found.trials] == [t.energy for t in trials]
    predictions = {p.trial: p.prediction for p in log.predictions()}
    for row in found.trials:
        logged = predictions.get(row.number)
        assert row.mean == (None if logged is None else logged.mean)
        assert row.sigma == (None if logged is None else logged.calibrated_sigma)
    best = min(trials, key=lambda t: t.energy)
    assert found.ranked[0].number == best.number
    assert found.origin == best.energy
    assert found.relative_quantity == "energy above the lowest (eV)"


def test_the_front_comes_first_and_what_is_not_trusted_has_no_value(screened):
    found = read_report_trials(screened)
    front = screened.pareto_front()
    n = len(front.points)
    assert {t.number for t in found.ranked[:n]} == {p.trial for p in front.points}
    (failed,) = [t for t in found.trials if t.state == "failed"]
    assert (failed.value, failed.reason) == (None, "it broke")
    assert list(failed.outcomes) == ["price ($/kg)"]  # the space knows it
    (absurd,) = front.quarantined
    assert "modulus (GPa)" not in found.trials[absurd.trial].outcomes
    assert (found.quantity, found.origin) == ("enthalpy (eV/atom)", 0.0)


def test_a_retracted_energy_is_shown_with_its_reason(folder, log):
    retract_trial(folder, 2, "the wrong cell")
    row = read_report_trials(log).trials[2]
    assert (row.state, row.value, row.reason) == ("retracted", None, "the wrong cell")


def test_where_compositions_vary_values_are_above_the_hull(tmp_path):
    chemical_systems.campaign().run(tmp_path / "run")
    found = read_report_trials(open_log(tmp_path / "run"))
    assert found.quantity == "energy above the hull (eV/atom)"
    log = open_log(tmp_path / "run")
    values = {t.number: t.value for t in found.trials if t.value is not None}
    assert values == pytest.approx(trial_energies_above_hull(log))
    assert min(values.values()) == 0
    assert found.ranked[0].number == summarize(log).energy.best.trial

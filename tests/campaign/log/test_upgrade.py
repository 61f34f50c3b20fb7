import sqlite3

import pytest

import bostruct as bo
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.log.writer import LogWriter
from bostruct.errors import LogError
from bostruct.runtime import atomic_write
from tests.campaign.log.test_legacy_formats import alloy_campaign, local_gp_campaign


def open_writer(folder):
    log = open_log(folder)
    parts = {"space": log.space, "surrogate": log.surrogate, "device": "cpu"}
    return LogWriter(folder, log.description, log.seed, **parts)


def test_a_campaign_of_format_4_goes_on(stored):
    folder = stored("format4")
    before = open_log(folder).trials("done")
    assert open_log(folder).attempts() == []
    with local_gp_campaign().open(folder, seed=3) as campaign:
        campaign.tell(*((t := campaign.ask(1)[0]), campaign.evaluator(t.structures)))
    log = open_log(folder)
    assert log.format == 5
    assert [trial.energy for trial in log.trials("done")[: len(before)]] == [
        trial.energy for trial in before
    ]
    found = verify_log(log)
    assert found.is_valid, found
    assert found.n_trials == len(before) + 1


def test_objectives_and_retractions_go_on(stored):
    folder = stored("format4_objectives")
    front = alloy_campaign().read(folder).pareto_front().points
    retract_trial(folder, 2, "not trusted")
    log = alloy_campaign().read(folder)
    assert log.format == 5
    found = verify_log(log)
    assert found.is_valid, found
    assert {point.trial for point in log.pareto_front().points} | {2} >= {p.trial for p in front}


def test_reading_leaves_format_4_as_it_is(stored):
    folder = stored("format4")
    before = (folder / "campaign.db").read_bytes()
    log = open_log(folder)
    assert verify_log(log).is_valid
    assert {trial.doubt for trial in log.trials()} == {""}
    assert (folder / "campaign.db").read_bytes() == before


def test_a_changed_trial_is_not_upgraded(stored):
    folder = stored("format4")
    with sqlite3.connect(folder / "campaign.db") as connection:
        connection.execute("UPDATE bostruct_trial SET energy = energy - 1 WHERE number = 2")
    connection.close()
    with pytest.raises(LogError, match="trial 2 is not what was written: its checksum differs"):
        local_gp_campaign().run(folder, seed=3, stop=bo.stop.Evaluations(5))
    assert Log(folder).format == 4


def test_an_interrupted_upgrade_leaves_format_4(stored, monkeypatch):
    folder = stored("format4")

    def interrupted(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic_write, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_writer(folder)
    assert Log(folder).format == 4
    assert verify_log(open_log(folder)).is_valid
    open_writer(folder).close()
    assert Log(folder).format == 5


@pytest.mark.parametrize("name", ["format4", "format4_objectives"])
def test_doubts_after_an_upgrade(stored, name):
    folder = stored(name)
    writer = open_writer(folder)
    writer.mark_doubt(2, "lower than any other")
    assert writer.trial_records()[2].doubt == "lower than any other"
    writer.mark_doubt(3, "a guess")
    writer.mark_doubt(3, "")
    writer.close()
    doubts = [trial.doubt for trial in Log(folder).trials()]
    assert [doubt for doubt in doubts if doubt] == ["lower than any other"]
    assert not [p for p in verify_log(Log(folder)).problems if "trial" in p]

import shutil

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.trust import check_doubted, trust_trial
from bostruct.errors import InputError
from tests.campaign.log.test_doubt import WRONG, copper, hole, run


@pytest.fixture(scope="module")
def _holed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("hole") / "run", hole).folder


@pytest.fixture
def holed(_holed, tmp_path):
    return shutil.copytree(_holed, tmp_path / "run")


def test_a_doubt_is_dismissed_without_the_campaign(holed):
    trust_trial(holed, WRONG, "computed twice")
    trial = Log(holed).trial_records()[WRONG]
    assert (trial.doubt, trial.trust) == ("", "computed twice")
    last = Log(holed).sessions()[-1]
    assert (last["status"], last["reason"]) == ("paused", f"trial {WRONG} was trusted")
    with copper().open(holed) as campaign:
        assert campaign.log.trials()[WRONG].is_known, "it is never doubted again"


@pytest.mark.parametrize(
    ("number", "reason", "message"),
    [
        (2, "x", "trial` must have a doubted result, got 2, not doubted"),
        (77, "x", "trial` must be 0 to 9, one of the log, got 77"),
        (WRONG, " ", "reason` must be a sentence"),
    ],
)
def test_refused(holed, number, reason, message):
    with pytest.raises(InputError, match=message):
        trust_trial(holed, number, reason)
    assert Log(holed).trial_records()[WRONG].doubt


def test_once_is_enough(holed):
    assert check_doubted(Log(holed), WRONG, "x").number == WRONG
    trust_trial(holed, WRONG, "right")
    with pytest.raises(InputError, match="got 9, trusted already, right"):
        trust_trial(holed, WRONG, "right")

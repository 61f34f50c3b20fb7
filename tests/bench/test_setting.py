import pytest

from bostruct.bench.setting import SETTINGS, Setting
from bostruct.campaign import Campaign
from bostruct.errors import InputError
from tests.bench.problems import task


def test_the_default_changes_nothing():
    assert SETTINGS["default"].arguments == {}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_makes_a_campaign(name):
    setting = SETTINGS[name]
    assert setting.name == name
    defaults = Campaign(task().space(), task().evaluator).description()
    found = Campaign(task().space(), task().evaluator, **setting.arguments)
    assert (found.description() == defaults) is (name == "default")


def test_refuses_what_is_no_name_of_a_folder():
    with pytest.raises(InputError, match="`name` must be the name of a folder"):
        Setting("a/b")

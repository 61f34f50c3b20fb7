import pytest

from bostruct.bench.single_objective.settings import SETTINGS, Setting, setting
from bostruct.campaign import Campaign
from bostruct.candidates import Search
from bostruct.errors import InputError
from tests.bench.problems import task


def test_the_default_changes_nothing():
    assert SETTINGS["default"].arguments == {}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_makes_a_campaign(name):
    own = SETTINGS[name]
    assert own.name == name
    defaults = Campaign(task().space(), task().evaluator).description()
    found = Campaign(task().space(), task().evaluator, **own.arguments)
    assert (found.description() == defaults) is (name == "default")


def test_a_search_may_lack_something():
    found = setting("without-rattle+twist")
    assert found.name == "without-rattle+twist"
    assert found.arguments["search"] == Search(without=("rattle", "twist"))
    assert setting("quick") is SETTINGS["quick"]
    assert setting("much") is None


def test_refuses_what_is_no_name_of_a_folder():
    with pytest.raises(InputError, match="`name` must be the name of a folder"):
        Setting("a/b")

import pytest

from bostruct.bench.single_objective.settings import CAMPAIGN_SETTINGS, Setting, named_setting
from bostruct.campaign import Campaign
from bostruct.candidates import BasinHopping
from bostruct.errors import InputError
from tests.bench.problems import task


def test_the_default_changes_nothing():
    assert CAMPAIGN_SETTINGS["default"].arguments == {}


@pytest.mark.parametrize("name", CAMPAIGN_SETTINGS)
def test_every_setting_makes_a_campaign(name):
    own = CAMPAIGN_SETTINGS[name]
    assert own.name == name
    defaults = Campaign(task().make_space(), task().evaluator).description()
    found = Campaign(task().make_space(), task().evaluator, **own.arguments)
    assert (found.description() == defaults) is (name == "default")


def test_a_search_may_lack_something():
    found = named_setting("without-rattle+twist")
    assert found.name == "without-rattle+twist"
    assert found.arguments["search"] == BasinHopping(exclude=("rattle", "twist"))
    assert named_setting("quick") is CAMPAIGN_SETTINGS["quick"]
    assert named_setting("much") is None


def test_a_search_may_do_without_stresses():
    found = named_setting("without-stress")
    assert found.without_stress
    assert found.arguments == {}
    both = named_setting("without-stress+strain")
    assert both.without_stress
    assert both.arguments["search"].exclude == ("strain",)
    assert not named_setting("without-strain").without_stress


def test_refuses_what_is_no_name_of_a_folder():
    with pytest.raises(InputError, match="`name` must be the name of a folder"):
        Setting("a/b")

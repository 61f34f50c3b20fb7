import sys

import pytest

from bostruct.bench import CAMPAIGN_SETTINGS, TASKS
from bostruct.bench.single_objective.crystals import CRYSTALS
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.settings import CRYSTAL_PARTS
from bostruct.campaign import campaign_file
from bostruct.errors import InputError

FILE = """
from bostruct.bench import Setting
from tests.bench.problems import TINY, task
one, two = task("one"), task("two")
again = one
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])

    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    yield write
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def test_names():
    tasks, settings = load_tasks_and_settings(["cu15", "lj7", "cu15"], ["quick", "default"])
    assert tasks == [TASKS["cu15"], TASKS["lj7"]]
    assert settings == [CAMPAIGN_SETTINGS["quick"], CAMPAIGN_SETTINGS["default"]]


def test_defaults_and_all():
    assert [task.name for task in load_tasks_and_settings([])[0]] == ["lj7", "lj13", "cu15"]
    assert load_tasks_and_settings([])[1] == [CAMPAIGN_SETTINGS["default"]]
    assert load_tasks_and_settings(["all"])[0] == list(TASKS.values())


def test_a_file_gives_tasks_and_settings(write):
    tasks, settings = load_tasks_and_settings([write(FILE), "lj7"], ["tiny", "default"])
    assert [task.name for task in tasks] == ["one", "two", "lj7"]
    assert [setting.name for setting in settings] == ["tiny", "default"]


def test_a_file_may_hold_settings_alone(write):
    path = write("from tests.bench.problems import TINY\n")
    assert [task.name for task in load_tasks_and_settings(["lj7", path], ["tiny"])[0]] == ["lj7"]
    tasks, settings = load_tasks_and_settings([path], ["tiny", "tiny"])
    assert [task.name for task in tasks] == ["lj7", "lj13", "cu15"]
    assert [setting.name for setting in settings] == ["tiny"]


def test_a_file_may_replace_a_named_setting(write):
    path = write('from bostruct.bench import Setting\na = Setting("quick")\n')
    assert load_tasks_and_settings([path], ["quick"])[1][0].arguments == {}


def test_ablations_need_no_file():
    (setting,) = load_tasks_and_settings(["au5cu10"], ["without-permute"])[1]
    assert setting.name == "without-permute"
    assert setting.arguments["search"].exclude == ("permute",)


def test_one_word_stands_for_all_ablations():
    settings = load_tasks_and_settings(["crystals"], ["ablations", "without-stress"])[1]
    names = [setting.name for setting in settings]
    assert names[:2] == ["default", "without-stress"]
    assert len(names) == len(set(names)) == 1 + len(CRYSTAL_PARTS)
    space = CRYSTALS["nacl4_crystal"].search_space
    assert set(CRYSTAL_PARTS) == {"stress", *space.moves(), *space.generators()} - {"random"}


def test_refuses(write):
    with pytest.raises(InputError, match=r"`task` must be one of lj7, .* or a file"):
        load_tasks_and_settings(["lj8"])
    with pytest.raises(InputError, match="`effort` must be one of default, quick, tho"):
        load_tasks_and_settings([], ["tiny"])
    with pytest.raises(InputError, match=", ablations or without-MOVE, got 'tiny'"):
        load_tasks_and_settings([], ["tiny"])
    with pytest.raises(InputError, match="must make a Task or a Setting at module lev"):
        load_tasks_and_settings([write("x = 1\n")])
    with pytest.raises(InputError, match=r"`file` must exist, got absent\.py"):
        load_tasks_and_settings(["absent.py"])
    with pytest.raises(InputError, match="line 1: the task file failed: ZeroDivision"):
        load_tasks_and_settings([write("1 / 0\n")])

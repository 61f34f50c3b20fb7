import sys
from pathlib import Path

import pytest

from bostruct.campaign.campaign_file import MODULE_NAME, load_campaign
from bostruct.errors import InputError
from bostruct.runtime.executors import Workers

ONE = "from tests.campaign.standin import campaign\nmine = campaign(n=5)\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, MODULE_NAME, raising=False)

    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    yield write
    sys.modules.pop(MODULE_NAME, None)


def test_one_campaign_under_any_names(write):
    found = load_campaign(write(ONE + "again = mine\n"))
    assert found.stop.n == 5


def test_the_file_is_found_from_another_folder(write, tmp_path, monkeypatch):
    write(ONE)
    monkeypatch.chdir(tmp_path)
    load_campaign(Path("mine.py"))
    monkeypatch.chdir("/")
    assert Path(sys.modules[MODULE_NAME].__file__) == tmp_path / "mine.py"


def test_the_main_part_is_not_run(write):
    load_campaign(write(ONE + "if __name__ == '__main__':\n    raise SystemExit('run')\n"))


def test_what_lies_beside_can_be_imported(write):
    write("edge = 8.0", "settings_of_mine.py")
    text = "from settings_of_mine import edge\nfrom tests.campaign.standin import Box\n"
    text += "from tests.campaign.standin import campaign\nc = campaign(space=Box(edge))\n"
    assert load_campaign(write(text)).components.space.edge == 8.0


def test_what_the_file_defines_works_in_workers(write, tmp_path):
    text = ONE.replace("(n=5)", "(Function(energy), n=2)")
    text = (
        "from bostruct.evaluators import Function\nSCALE = 3.0\n"
        "def energy(atoms):\n    return SCALE * atoms.positions.sum()\n" + text
    )
    log = load_campaign(write(text)).run(tmp_path / "run", executor=Workers(1))
    assert len(log.trials("done")) == 2
    described = log.description["evaluator"]["function"]
    assert described.endswith(".energy"), "the name of the file is part of it"


@pytest.mark.parametrize(
    ("text", "names"),
    [("x = 1\n", "none"), (ONE + "other = campaign()\n", "mine, other")],
)
def test_refuses_none_and_two(write, text, names):
    message = f"`mine.py` must make exactly one Campaign at module level, got {names}"
    with pytest.raises(InputError, match=message):
        load_campaign(write(text))


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match="`file` must exist"):
        load_campaign(tmp_path / "absent.py")
    with pytest.raises(InputError, match="`file` must exist"):
        load_campaign(tmp_path)


def test_refuses_what_is_not_python(write):
    with pytest.raises(InputError, match="`file` must be a Python file"):
        load_campaign(write("x", "mine.txt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = 1 / 0\n", r"mine.py, line 2: .* ZeroDivisionError: division by"),
        ("x = (\n", r"mine.py, line 1: .* SyntaxError: '\(' was never closed"),
        ("import absent_module", "line 1: .* ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "line 1: .* SystemExit: 3"),
        (
            "import bostruct.spaces\nbostruct.spaces.Cluster('Xq3')\n",
            "mine.py, line 2: `formula`",
        ),
    ],
)
def test_a_file_that_fails_says_where(write, text, message):
    with pytest.raises(InputError, match=message):
        load_campaign(write(text))

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bostruct.campaign import campaign_file
from bostruct.campaign.log.reader import Log
from bostruct.cli.app import typer_app
from bostruct.errors import EvaluationError, ExecutorError
from bostruct.runtime.interruption import TerminationError

ROOT = Path(__file__).parents[2]
FILE = "from tests.campaign.standin import campaign\nmine = campaign(n={n})\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a campaign file, to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "mine.py").write_text(FILE.format(n=6))
    yield tmp_path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def bostruct(*arguments):
    return CliRunner().invoke(typer_app, [str(argument) for argument in arguments])


def refused(done, message):
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("bostruct: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_interrupted(here, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bostruct.campaign.campaign.run_loop", interrupt)
    done = bostruct("run", "mine.py", "--dir", "out")
    assert done.exit_code == 130
    assert "interrupted. Run the same command again" in done.stderr
    assert "interrupted, by Ctrl-C; run the same command again" in bostruct("show", "out").stdout


def test_terminated(here, monkeypatch):
    def terminate(*_, **__):
        raise TerminationError

    monkeypatch.setattr("bostruct.campaign.campaign.run_loop", terminate)
    assert bostruct("run", "mine.py", "--dir", "out").exit_code == 143
    assert "interrupted, by SIGTERM; run the same command again" in bostruct("show", "out").stdout


@pytest.mark.parametrize("error", [EvaluationError, ExecutorError])
def test_evaluations_that_fail(here, monkeypatch, error):
    def fail(*_, **__):
        raise error("no licence")

    monkeypatch.setattr("bostruct.campaign.campaign.run_loop", fail)
    done = bostruct("run", "mine.py", "--dir", "out")
    assert done.exit_code == 1
    assert done.stderr == "bostruct: no licence\n"


def test_help_names_every_command():
    text = bostruct("--help").stdout
    assert all(name in text for name in ("run", "show", "export", "verify"))
    assert bostruct().exit_code == 2


def _done(folder):
    return len(Log(folder).trials("done")) if (folder / "campaign.db").exists() else 0


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("show", "--help"), ("fronts", "--help"), ("uncertainty", "compare", "--help")],
    ids=" ".join,
)
def test_help_imports_no_tensor_library(arguments):
    script = (
        "import sys\n"
        "from bostruct.cli.app import typer_app\n"
        f"try:\n    typer_app({list(arguments)!r}, prog_name='bostruct')\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*(n for n in ('torch', 'botorch', 'numpy', 'ase', 'pandas') if n in sys.modules))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "Usage: bostruct" in run.stdout
    assert run.stdout.splitlines()[-1] == ""

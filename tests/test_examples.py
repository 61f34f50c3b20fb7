"""Every example and campaign file runs in a folder of its own, without a warning."""

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
from typer.testing import CliRunner

from bostruct.campaign import Log, campaign_file
from bostruct.cli.app import typer_app

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CAMPAIGNS = sorted((ROOT / "campaigns").glob("*.py"))
# The package that a campaign needs beside those of bostruct, by the end of its name.
PACKAGES = {"chgnet": "chgnet", "xtb": "tblite"}
# Examples whose parts others use too.
SLOW = ("initial_structures", "own_method", "read_posteriors")
# What each leaves behind.
FILES = {
    "first_campaign": ["first_campaign/campaign.db", "first_campaign/best.xyz"],
    "initial_structures": ["initial_structures/campaign.db", "known.extxyz"],
    "own_evaluator": ["own_evaluator/campaign.db"],
    "own_method": ["own_method/energy.png", "own_method/comparison.csv"],
    "own_network": [],
    "read_posteriors": ["read_posteriors/predictions.png"],
    "screening": ["screening/campaign.db"],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in; what a file imports from its own folder is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield tmp_path
    sys.modules.pop(campaign_file.MODULE_NAME, None)


def run_process(path):
    run = subprocess.run(
        [sys.executable, str(path)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,  # many times what an example takes: the machine may be busy
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.slow) if path.stem in SLOW else path
        for path in EXAMPLES
    ],
    ids=lambda path: path.stem,
)
def test_example_runs(path, here, capsys):
    """The first in a process of its own, the others in this one, which has imported torch."""
    if path == EXAMPLES[0]:
        output, errors = run_process(path)
    else:
        runpy.run_path(str(path), run_name="__main__")
        output, errors = capsys.readouterr()
    assert all(line.startswith("evaluation ") for line in errors.splitlines())
    assert output
    for name in FILES[path.stem]:
        assert (here / "runs" / name).stat().st_size > 0, name


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_campaign_file_runs(path, here):
    """Two evaluations, as `bostruct run` makes them; refused without the package they need."""
    if path.stem.endswith("nwchem") and which("nwchem") is None:
        pytest.skip("needs the program nwchem")
    command = ["run", str(path), "--dir", "runs/campaign", "--evaluations", "2"]
    run = CliRunner().invoke(typer_app, command)
    needed = PACKAGES.get(path.stem.rpartition("_")[2])
    if needed and find_spec(needed) is None:
        assert run.exit_code == 2
        assert "which is not installed" in run.stderr
        return
    assert run.exit_code == 0, run.output
    assert len(Log(here / "runs" / "campaign").trials("done")) == 2

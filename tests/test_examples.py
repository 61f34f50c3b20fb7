"""Every example and campaign file runs in a folder of its own, without a warning."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

from bostruct.campaign import Log

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CAMPAIGNS = sorted((ROOT / "campaigns").glob("*.py"))
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


def run_python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,  # many times what an example takes: the machine may be busy
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path):
    run = run_python(str(path), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert all(line.startswith("evaluation ") for line in run.stderr.splitlines())
    assert run.stdout
    for name in FILES[path.stem]:
        assert (tmp_path / "runs" / name).stat().st_size > 0, name


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_campaign_file_runs(path, tmp_path):
    """A few evaluations, as `bostruct run` makes them; without CHGNet its file is refused."""
    if path.stem.endswith("nwchem") and which("nwchem") is None:
        pytest.skip("needs the program nwchem")
    command = ["run", str(path), "--dir", "runs/campaign", "--evaluations", "3"]
    run = run_python("-m", "bostruct", *command, cwd=tmp_path)
    if path.stem.endswith("chgnet") and find_spec("chgnet") is None:
        assert run.returncode == 2
        assert "which is not installed" in run.stderr
        return
    assert run.returncode == 0, run.stderr
    assert len(Log(tmp_path / "runs" / "campaign").trials("done")) == 3

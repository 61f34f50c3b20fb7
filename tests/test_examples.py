"""Every example runs in a folder of its own, in under a minute, without a warning."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# What each leaves behind.
FILES = {
    "first_campaign": ["first_campaign/campaign.db", "first_campaign/best.xyz"],
    "own_evaluator": ["own_evaluator/campaign.db"],
    "own_method": ["own_method/energy.png", "own_method/comparison.csv"],
    "own_network": [],
    "read_posteriors": ["read_posteriors/predictions.png"],
    "screening": ["screening/campaign.db"],
    "start_and_check": ["start_and_check/campaign.db", "known.extxyz"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path):
    run = subprocess.run(
        [sys.executable, str(path)],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,  # many times what an example takes: the machine may be busy
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout
    for name in FILES[path.stem]:
        assert (tmp_path / "runs" / name).stat().st_size > 0, name


def test_campaign_files_hold_a_campaign():
    """Each file of `campaigns/` is one that `bostruct run` takes."""
    from bostruct.campaign.campaign_file import load_campaign
    from bostruct.errors import InputError

    paths = sorted((ROOT / "campaigns").glob("*.py"))
    assert paths
    for path in paths:
        if path.stem.endswith("chgnet") and find_spec("chgnet") is None:
            with pytest.raises(InputError, match="which is not installed"):
                load_campaign(path)
            continue
        assert load_campaign(path).description()["space"]

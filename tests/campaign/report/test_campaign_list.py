import shutil

import pytest

from bostruct.campaign.report.campaign_list import list_campaigns, list_lines
from bostruct.errors import LogError
from tests.campaign.standin import campaign


@pytest.fixture
def runs(folder, screened, tmp_path):
    """A folder with two campaigns, one of which holds another one, and something else."""
    shutil.copytree(folder, tmp_path / "all" / "b" / "run")
    shutil.copytree(folder, tmp_path / "all" / "b" / "run" / "relaxations" / "trial-000001")
    shutil.copytree(screened.folder, tmp_path / "all" / "a")
    (tmp_path / "all" / "notes").mkdir()
    return tmp_path / "all"


def test_every_campaign_has_a_line(runs, log, screened):
    front, energy = list_campaigns(runs)
    assert (front.folder, energy.folder) == ("a", "b/run")
    assert (energy.status, energy.seed, energy.n_evaluations) == ("finished", 0, 8)
    assert energy.best == f"{min(t.energy for t in log.trials()):.6f} eV"
    assert (front.n_evaluations, front.n_failed) == (15, 1)
    assert front.best == f"{len(screened.pareto_front().points)} on the front"
    lines = list_lines([front, energy])
    assert len(lines) == 3
    assert lines[0].startswith("folder  searched")
    assert lines[2].split()[0] == "b/run"


def test_a_running_one_is_told(tmp_path):
    running = campaign()
    with running.open(tmp_path / "run", seed=3):
        (found,) = list_campaigns(tmp_path)
    assert (found.folder, found.status, found.best) == ("run", "running", "")


def test_a_damaged_one_is_listed_with_the_reason(runs):
    (runs / "a" / "campaign.db").write_bytes(b"no database at all")
    damaged, good = list_campaigns(runs)
    assert damaged.seed is None
    assert "could not read" in damaged.status
    assert good.status == "finished"
    assert len(list_lines([damaged, good])) == 3


def test_a_folder_itself_may_be_one(folder):
    assert [found.folder for found in list_campaigns(folder)] == ["."]


def test_there_must_be_a_folder(tmp_path):
    with pytest.raises(LogError, match="is no folder"):
        list_campaigns(tmp_path / "missing")

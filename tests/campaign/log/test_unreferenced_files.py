import sqlite3

import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.unreferenced_files import find_unreferenced, lost_step_problem
from bostruct.campaign.log.verify import verify_log
from bostruct.errors import LogError
from bostruct.runtime import atomic_write
from tests.campaign.standin import GP, Box, campaign


def test_a_tail_that_was_cut_off_everywhere_leaves_its_file(folder):
    """Rows and entries after step 2 are gone: the files of steps 3 and 4 tell."""
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    query = "SELECT number FROM bostruct_chain WHERE kind = 'step' AND key = '3'"
    (entry,) = connection.execute(query).fetchone()
    for statement in (
        f"DELETE FROM bostruct_chain WHERE number >= {entry}",
        "DELETE FROM bostruct_trial WHERE step >= 3",
        "DELETE FROM bostruct_posterior WHERE step >= 3",
        "DELETE FROM bostruct_step WHERE number >= 3",
        "UPDATE bostruct_session SET ended = NULL, status = 'running', reason = ''",
    ):
        connection.execute(statement)
    connection.close()
    assert verify_log(Log(folder)).problems == (
        "step-000004.safetensors belongs to a step that the log has lost",
    )
    with pytest.raises(LogError, match="belongs to a step that the log has lost"):
        campaign(n=20).run(folder)
    assert (folder / "posteriors" / "step-000003.safetensors").exists()


def test_a_plan_that_was_interrupted_is_not_taken_for_a_lost_step(tmp_path, monkeypatch):
    """The file is written, the step is not; sessions in between change the head."""
    folder = tmp_path / "run"
    campaign(n=6).run(folder)
    original = atomic_write.write_atomically

    def killed(path, data):
        original(path, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic_write, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            campaign(n=8).run(folder)
    found = verify_log(Log(folder, Box(), GP()))
    assert found.problems == ()
    assert "belongs to no step" in found.skipped[0]
    campaign(n=8).run(folder)
    assert verify_log(Log(folder, Box(), GP())).is_valid
    campaign(n=8).run(tmp_path / "whole")
    assert Log(folder).fingerprint() == Log(tmp_path / "whole").fingerprint()


def test_files_that_nothing_refers_to(folder):
    posteriors = folder / "posteriors"
    names = sorted(path.name for path in posteriors.iterdir())
    assert find_unreferenced(folder, names) == []
    assert [file.name for file in find_unreferenced(folder, names[1:])] == names[:1]
    (posteriors / "notes.txt").touch()
    assert find_unreferenced(folder, names) == []
    assert find_unreferenced(folder / "none", ()) == []


def test_files_that_no_step_was_planned_with_are_no_problem(folder):
    file = folder / "posteriors" / "step-000009.safetensors"
    (whole,) = (folder / "posteriors").glob("step-000004.*")
    for data in (b"", b"x", whole.read_bytes()[:100]):
        file.write_bytes(data)
        assert lost_step_problem(file, 5, ()) == ""
    assert lost_step_problem(whole, 4, ()) != ""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_bytes(whole.read_bytes())
    assert lost_step_problem(temporary, 4, ()) == ""

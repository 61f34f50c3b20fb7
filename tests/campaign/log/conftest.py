import shutil
import sqlite3
from pathlib import Path

import pytest

FORMATS = Path(__file__).with_name("formats")


@pytest.fixture
def stored(tmp_path):
    """Return a function that restores a stored run folder by its name."""

    def restore(name):
        folder = tmp_path / name
        folder.mkdir()
        connection = sqlite3.connect(folder / "campaign.db")
        connection.executescript((FORMATS / name / "campaign.sql").read_text(encoding="utf-8"))
        connection.close()
        if (FORMATS / name / "posteriors").is_dir():
            shutil.copytree(FORMATS / name / "posteriors", folder / "posteriors")
        return folder

    return restore

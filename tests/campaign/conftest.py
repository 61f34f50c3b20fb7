import shutil

import pytest

from bostruct.campaign.log import Log
from tests.campaign.standin import GP, Box, campaign


@pytest.fixture(scope="session")
def _once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once") / "run"
    campaign(n=8).run(folder)
    return folder


@pytest.fixture
def folder(_once, tmp_path):
    """A copy of the folder of a campaign that ended after 8 evaluations."""
    return shutil.copytree(_once, tmp_path / "run")


@pytest.fixture
def log(folder):
    return Log(folder, Box(), GP())

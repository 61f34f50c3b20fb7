import shutil

import pytest

from bostruct.campaign import stop
from bostruct.campaign.log.reader import Log
from tests.campaign import alloys
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


@pytest.fixture(scope="session")
def _alloys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alloys") / "run"
    evaluator = alloys.Alloy(broken=(3,), absurd=(6,))
    alloys.campaign(evaluator=evaluator, stop=stop.Evaluations(15)).run(folder)
    return folder


@pytest.fixture
def screened(_alloys, tmp_path):
    """The log of a campaign with goals: 15 evaluations, the 3rd failed, 6th absurd."""
    folder = shutil.copytree(_alloys, tmp_path / "alloys")
    return alloys.campaign().read(folder)


@pytest.fixture(scope="session")
def _mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "run"
    evaluator = alloys.Alloy(mixing=True)
    alloys.campaign(evaluator=evaluator, stop=stop.Evaluations(8)).run(folder)
    return folder


@pytest.fixture
def mixed(_mixed, tmp_path):
    """The log of one whose evaluations say how far they are above the hull."""
    folder = shutil.copytree(_mixed, tmp_path / "mixed")
    return alloys.campaign().read(folder)

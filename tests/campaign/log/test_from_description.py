import os
import sqlite3

import pytest

from bostruct.campaign import Evaluations
from bostruct.campaign.log.from_description import build_from_description, open_log
from bostruct.errors import LogError
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP
from tests.campaign.standin import campaign


def test_a_space_is_rebuilt():
    for space in (
        Cluster("Cu3"),
        Cluster("Cu2Au", radius=4.0, min_distance={"Cu-Au": 2.0}),
        Cluster("Ar7", atomic_radii={"Ar": 0.56}),
    ):
        found = build_from_description("space", space.description())
        assert found is not space
        assert found.description() == space.description()


def test_a_surrogate_is_rebuilt():
    assert isinstance(build_from_description("surrogate", LocalGP().description()), LocalGP)


def test_what_is_unknown_is_not():
    assert build_from_description("space", {"type": "Mine", "edge": 3.0}) is None
    assert build_from_description("space", {}) is None
    assert build_from_description("surrogate", {"type": "annotations"}) is None


def test_what_would_be_another_one_is_not():
    described = Cluster("Cu3").description()
    assert build_from_description("space", {**described, "formula": "Xq"}) is None
    assert build_from_description("space", {**described, "colour": "red"}) is None
    assert build_from_description("space", {**described, "radius": "wide"}) is None


def test_what_asks_for_a_file_or_for_excess_is_not(tmp_path, monkeypatch):
    """A stranger's description reads no file, and takes no memory."""
    described = Cluster("Cu3").description()
    for formula in ("Cu99999999999", "Cu3" * 2 + "H10000000"):
        assert build_from_description("space", {**described, "formula": formula}) is None
    os.mkfifo(tmp_path / "pipe")
    for name, argument in (("Surface", "slab"), ("Pool", "source"), ("Lattice", "parent")):
        description = {"type": name, argument: str(tmp_path / "pipe"), "formula": "Cu3"}
        assert build_from_description("space", description) is None
    for step in (1e-12, 10**30, float("nan")):
        description = {"type": "Composition", "elements": ["Cu", "Au"], "step": step}
        assert build_from_description("space", description) is None


def test_abstract_parts_are_not(folder):
    for name in ("Space", "DiscreteSpace", "SupportsNeighbors"):
        assert build_from_description("space", {"type": name}) is None
    for name in ("Surrogate", "FittedModel"):
        assert build_from_description("surrogate", {"type": name}) is None


@pytest.mark.parametrize("description", ["{}", '{"space": 1, "surrogate": {}}'])
def test_a_description_without_its_parts(folder, description):
    connection = sqlite3.connect(folder / "campaign.db", isolation_level=None)
    connection.execute("UPDATE bostruct_campaign SET description = ?", (description,))
    connection.close()
    with pytest.raises(LogError, match="does not describe its space"):
        open_log(folder)


def test_a_log_is_opened_with_what_its_description_makes(tmp_path):
    mine = campaign(space=Cluster("Cu3"), surrogate=LocalGP())
    mine.run(tmp_path / "run", stop=Evaluations(1))
    log = open_log(tmp_path / "run")
    assert log.space.description() == Cluster("Cu3").description()
    assert isinstance(log.surrogate, LocalGP)
    campaign().run(tmp_path / "own", stop=Evaluations(1))
    own = open_log(tmp_path / "own")
    assert (own.space, own.surrogate) == (None, None)

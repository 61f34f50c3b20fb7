from bostruct.campaign import Evaluations
from bostruct.campaign.log.from_description import rebuild, reopen
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP
from tests.campaign.standin import campaign


def test_a_space_is_rebuilt():
    for space in (
        Cluster("Cu3"),
        Cluster("Cu2Au", radius=4.0, minimum_distance={"Cu-Au": 2.0}),
        Cluster("Ar7", radii={"Ar": 0.56}),
    ):
        found = rebuild("space", space.description())
        assert found is not space
        assert found.description() == space.description()


def test_a_surrogate_is_rebuilt():
    assert isinstance(rebuild("surrogate", LocalGP().description()), LocalGP)


def test_what_is_unknown_is_not():
    assert rebuild("space", {"kind": "Mine", "edge": 3.0}) is None
    assert rebuild("space", {}) is None
    assert rebuild("surrogate", {"kind": "annotations"}) is None


def test_what_would_be_another_one_is_not():
    described = Cluster("Cu3").description()
    assert rebuild("space", {**described, "formula": "Xq"}) is None
    assert rebuild("space", {**described, "colour": "red"}) is None
    assert rebuild("space", {**described, "radius": "wide"}) is None


def test_a_log_is_opened_with_what_its_description_makes(tmp_path):
    mine = campaign(space=Cluster("Cu3"), surrogate=LocalGP())
    mine.run(tmp_path / "run", stop=Evaluations(1))
    log = reopen(tmp_path / "run")
    assert log.space.description() == Cluster("Cu3").description()
    assert isinstance(log.surrogate, LocalGP)
    campaign().run(tmp_path / "own", stop=Evaluations(1))
    own = reopen(tmp_path / "own")
    assert (own.space, own.surrogate) == (None, None)

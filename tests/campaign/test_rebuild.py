from bostruct.campaign.rebuild import rebuild
from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP


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

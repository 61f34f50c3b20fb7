"""The protocols against what implements them."""

import inspect

import pytest

from bostruct.spaces import Cluster
from bostruct.surrogates import LocalGP, LocalGPModel
from bostruct.surrogates.base import FittedModel, SupportsDecode, Surrogate


def verbs(protocol):
    return {
        name: member
        for name, member in vars(protocol).items()
        if not name.startswith("_") and inspect.isfunction(member)
    }


@pytest.mark.parametrize(
    ("protocol", "made"),
    [(Surrogate, LocalGP), (FittedModel, LocalGPModel), (SupportsDecode, Cluster)],
)
def test_signatures_agree(protocol, made):
    """What the protocol asks for is there, by the same names and in the same order."""
    assert verbs(protocol)
    for name, asked in verbs(protocol).items():
        wanted = list(inspect.signature(asked).parameters.values())
        given = list(inspect.signature(getattr(made, name)).parameters.values())
        assert [p.name for p in given[: len(wanted)]] == [p.name for p in wanted], name
        for one, other in zip(given, wanted, strict=False):
            assert one.default == other.default, name
        for extra in given[len(wanted) :]:
            assert extra.default is not inspect.Parameter.empty, name


def test_a_space_says_what_its_atoms_are():
    space = Cluster("AuCu2")
    assert space.numbers.shape == space.atomic_radii.shape == (3,)
    properties = [name for name, it in vars(SupportsDecode).items() if isinstance(it, property)]
    assert sorted(properties) == ["atomic_radii", "numbers"]

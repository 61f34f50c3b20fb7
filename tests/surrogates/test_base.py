"""The protocols against what implements them."""

import inspect

import pytest

from bostruct import surrogates as module
from bostruct.errors import InputError
from bostruct.spaces import Cluster, Space
from bostruct.surrogates import (
    IndependentProperties,
    LocalGP,
    LocalGPModel,
    MultitaskGP,
    PropertyModel,
    TrainingData,
    fit_surrogate,
)
from bostruct.surrogates.base import (
    FittedEnergyModel,
    FittedModel,
    Surrogate,
)


def verbs(protocol):
    return {
        name: member
        for name, member in vars(protocol).items()
        if not name.startswith("_") and inspect.isfunction(member)
    }


@pytest.mark.parametrize(
    ("protocol", "made"),
    [
        (Surrogate, LocalGP),
        (Surrogate, MultitaskGP),
        (Surrogate, IndependentProperties),
        (FittedModel, LocalGPModel),
        (FittedModel, PropertyModel),
        (FittedEnergyModel, LocalGPModel),
        (Space, Cluster),
    ],
)
def test_signatures_agree(protocol, made):
    """What the protocol asks for is there, by the same names and in the same order.

    A parameter by position alone may have another name.
    """
    assert verbs(protocol)
    for name, asked in verbs(protocol).items():
        wanted = list(inspect.signature(asked).parameters.values())
        given = list(inspect.signature(getattr(made, name)).parameters.values())
        assert len(given) >= len(wanted), name
        for one, other in zip(given, wanted, strict=False):
            assert one.name == other.name or other.kind is other.POSITIONAL_ONLY, name
            assert one.default == other.default, name
        for extra in given[len(wanted) :]:
            assert extra.default is not inspect.Parameter.empty, name


def test_a_space_says_what_its_atoms_are():
    space = Cluster("AuCu2")
    assert space.numbers.shape == space.atomic_radii.shape == (3,)
    properties = [name for name, it in vars(Space).items() if isinstance(it, property)]
    assert sorted(properties) == ["atomic_radii", "dimension", "numbers"]


def test_every_surrogate_declares_its_kind():
    kinds = {
        name: made.supports_multiple_outcomes
        for name, made in vars(module).items()
        if isinstance(made, type) and hasattr(made, "fit")
        if name not in ("GP", "IntensiveProperty", "PropertySurrogate", "Surrogate")
    }
    several = {name for name, flag in kinds.items() if flag}
    assert several == {"IndependentProperties", "MultitaskGP"}
    assert len(kinds) == 12
    assert all(isinstance(flag, bool) for flag in kinds.values())


class Wrapper:
    """Declares its kind, and has a signature that says nothing."""

    def __init__(self, supports_multiple_outcomes):
        self.supports_multiple_outcomes = supports_multiple_outcomes

    def fit(self, *args, **kwargs):
        return args, kwargs


def test_each_kind_is_fitted_to_what_it_declares():
    structures, data = object(), TrainingData(None, None, ("energy",))
    with_structures = TrainingData(None, None, ("energy",), structures)
    assert fit_surrogate(Wrapper(True), data, "space") == ((data, "space"), {})
    assert fit_surrogate(Wrapper(True), with_structures)[0][0] is with_structures
    assert fit_surrogate(Wrapper(False), with_structures, "space") == ((structures, "space"), {})
    with pytest.raises(InputError, match="`structures` must be given, got None"):
        fit_surrogate(Wrapper(False), data)

"""The protocol: what is imported from it, and that every space has it."""

import inspect

import pytest
import torch
from ase.build import fcc100

from bostruct.spaces import Cluster, Surface
from bostruct.spaces.space import Move, Space
from bostruct.testing import stream

VERBS = [
    name
    for name, value in vars(Space).items()
    if not name.startswith("_") and inspect.isfunction(value)
]
FACTS = [name for name, value in vars(Space).items() if isinstance(value, property)]


SPACES = {
    "cluster": lambda: Cluster("AuCu2"),
    "surface": lambda: Surface(fcc100("Au", (2, 2, 2), vacuum=8), "Ni2"),
}


@pytest.fixture(params=SPACES)
def space(request) -> Space:
    return SPACES[request.param]()


def test_a_space_has_every_verb_with_its_arguments(space):
    assert len(VERBS) == 8
    for name in VERBS:
        wanted = inspect.signature(getattr(Space, name)).parameters
        found = inspect.signature(getattr(type(space), name)).parameters
        for parameter, default in wanted.items():
            assert found[parameter].kind == default.kind, (name, parameter)
            assert found[parameter].default == default.default, (name, parameter)


def test_a_space_has_every_fact(space):
    assert FACTS == ["dimension", "numbers", "radii"]
    for name in FACTS:
        assert getattr(space, name) is not None


def test_moves_are_callables_of_coordinates_and_a_generator(space):
    X = space.sample(2, stream(0))
    move: Move
    for move in space.moves().values():
        moved = move(X, stream(1))
        assert isinstance(moved, torch.Tensor)
        assert moved.shape == X.shape

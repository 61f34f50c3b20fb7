"""The protocol: what is imported from it, and that every space has it."""

import inspect

import pytest
import torch
from ase.build import fcc100

from bostruct.errors import InputError, SpaceError
from bostruct.spaces import (
    Cluster,
    Composition,
    DiscreteSpace,
    SupportsNeighbors,
    Surface,
)
from bostruct.spaces.space import (
    Move,
    Space,
    check_member_range,
    chunk_ranges,
    is_same_member,
)
from bostruct.testing import seeded_generator

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
    assert FACTS == ["dimension", "numbers", "atomic_radii"]
    for name in FACTS:
        assert getattr(space, name) is not None


def test_moves_are_callables_of_coordinates_and_a_generator(space):
    X = space.sample(2, seeded_generator(0))
    move: Move
    for move in space.moves().values():
        moved = move(X, seeded_generator(1))
        assert isinstance(moved, torch.Tensor)
        assert moved.shape == X.shape


def test_a_type_tells_what_a_space_offers():
    alloy = Composition(["Cu", "Au"], step=1 / 4)
    assert isinstance(alloy, DiscreteSpace)
    assert isinstance(alloy, SupportsNeighbors)
    assert not isinstance(Cluster("Cu3"), DiscreteSpace)


def test_spans_cover_all_once():
    assert list(chunk_ranges(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(chunk_ranges(0, 3)) == []
    with pytest.raises(InputError, match="`chunk_size` must be an integer of at least 1"):
        next(chunk_ranges(3, 0))
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        next(chunk_ranges(None, 3))


def test_ranges_lie_in_the_list():
    check_member_range(5, 0, 5)
    check_member_range(5, 2, 2)
    with pytest.raises(InputError, match="`stop` must be at most 5, got 6"):
        check_member_range(5, 0, 6)
    with pytest.raises(InputError, match="`stop` must be an integer of at least 3"):
        check_member_range(5, 3, 2)
    with pytest.raises(InputError, match="`start` must be an integer of at least 0"):
        check_member_range(5, -1, 2)


def test_rows_are_alike_up_to_rounding():
    A = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    assert is_same_member(A, A.double() + 1e-8).all()
    assert is_same_member(A.unsqueeze(1), A).tolist() == [[True, False], [False, True]]

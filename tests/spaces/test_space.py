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
    EnumerableMembers,
    Move,
    Space,
    check_member_range,
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


class Distances(EnumerableMembers):
    """Whole numbers below a size, each the same as its opposite."""

    def __init__(self, size):
        self._size = size

    @property
    def size(self):
        return self._size

    def members(self, start, stop):
        return torch.arange(start, stop).double().unsqueeze(-1)

    def canonical(self, X):
        return X.abs()


def test_chunks_cover_all_members_once():
    chunks = list(Distances(7).iter_members(3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert torch.cat(chunks).flatten().tolist() == list(range(7))
    assert list(Distances(0).iter_members(3)) == []
    with pytest.raises(InputError, match="`chunk_size` must be an integer of at least 1"):
        next(Distances(3).iter_members(0))
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        next(Distances(None).iter_members(3))


def test_members_are_alike_up_to_rounding_and_equivalence():
    space, A = Distances(7), torch.tensor([[0.25], [0.5]])
    assert space.is_duplicate(A, 1e-8 - A.double()).all()
    assert space.is_duplicate(A.unsqueeze(1), A).tolist() == [[True, False], [False, True]]
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(A, A, 0.0)


def test_ranges_lie_in_the_list():
    assert check_member_range(5, 0, 5) == 5
    assert check_member_range(5, 2, 2) == 5
    with pytest.raises(InputError, match="`stop` must be at most 5, got 6"):
        check_member_range(5, 0, 6)
    with pytest.raises(InputError, match="`stop` must be an integer of at least 3"):
        check_member_range(5, 3, 2)
    with pytest.raises(InputError, match="`start` must be an integer of at least 0"):
        check_member_range(5, -1, 2)

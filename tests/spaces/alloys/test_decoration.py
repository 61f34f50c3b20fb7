import builtins

import pytest
import torch
from ase.build import bulk

from bostruct.errors import InputError
from bostruct.spaces import Composition
from bostruct.spaces.alloys.decoration import (
    DECORATION_METHODS,
    ordered_decoration,
    random_decoration,
    repeat_elements,
    require_icet,
    sqs_decoration,
)

CELL = bulk("Cu", cubic=True) * (2, 2, 2)
ELEMENTS = ("Cu", "Au")


def unlike(kinds, cell=CELL):
    """Return the share of nearest neighbors that are unlike."""
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", cell, 2.8)
    return float((kinds[i] != kinds[j]).double().mean())


@pytest.mark.parametrize("name", ["random", "ordered"])
def test_keeps_the_numbers_and_repeats(name):
    place = DECORATION_METHODS[name]
    for counts in ((32, 0), (31, 1), (16, 16), (5, 27)):
        kinds = place(CELL, counts, ELEMENTS, 3)
        assert torch.bincount(kinds, minlength=2).tolist() == list(counts)
        assert torch.equal(place(CELL, counts, ELEMENTS, 3), kinds)


def test_random_is_by_seed():
    one, two = (random_decoration(CELL, (16, 16), ELEMENTS, seed) for seed in (0, 1))
    assert not torch.equal(one, two)
    assert repeat_elements((2, 0, 1)).tolist() == [0, 0, 2]


def test_ordered_keeps_like_atoms_apart():
    """On fcc at most 2/3 of the neighbors are unlike at 1:1, and 1/2 at 3:1."""
    assert unlike(ordered_decoration(CELL, (16, 16), ELEMENTS, 0)) > 0.62
    assert unlike(ordered_decoration(CELL, (24, 8), ELEMENTS, 0)) > 0.47


def test_sqs_is_as_unlike_as_chance():
    """The random alloy has a half; 32 sites can match its nearest pairs exactly."""
    kinds = sqs_decoration(CELL, (16, 16), ELEMENTS, 0)
    assert torch.bincount(kinds).tolist() == [16, 16]
    assert unlike(kinds) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(sqs_decoration(CELL, (16, 16), ELEMENTS, 0), kinds)
    assert sqs_decoration(CELL, (0, 32), ELEMENTS, 0).tolist() == [1] * 32


def test_says_what_needs_icet(monkeypatch):
    require_icet("arrangement", "sqs")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "icet":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    match = r"`decoration` must be something that works without icet.*\[alloys\]"
    with pytest.raises(InputError, match=match):
        Composition(["Cu", "Au"], step=1 / 4, decoration="sqs")

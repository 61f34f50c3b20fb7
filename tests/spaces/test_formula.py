import math

import pytest
import torch

from bostruct.errors import InputError
from bostruct.spaces.formula import (
    check_length,
    min_pair_distances,
    parse_formula,
    resolve_atomic_radii,
)

AUCU2 = torch.tensor([79, 29, 29])


@pytest.mark.parametrize(
    ("formula", "numbers"),
    [
        ("Cu3", [29, 29, 29]),
        ("CuAuCu2", [29, 79, 29, 29]),
        ("(H2O)2", [1, 1, 8, 1, 1, 8]),
        ("LiF", [3, 9]),
    ],
)
def test_atoms_stand_in_the_order_written(formula, numbers):
    assert parse_formula(formula).tolist() == numbers


@pytest.mark.parametrize(
    ("formula", "match"),
    [
        ("", "`formula` must hold at least 2 atoms, got ''"),
        ("Cu", "`formula` must hold at least 2 atoms, got 'Cu'"),
        ("Cu0", "at least 2 atoms"),
        ("Xx5", "must name elements that exist, got 'Xx'.*Cu15"),
        ("X3", "must name elements that exist, got 'X'"),
        ("Cu-5", "must be a chemical formula, got 'Cu-5'"),
        ("cu15", "must be a chemical formula, got 'cu15'"),
        (15, "must be a chemical formula, got 15"),
        ("Cu100000", "at most 1000 atoms, got 100000"),
    ],
)
def test_refuses_formulas(formula, match):
    with pytest.raises(InputError, match=match):
        parse_formula(formula)


def test_formulas_may_hold_less_where_that_is_enough():
    assert parse_formula("H", min_atoms=1).tolist() == [1]
    assert parse_formula("", min_atoms=0).shape == (0,)
    assert parse_formula("", min_atoms=0).dtype == torch.int64
    with pytest.raises(InputError, match="must hold at least 1 atoms, got ''"):
        parse_formula("", min_atoms=1)


def test_lengths_are_positive_numbers():
    assert check_length("radius", 3) == 3
    with pytest.raises(InputError, match="`radius` must be a number, got '7'"):
        check_length("radius", "7")
    with pytest.raises(InputError, match="`radius` must be a number, got True"):
        check_length("radius", True)
    for value in (0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="`radius` must be positive and finite"):
            check_length("radius", value)


def test_radii_are_covalent_unless_given():
    radii = resolve_atomic_radii(AUCU2, {"Cu": 1.1})
    assert radii.dtype == torch.float64
    assert radii.tolist() == pytest.approx([1.36, 1.1, 1.1])
    assert resolve_atomic_radii(AUCU2, None).tolist() == pytest.approx([1.36, 1.32, 1.32])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (1.3, r"`atomic_radii` must be a mapping from elements.*\{'Ar': 0.56\}"),
        ({"Ag": 1.0}, r"must name elements that occur \(Au, Cu\), got 'Ag'"),
        ({"Cu": -1.0}, r"`atomic_radii\['Cu'\]` must be positive and finite"),
    ],
)
def test_refuses_radii(given, match):
    with pytest.raises(InputError, match=match):
        resolve_atomic_radii(AUCU2, given)


def test_asks_for_radii_that_are_not_known(monkeypatch):
    def unknown(numbers):
        raise InputError("unknown")

    monkeypatch.setattr("bostruct.spaces.formula.covalent_radii", unknown)
    numbers = parse_formula("Md2")
    with pytest.raises(InputError, match=r"must give a radius for Md.*'Md': 1.5"):
        resolve_atomic_radii(numbers, None)
    assert resolve_atomic_radii(numbers, {"Md": 1.7}).tolist() == [1.7, 1.7]


def test_distances_by_pair():
    radii = resolve_atomic_radii(AUCU2, None)
    least = min_pair_distances(AUCU2, radii, {"Cu-Au": 2.5}, min_distance_factor=0.5)
    assert least[0].tolist() == pytest.approx([0, 2.5, 2.5])
    assert least[1, 2] == pytest.approx(1.32)
    assert torch.equal(least, least.T)
    assert torch.equal(least, min_pair_distances(AUCU2, radii, {"Au-Cu": 2.5}, 0.5))
    assert min_pair_distances(AUCU2, radii, 2, 0.5)[0].tolist() == [0, 2, 2]
    assert min_pair_distances(AUCU2, radii, None, 1.0)[0, 1] == pytest.approx(2.68)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (-2, "`min_distance` must be positive and finite"),
        ({"Cu-Au": 2.0, "Au-Cu": 1.6}, "`min_distance` must give the pair Cu-Au one distance"),
        ({"Cu-Cu": 0}, r"`min_distance\['Cu-Cu'\]` must be positive and finite"),
        ({"Cu": 2}, "must name pairs of elements, such as 'Cu-Au', got 'Cu'"),
        ({7: 2}, "must name pairs of elements, such as 'Cu-Au', got 7"),
        ({"Cu-Ag": 2}, r"elements that occur \(Au, Cu\), got 'Cu-Ag'"),
    ],
)
def test_refuses_distances(given, match):
    radii = resolve_atomic_radii(AUCU2, None)
    with pytest.raises(InputError, match=match):
        min_pair_distances(AUCU2, radii, given, 0.7)

import pytest
import torch
from ase import Atoms

from bostruct.errors import InputError
from bostruct.spaces.composition_properties import (
    CompositionProperties,
    atomic_volumes,
    check_elements,
    element_fractions,
)
from bostruct.structures import from_ase


def test_pure_elements_have_their_own_density():
    """Al 2.70, Cu 8.93, Fe 7.87, Mg 1.74, Si 2.33 g/cm³, from their crystals."""
    elements = ("Al", "Cu", "Fe", "Mg", "Si")
    known = CompositionProperties(elements, volumes=atomic_volumes(elements))
    found = known.evaluate(torch.eye(5, dtype=torch.float64))["density"]
    wanted = torch.tensor([2.70, 8.93, 7.87, 1.74, 2.33]).double()
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0)


def test_price_is_by_weight():
    """CuAu: 63.546 g at 10 and 196.967 g at 1000 a kilogram."""
    known = CompositionProperties(("Cu", "Au"), price={"Cu": 10.0, "Au": 1000.0})
    found = known.evaluate(torch.tensor([0.5, 0.5], dtype=torch.float64))
    wanted = (63.546 * 10 + 196.966569 * 1000) / (63.546 + 196.966569)
    assert float(found["price"]) == pytest.approx(wanted)
    assert list(found) == ["x_Cu", "x_Au", "price"]
    assert known.description() == {"price": {"Au": 1000.0, "Cu": 10.0}, "volumes": None}


def test_is_differentiable():
    known = CompositionProperties(("Cu", "Au"), {"Cu": 10.0, "Au": 50.0}, {"Cu": 12.0, "Au": 17.0})
    X = torch.tensor([[0.3, 0.7]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda X: tuple(known.evaluate(X).values()), X)


def test_composition_counts_atoms():
    structures = from_ase([Atoms("CuAuCu", [(0, 0, 0), (3, 0, 0), (6, 0, 0)]), Atoms("Au")])
    found = element_fractions(structures, torch.tensor([29, 79, 47]))
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 1 / 3, 0], [0, 1, 0]]).double())


def test_other_elements_get_a_sphere():
    assert 1 < atomic_volumes(["O"])["O"] < 40


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ("Cu", "'Cu'"),
        (["Cu", "Qq"], "'Qq'"),
        (["X"], "'X'"),
        ([], r"\[\]"),
        (["Cu"] * 2, "Cu"),
    ],
)
def test_refuses_what_are_no_elements(elements, found):
    with pytest.raises(InputError, match=f"`elements` must be .*got .*{found}"):
        check_elements("elements", elements)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ([1.0], "`price` must be a mapping"),
        ({"Cu": 1.0}, r"`price` must hold every element \(Cu, Au\), got none for Au"),
        ({"Cu": 1.0, "Au": -1.0}, r"`price\['Au'\]` must be positive and finite"),
    ],
)
def test_refuses_tables_with_holes(table, match):
    with pytest.raises(InputError, match=match):
        CompositionProperties(("Cu", "Au"), table)

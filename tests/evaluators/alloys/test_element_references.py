import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.errors import InputError
from bostruct.evaluators.alloys.element_references import (
    check_references,
    clear_cache,
    element_crystal,
    element_reference,
)

SETTINGS = {"fmax": 0.002, "max_steps": 300, "max_relative_error": 0.1}


class Counted(EMT):
    calls = 0

    def calculate(self, *args, **kwargs):
        Counted.calls += 1
        super().calculate(*args, **kwargs)


class Shifted(EMT):
    """EMT with another zero."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["energy"] += self.shift * len(self.atoms)


class Torn(EMT):
    """Wrong by one eV per atom where atoms are close."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        if self.atoms.get_volume() / len(self.atoms) < 11.2:
            self.results["energy"] -= len(self.atoms)


@pytest.fixture(autouse=True)
def _fresh():
    clear_cache()
    Counted.calls = 0


def identity(factory, **arguments):
    return {"factory": factory, "arguments": arguments}


def of(symbol, factory, wanted=None, **settings):
    settings = {**SETTINGS, **settings}
    return element_reference(
        symbol, factory, identity(factory), energy_or_crystal=wanted, **settings
    )


def test_an_element_is_at_the_bottom_of_its_own_crystal():
    found = of("Cu", EMT)
    energies = []
    for a in np.linspace(3.57, 3.61, 9):
        atoms = bulk("Cu", a=a)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
    assert found.energy == pytest.approx(min(energies), abs=1e-5)
    assert found.volume == pytest.approx(11.565, abs=0.01)


def test_an_element_is_relaxed_once():
    first = of("Cu", Counted)
    paid = Counted.calls
    assert paid > 0
    assert of("Cu", Counted) == first
    assert Counted.calls == paid
    of("Cu", Counted, fmax=0.001)
    assert Counted.calls > paid


def test_two_functions_of_one_name_are_two_calculators():
    def shifted(by):
        return lambda: Shifted(by)

    a, b = shifted(0.0), shifted(-1.0)
    assert a.__qualname__ == b.__qualname__
    assert of("Cu", b).energy == pytest.approx(of("Cu", a).energy - 1)


def test_calculators_without_a_pickle_are_not_cached():
    class Stubborn:
        def __call__(self):
            return Counted()

        def __reduce__(self):
            raise TypeError("not me")

    stubborn = Stubborn()
    of("Cu", stubborn)
    paid = Counted.calls
    of("Cu", stubborn)
    assert Counted.calls == 2 * paid


def test_a_given_energy_needs_no_calculator():
    found = element_reference("Fe", None, {}, energy_or_crystal=-8.2, **SETTINGS)
    assert (found.energy, found.volume) == (-8.2, None)


def test_the_crystal_may_be_chosen():
    fcc, bcc = of("Cu", EMT, "fcc"), of("Cu", EMT, "bcc")
    assert bcc.energy > fcc.energy + 0.01
    assert fcc == of("Cu", EMT)


@pytest.mark.parametrize("crystal", ["fcc", "bcc", "hcp", "diamond"])
def test_crystals_begin_with_atoms_a_bond_apart(crystal):
    atoms = element_crystal("Mn", crystal).repeat(3)
    nearest = atoms.get_all_distances(mic=True)[0, 1:].min()
    assert nearest == pytest.approx(2.1 * 1.39, rel=0.03)  # 1.39 Å: Cordero


@pytest.mark.parametrize("symbol", ["Mn", "O", "Ga", "Og"])
def test_elements_without_a_simple_crystal_are_refused(symbol):
    with pytest.raises(InputError, match=f"got none of {symbol}. .*give its energy in"):
        element_crystal(symbol)


def test_a_reference_whose_relaxation_fails_is_refused():
    with pytest.raises(InputError, match="must relax Cu by itself, got the relaxation"):
        of("Cu", EMT, max_steps=1)


def test_a_reference_with_discontinuous_energies_is_refused():
    match = "must relax Cu by itself, got .*equation of state"
    with pytest.raises(InputError, match=match):
        of("Cu", Torn)
    with pytest.raises(InputError, match=match):  # and is not kept
        of("Cu", Torn)


def test_a_reference_that_is_not_the_bottom_of_its_well_is_refused():
    class Deep(EMT):
        """Too low in a hair's breadth around its rest."""

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            if abs(self.atoms.get_volume() / 11.5655 - 1) < 0.01:
                self.results["energy"] -= 0.01

    with pytest.raises(InputError, match="must relax Cu by itself"):
        of("Cu", Deep)


@pytest.mark.parametrize(
    ("references", "match"),
    [
        ({"Xx": -1.0}, "must be of elements, got Xx"),
        ({"X": -1.0}, "must be of elements, got X"),
        ({"Cu": "fct"}, "must name a crystal of fcc, bcc, hcp, diamond, got 'fct'"),
        ({"Cu": float("nan")}, "must hold a finite energy of Cu, got nan"),
    ],
)
def test_invalid_references_are_refused(references, match):
    with pytest.raises(InputError, match=match):
        check_references(references)


def test_valid_references_are_returned():
    assert check_references({"Cu": -3.5, "Fe": "bcc"}) == {"Cu": -3.5, "Fe": "bcc"}

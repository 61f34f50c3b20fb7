"""Reference entries from what a user has."""

import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from monty.serialization import dumpfn
from pymatgen.analysis.phase_diagram import PDEntry
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from bostruct.campaign.reference_entries import (
    ReferenceEntries,
    read_reference_entries,
    space_references,
)
from bostruct.errors import InputError
from bostruct.spaces import Cluster, Crystal

NUMBERS = torch.tensor([29, 79])


@pytest.fixture
def gold():
    atoms = bulk("Au", cubic=True)
    atoms.calc = EMT()
    atoms.get_potential_energy()
    return atoms


def test_of_energies_by_formula():
    found = read_reference_entries({"Cu": -3.5, "CuAu3": -3}, NUMBERS)
    assert found.entries == (("Cu", -3.5), ("CuAu3", -3.0))
    expected = torch.tensor([[1, 0], [0.25, 0.75]], dtype=torch.float64)
    torch.testing.assert_close(found.compositions(NUMBERS), expected)
    assert ReferenceEntries.from_description(found.description()) == found
    assert ReferenceEntries.from_description(None).entries == ()


def test_of_crystals_and_files(gold, tmp_path):
    write(tmp_path / "gold.extxyz", gold)
    energy = gold.get_potential_energy() / 4
    for references in (gold, [gold], str(tmp_path / "gold.extxyz"), [tmp_path / "gold.extxyz"]):
        ((formula, found),) = read_reference_entries(references, NUMBERS).entries
        assert (formula, found) == ("Au4", pytest.approx(energy))


def test_of_entries_of_pymatgen(gold):
    entry = ComputedStructureEntry(AseAtomsAdaptor.get_structure(gold), -12.0)
    for references in (entry, [entry], [PDEntry(Composition("Au2"), -6.0)]):
        ((_, energy),) = read_reference_entries(references, NUMBERS).entries
        assert energy == pytest.approx(-3.0)


def test_of_files_of_entries(tmp_path):
    dumpfn([PDEntry(Composition("Au2"), -6.0)], tmp_path / "gold.json")
    ((formula, energy),) = read_reference_entries([tmp_path / "gold.json"], NUMBERS).entries
    assert (formula, energy) == ("Au2", -3.0)


def test_of_spaces_of_crystals_alone(gold):
    found = space_references({"Au": -3.0}, Crystal("Au2"))
    assert found == ReferenceEntries((("Au", -3.0),))
    assert (found + found).entries == 2 * found.entries
    pressure = 0.2
    ((_, enthalpy),) = space_references(gold, Crystal("Au2", pressure=pressure)).entries
    expected = (gold.get_potential_energy() + pressure * gold.get_volume()) / 4
    assert enthalpy == pytest.approx(expected)
    for space, value in ((Cluster("Au4"), "a Cluster"), (None, "no space that bostruct knows")):
        with pytest.raises(InputError, match=f"with a ChemicalSystem or a Crystal, got {value}"):
            space_references({"Au": -3.0}, space)


def test_under_a_pressure_enthalpies(gold):
    p, volume = 0.3, gold.get_volume()
    ((_, found),) = read_reference_entries(gold, NUMBERS, p).entries
    assert found == pytest.approx((gold.get_potential_energy() + p * volume) / 4)
    entry = ComputedStructureEntry(AseAtomsAdaptor.get_structure(gold), -12.0)
    ((_, found),) = read_reference_entries(entry, NUMBERS, p).entries
    assert found == pytest.approx((-12.0 + p * volume) / 4)
    assert read_reference_entries({"Au": 1.0}, NUMBERS, p).entries == (("Au", 1.0),)
    with pytest.raises(InputError, match="have a volume"):
        read_reference_entries(PDEntry(Composition("Au"), -3.0), NUMBERS, p)


@pytest.mark.parametrize(
    ("references", "match"),
    [
        ({"Ag": 0.0}, "elements of the space"),
        ({"CuX": 0.0}, "`references` must name elements that exist, got 'X'"),
        ({"two": 0.0}, "`references` must be a chemical formula, got 'two'"),
        ({"Cu": "low"}, "energies in eV per atom"),
        ({"Cu": float("nan")}, "finite energies"),
        (bulk("Cu"), "have energies"),
        (3, "be energies, crystals or entries"),
        ("missing.cif", "`references` must be a file .* got missing.cif, which is no file"),
        ({"Cu": True}, "energies in eV per atom"),
    ],
)
def test_refuses(references, match):
    with pytest.raises(InputError, match=match):
        read_reference_entries(references, NUMBERS)

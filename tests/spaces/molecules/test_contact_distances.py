import pytest
import torch

from bostruct.spaces.molecules.contact_distances import contact_lengths, is_hydrogen_bond
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.structures import covalent_radii


def tables(molecules, scale=1.0):
    fragments = Fragments.from_counts(molecules)
    radii = scale * covalent_radii(fragments.numbers)
    is_free = ~fragments.is_molecule[fragments.unit_index]
    return contact_lengths(fragments.numbers, radii, fragments.neighbors, is_free)


def test_hydrogen_on_oxygen_gives_a_hydrogen_bond_and_on_carbon_none():
    methanol = Fragments.from_counts({"CH3OH": 1})
    pairs = is_hydrogen_bond(methanol.numbers, methanol.neighbors)
    oxygen = methanol.numbers.tolist().index(8)
    (donor,) = pairs[oxygen].nonzero().flatten().tolist()
    assert oxygen in methanol.neighbors[donor]
    assert torch.equal(pairs, pairs.T)


def test_contacts_of_water_and_of_methane():
    lengths, least = tables({"H2O": 2})
    assert float(lengths[0, 3]) == pytest.approx(3.0)
    assert float(lengths[0, 4]) == pytest.approx(1.89)
    assert float(least[0, 4]) == pytest.approx(1.35)
    lengths, _ = tables({"CH4": 2})
    assert float(lengths[0, 5]) == pytest.approx(3.54)
    assert float(lengths[0, 6]) == pytest.approx(2.97)


def test_atoms_of_molecules_are_farther_apart_than_bonds():
    for molecules in ({"H2O": 2}, {"Cl2": 2}, {"NaCl": 2}, {"SiH4": 2}):
        fragments = Fragments.from_counts(molecules)
        radii = covalent_radii(fragments.numbers)
        lengths, least = tables(molecules)
        assert (least >= 1.3 * (radii.unsqueeze(0) + radii.unsqueeze(1)) - 1e-9).all()
        assert (lengths > least).all()


def test_free_atoms_may_be_bonded_but_for_noble_gases():
    lengths, least = tables({"H2O": 1, "Na": 1, "Ar": 1})
    assert float(lengths[0, 2]) == pytest.approx(1.66 + 0.66)  # sodium and oxygen
    assert float(least[0, 2]) == 0
    assert float(lengths[1, 2]) == pytest.approx(1.83 + 1.5)  # argon and oxygen
    assert float(least[1, 2]) > 1.9


def test_custom_radii_scale_contacts():
    (lengths, least), (longer, more) = tables({"H2O": 2}), tables({"H2O": 2}, 1.1)
    torch.testing.assert_close(longer, 1.1 * lengths)
    torch.testing.assert_close(more, 1.1 * least)

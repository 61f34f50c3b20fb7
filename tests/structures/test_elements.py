from collections import Counter

import pytest
from ase import Atoms
from ase.data import chemical_symbols

from bostruct.structures.elements import SYMBOLS, formula


def test_symbols_are_those_of_ase():
    assert list(SYMBOLS) == chemical_symbols


@pytest.mark.parametrize("symbols", ["AuCu2", "H6C2O", "HF", "NaCl", "X2", "C3"])
def test_formulas_are_written_as_ase_writes_them(symbols):
    atoms = Atoms(symbols)
    numbers = atoms.get_atomic_numbers().tolist()
    assert formula(numbers) == atoms.get_chemical_formula()
    assert formula(reversed(numbers)) == formula(iter(numbers))
    assert sum(Counter(numbers).values()) == len(atoms)


def test_nothing_has_an_empty_formula():
    assert formula([]) == ""

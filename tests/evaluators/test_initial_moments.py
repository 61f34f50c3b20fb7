import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from bostruct.errors import InputError
from bostruct.evaluators.initial_moments import (
    check_magnetic_moments,
    element_moment,
    set_magnetic_moments,
)
from bostruct.structures import from_ase, to_ase

PAIR = Atoms("NiAl", [(0, 0, 0), (0, 0, 2.5)])


def moments(atoms, by_element):
    structures = from_ase(atoms)
    found = to_ase(structures)[0]
    set_magnetic_moments(found, structures, by_element)
    return found.get_initial_magnetic_moments().tolist()


def test_moments_by_element():
    assert moments(PAIR, {"Ni": 0.6}) == [0.6, 0.0]
    assert moments(PAIR, {}) == [0.0, 0.0]


def test_moments_of_the_structure_stay():
    atoms = PAIR.copy()
    atoms.set_initial_magnetic_moments([-2.0, 0.0])
    assert moments(atoms, {"Ni": 0.6, "Al": 0.1}) == [-2.0, 0.0]


def test_moments_of_an_element():
    atoms = bulk("Ni", cubic=True)
    atoms.set_initial_magnetic_moments([0.5, -0.5, 0.5, -0.9])
    assert element_moment(atoms, "Ni", {}) == pytest.approx(0.6)
    assert element_moment(atoms, "Ni", {"Ni": 1.0}) == 1.0
    assert element_moment(atoms, "Ni", {"Fe": 1.0}) == 0.0
    assert element_moment(PAIR, "Al", {}) == 0.0


def test_checked_and_sorted():
    assert list(check_magnetic_moments({"Ni": 1, "Fe": 2.0})) == ["Fe", "Ni"]
    assert check_magnetic_moments(None) == {}
    with pytest.raises(InputError, match="`magnetic_moments` must be of elements, got 'Nu'"):
        check_magnetic_moments({"Nu": 1.0})
    for value in (np.nan, "up"):
        with pytest.raises(InputError, match="must hold a finite moment of Ni in μB"):
            check_magnetic_moments({"Ni": value})
    for value in (0.6, [0.6], "Ni"):
        with pytest.raises(InputError, match="`magnetic_moments` must hold moments by element"):
            check_magnetic_moments(value)
    assert check_magnetic_moments({"Ni": np.int64(1), "Fe": np.float32(2)}) == {"Fe": 2, "Ni": 1}

import pytest
import torch
from ase.build import bulk, molecule
from ase.cluster import Octahedron

from bostruct.spaces.pools.duplicates import (
    FINGERPRINT_TOLERANCE,
    compute_fingerprints,
    first_duplicate,
    is_duplicate_pair,
    matching_fingerprints,
)
from bostruct.structures import from_ase


def brass(*symbols):
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.symbols[: len(symbols)] = symbols
    return atoms


def turned(atoms):
    """Return another cell of the same: turned, shifted, renumbered and doubled."""
    other = atoms.copy()
    if other.pbc.all():
        other = other * (1, 2, 1)
    other.rotate(40, (1, 2, 3), rotate_cell=bool(other.pbc.any()))
    other.positions += 0.3
    return other[::-1]


ALL = [brass("Zn"), brass("Zn", "Zn"), molecule("C2H6"), Octahedron("Cu", 3)]


@pytest.mark.parametrize("atoms", ALL)
def test_signatures_do_not_depend_on_the_cell(atoms):
    both = from_ase([atoms, turned(atoms)])
    S = compute_fingerprints(both, both.numbers.unique())
    torch.testing.assert_close(S[0], S[1])


def test_finds_what_is_the_same():
    structures = from_ase([ALL[0], ALL[1], turned(ALL[0]), ALL[2], turned(ALL[2])])
    S = compute_fingerprints(structures, structures.numbers.unique())
    assert first_duplicate(S, lambda p: structures[p]).tolist() == [0, 1, 0, 3, 3]
    assert matching_fingerprints(S[2], S).tolist() == [0, 2]


def test_looks_closely_where_signatures_agree():
    """Signatures made equal by hand: orderings and isomers stay apart."""
    near, far = brass("Zn", "Zn"), brass("Zn", "Cu", "Cu", "Cu", "Zn")
    ethanol = [molecule("CH3CH2OH"), molecule("CH3OCH3")]
    structures = from_ase([near, far, *ethanol, turned(near)])
    S = torch.zeros(5, 8, dtype=torch.float64)
    assert first_duplicate(S, lambda p: structures[p]).tolist() == [0, 1, 2, 3, 0]


def test_a_structure_with_another_cell_or_length_is_another():
    cell = bulk("Cu")
    larger = bulk("Cu", a=3.7)
    flat = cell.copy()
    flat.pbc = [True, True, False]
    s = from_ase([cell, larger, flat, bulk("Ag", a=3.61)])
    assert is_duplicate_pair(s[0], s[0])
    for other in (1, 2, 3):
        assert not is_duplicate_pair(s[0], s[other])
    S = compute_fingerprints(s, s.numbers.unique())
    assert (S[0] - S[1]).abs().max() > FINGERPRINT_TOLERANCE


def ordering(signs, moment=1.0, **info):
    """Return a cubic cell of iron with a magnetic ordering."""
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (2, 1, 1)
    atoms.set_initial_magnetic_moments([moment * sign for sign in signs])
    atoms.info |= info
    return from_ase(atoms)


FERROMAGNETIC = ordering((1, 1, 1, 1))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ordering((-1, -1, -1, -1)), True),  # the same with all spins turned
        (ordering((1, -1, 1, -1)), False),
        (ordering((1, 1, 1, 1), 2.0), False),
        (ordering((1, 1, 1, 1), 1.001), True),
        (ordering((1, 1, 1, 1), charge=1), False),
        (ordering((1, 1, 1, 1), charge=0), True),
        (ordering((0, 0, 0, 0)), False),
    ],
)
def test_magnetic_orderings_and_ions_are_no_duplicates(other, same):
    assert is_duplicate_pair(FERROMAGNETIC, other) == same
    assert is_duplicate_pair(other, FERROMAGNETIC) == same


def test_antiferromagnets_of_one_pattern_are_duplicates():
    shifted = ordering((-1, 1, -1, 1))
    assert is_duplicate_pair(ordering((1, -1, 1, -1)), shifted)
    # Layers along the long axis: up, up, down, down.
    assert not is_duplicate_pair(ordering((1, 1, -1, -1)), ordering((1, -1, 1, -1)))


def test_structures_of_too_many_moments_are_not_compared():
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (4, 4, 4)
    atoms.set_initial_magnetic_moments([0.1 * k for k in range(128)])
    assert not is_duplicate_pair(from_ase(atoms), from_ase(atoms))

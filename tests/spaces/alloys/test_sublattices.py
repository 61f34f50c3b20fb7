import torch
from ase.build import bulk, fcc111

from bostruct.spaces.alloys.sublattices import (
    atomic_numbers_on_sites,
    find_active_sites,
)
from bostruct.structures import from_ase

SALT = bulk("NaCl", "rocksalt", a=5.6, cubic=True)


def made(**counts):
    species = {"Na": ["Na", "X"], "Cl": ["Cl", "Br", "I"]}
    return find_active_sites(SALT.copy(), species, counts or None)


def test_knows_what_each_site_may_hold():
    sites = made()
    numbers = SALT.get_atomic_numbers()
    assert sites.elements == ("Br", "Cl", "I", "Na")
    for place, row, width in zip(
        sites.parent_indices, sites.option_numbers, sites.n_options, strict=True
    ):
        wanted = [11, 0, -1] if numbers[place] == 11 else [17, 35, 53]
        assert row.tolist() == wanted
        assert width == 3 - (numbers[place] == 11)
    assert sites.has_free_composition.all()


def test_assigns_the_best_that_counts_allow():
    """By brute force over the sites of one vacancy."""
    sites = made(Na={"Na": 3, "X": 1})
    assert sites.has_free_composition.sum() == 4
    scores = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).double()
    C = sites.best_assignment(scores)
    assert sites.has_valid_counts(C)
    sodium = list(sites.sublattices[0].sites)
    gain = (scores[:, 1] - scores[:, 0])[sodium]
    assert C[sodium].tolist() == (gain == gain.max()).long().tolist()
    chlorine = list(sites.sublattices[1].sites)
    assert torch.equal(C[chlorine], scores[chlorine].argmax(-1))


def test_counts_rows():
    sites = made(Na={"Na": 3, "X": 1})
    C = torch.zeros(2, 8).long()
    C[1, sites.sublattices[0].sites[0]] = 1
    assert sites.has_valid_counts(C).tolist() == [False, True]


def test_finds_atoms_on_their_sites():
    slab = fcc111("Cu", (2, 2, 2))
    moved = slab.copy()
    moved.positions += 0.1
    del moved[3]
    found = atomic_numbers_on_sites(from_ase(moved), from_ase(slab))
    assert found.tolist() == [29, 29, 29, 0, 29, 29, 29, 29]
    sites = find_active_sites(slab.copy(), {"Cu": ["Cu", "X"]}, {"Cu": {"Cu": 7, "X": 1}})
    assert sites.occupations_from_numbers(found).tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert sites.occupations_from_numbers(found + 1) is None
    assert sites.occupations_from_numbers(None) is None

import pytest
import torch
from ase.build import bulk

from bostruct.spaces.alloys import moves
from bostruct.spaces.alloys.sublattices import find_active_sites
from bostruct.testing import seeded_generator

SALT = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 1, 1)
SPECIES = {"Na": ["Na", "K"], "Cl": ["Cl", "Br", "I"]}
COUNTS = {"Na": {"Na": 5, "K": 3}}
SITES = find_active_sites(SALT.copy(), SPECIES, COUNTS)


def decorations(n):
    C = torch.zeros(n, 16).long()
    for place, (width, free) in enumerate(
        zip(SITES.n_options, SITES.has_free_composition, strict=True)
    ):
        if free:
            C[:, place] = torch.randint(int(width), (n,), generator=seeded_generator(place))
    sodium = torch.tensor(SITES.sublattices[0].sites)
    C[:, sodium[:3]] = 1
    return C


@pytest.mark.parametrize("name", ["swap", "flip", "block"])
def test_keeps_what_counts_must_be_kept(name):
    C = decorations(64)
    moved = getattr(moves, name)(C, SITES, seeded_generator(0))
    assert SITES.has_valid_counts(moved).all()
    assert ((moved >= 0) & (moved < SITES.n_options)).all()
    assert not torch.equal(moved, C)


def test_swaps_two_unlike_sites():
    C = decorations(64)
    moved = moves.swap(C, SITES, seeded_generator(0))
    assert ((moved != C).sum(-1) == 2).all()
    assert torch.equal(moved.sort(-1).values, C.sort(-1).values)


def test_flips_one_free_site_to_anything_else():
    C = decorations(200)
    moved = moves.flip(C, SITES, seeded_generator(0))
    assert ((moved != C).sum(-1) == 1).all()
    assert (moved == C)[:, ~SITES.has_free_composition].all()
    steps = (moved - C)[moved != C] % 3
    assert set(steps.tolist()) == {1, 2}


def test_blocks_are_exchanged_within_sublattices():
    C = decorations(64)
    moved = moves.block(C, SITES, seeded_generator(0))
    for part in SITES.sublattices:
        sites = list(part.sites)
        assert torch.equal(moved[:, sites].sort(-1).values, C[:, sites].sort(-1).values)
    assert (moved != C).sum(-1).max() > 2


def test_nothing_to_swap_stays():
    C = torch.zeros(3, 16).long()
    assert torch.equal(moves.swap(C, SITES, seeded_generator(0)), C)


def test_around_lists_each_change_once():
    """3 · 5 swaps of sodium, and 2 flips of each of 8 chlorine."""
    C = decorations(1)[0]
    near = moves.neighbor_decorations(C, SITES)
    assert len(near) == len(near.unique(dim=0)) == 15 + 16
    assert SITES.has_valid_counts(near).all()

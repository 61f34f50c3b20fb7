import json

import pytest
import torch
from ase.build import molecule as ase_molecule

from bostruct.errors import InputError
from bostruct.spaces.formula import parse_formula
from bostruct.spaces.molecules.fragments import MAX_FREE_CHOICES, Fragments
from bostruct.spaces.molecules.molecule import Molecule
from bostruct.spaces.molecules.rotations import random_rotations
from bostruct.structures import covalent_radii
from bostruct.testing import seeded_generator
from bostruct.testing.central_differences import assert_gradient


@pytest.fixture
def mixed():
    return Fragments.from_counts({"CH3CH2OH": 1, "H2O": 2, "Na": 1})


def lengths(fragments, P):
    ends = P[..., fragments.bonds, :]
    return (ends[..., 0, :] - ends[..., 1, :]).norm(dim=-1)


def random_positions(fragments, n=3):
    shifts = 5 * torch.randn(
        n, len(fragments.units), 3, dtype=torch.float64, generator=seeded_generator(0)
    )
    P = fragments.translate(fragments.reference.expand(n, -1, -1), shifts)
    return P, shifts


def test_free_atoms_stand_first(mixed):
    assert mixed.name == "CH3CH2OH + 2 H2O + Na"
    assert mixed.numbers.tolist() == parse_formula(mixed.formula).tolist()
    assert mixed.numbers[0] == 11
    assert [unit is None for unit in mixed.units] == [True, False, False, False]
    assert mixed.unit_index.tolist() == [0, *[1] * 9, *[2] * 3, *[3] * 3]
    assert mixed.kinds[2] == mixed.kinds[3]
    assert len(mixed.kinds.unique()) == 3
    assert mixed.unit_atoms.shape == (4, 9)
    assert mixed.unit_atoms[0].tolist() == [0, *[-1] * 8]
    assert repr(mixed) == "Fragments(CH3CH2OH + 2 H2O + Na)"


def test_ways_to_count():
    water, atoms = Molecule.from_name("H2O"), ase_molecule("H2O")
    expected = Fragments.from_counts({"H2O": 2}).numbers.tolist()
    for given in ([water, water], [(water, 2)], [atoms, (atoms, 1)], ["H2O", "H2O"]):
        fragments = Fragments.from_counts(given)
        assert fragments.numbers.tolist() == expected
        assert fragments.counts == (2,)
    free = torch.tensor([78])
    assert Fragments.from_counts(["CO", "H"], free).numbers.tolist() == [78, 1, 8, 6]


def test_a_description_gives_the_same_fragments(mixed):
    described = json.loads(json.dumps(mixed.description()))
    again = Fragments.from_description(described)
    assert again.description() == mixed.description()
    assert torch.equal(again.reference, mixed.reference)
    assert torch.equal(again.torsions, mixed.torsions)


def test_bonds_and_torsions_are_those_of_each_molecule(mixed):
    assert len(mixed.bonds) == 8 + 2 + 2
    assert mixed.torsions.tolist() == (Molecule.from_name("CH3CH2OH").torsions + 1).tolist()
    assert not mixed.sides[:, 0].any()
    assert not mixed.sides[:, 10:].any()
    assert mixed.has_mirror_images.tolist() == [False, True, False, False]
    assert not mixed.has_stereocenter
    assert mixed.is_methyl_rotor.tolist() == [False, True]


def test_centers_follow_the_units(mixed):
    P, shifts = random_positions(mixed)
    torch.testing.assert_close(mixed.centers(P), shifts)
    turned = mixed.rotate(P, random_rotations((3, 4), seeded_generator(1)))
    torch.testing.assert_close(mixed.centers(turned), shifts)
    torch.testing.assert_close(lengths(mixed, turned), mixed.bond_lengths.expand(3, -1))
    moved = mixed.rotate(P, torch.eye(3).double().expand(3, 4, 3, 3), torch.zeros_like(shifts))
    torch.testing.assert_close(moved, mixed.reference.expand_as(moved))


def test_rigid_motions_compose_displacement_rotation_and_bending(mixed):
    P, shifts = random_positions(mixed)
    m, u = mixed.rigid_dimension, 4
    q = torch.zeros(3, m, dtype=torch.float64)
    torch.testing.assert_close(mixed.rigid_motion(P, q), P)
    q[:, : 3 * u] = 0.5
    torch.testing.assert_close(mixed.rigid_motion(P, q), P + 0.5)
    q = torch.randn(3, m, dtype=torch.float64, generator=seeded_generator(2))
    q[:, : 3 * u] = 0
    q[:, 3 * u + 9 :] = 0
    torch.testing.assert_close(mixed.centers(mixed.rigid_motion(P, q)), shifts)
    twist = torch.zeros(3, m, dtype=torch.float64)
    twist[:, -2] = 0.1
    change = (mixed.rigid_motion(P, twist) - P).norm(dim=-1)
    moved = change[:, mixed.sides[0]].square().mean(-1).sqrt()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1), rtol=0.01, atol=0)
    assert_gradient(lambda q: mixed.rigid_motion(P, q).sin().sum(), q)


def test_bonds_are_whole_up_to_a_quarter_more(mixed):
    P, _ = random_positions(mixed)
    for factor, whole in ((1.24, True), (1.26, False)):
        stretched = mixed.centers(P)[:, mixed.unit_index]
        stretched = stretched + factor * (P - stretched)
        assert mixed.are_bonds_whole(stretched).tolist() == [whole] * 3


def test_pair_tables_let_molecules_be(mixed):
    radii = covalent_radii(mixed.numbers)
    contacts, least = mixed.pair_tables(radii, torch.zeros(16, 16, dtype=torch.float64))
    D = torch.cdist(mixed.reference, mixed.reference)
    same = mixed.is_same_unit
    assert (least[same] <= D[same] + 1e-9).all()
    assert (least.diagonal() == 0).all()
    assert torch.equal(least, least.T)
    assert torch.equal(contacts, contacts.T)
    assert float(least[10, 13]) == pytest.approx(1.8)  # two oxygen atoms of water
    floor = torch.full((16, 16), 2.5, dtype=torch.float64)
    raised = mixed.pair_tables(radii, floor)[1]
    assert float(raised[10, 13]) == 2.5
    assert float(raised[10, 11]) == float(least[10, 11])


def test_atoms_are_matched_to_molecules(mixed):
    P, _ = random_positions(mixed, 1)
    order = torch.randperm(16, generator=seeded_generator(3))
    D = torch.cdist(P[0, order], P[0, order])
    found = next(mixed.match_atoms(mixed.numbers[order].tolist(), D))
    assert mixed.numbers[order][found].tolist() == mixed.numbers.tolist()
    matched = lengths(mixed, P[:, order][:, found])
    # equivalent hydrogen atoms, whose bonds are almost equal, may be exchanged
    torch.testing.assert_close(matched, mixed.bond_lengths.expand(1, -1), rtol=0, atol=0.01)
    together = torch.full_like(D, 1.0).fill_diagonal_(0.0)
    assert not list(mixed.match_atoms(mixed.numbers.tolist(), together))


def test_free_atoms_bonded_to_molecules_are_matched():
    """A hydrogen atom on a water molecule is told from those of the molecule by its longer bond."""
    hydronium = Fragments.from_counts({"H": 1, "H2O": 1})
    water = Fragments.from_counts({"H2O": 1}).reference
    P = torch.cat((water[:1] + torch.tensor([0.0, 0.0, 1.15]), water))
    for order in (torch.tensor([1, 2, 3, 0]), torch.tensor([2, 0, 3, 1])):
        D = torch.cdist(P[order], P[order])
        found = next(hydronium.match_atoms(hydronium.numbers[order].tolist(), D))
        assert int(order[found[0]]) == 0
        assert lengths(hydronium, P[order][found]).max() < 1.0


def test_many_free_atoms_leave_few_choices():
    """Sixty oxygen atoms of an oxide, half of them in carbon monoxide: the search ends."""
    many = Fragments.from_counts({"O": 30, "CO": 30})
    D = torch.full((90, 90), 9.0, dtype=torch.float64).fill_diagonal_(0.0)
    assert sum(1 for _ in many._choose_free(many.numbers.tolist(), D < 2, D)) == MAX_FREE_CHOICES


def test_chains_are_as_long_as_all_units():
    one, six = (Fragments.from_counts({"H2O": n}) for n in (1, 6))
    lengths_of = [f.chain_length(covalent_radii(f.numbers)) for f in (one, six)]
    assert lengths_of[1] == pytest.approx(6 * lengths_of[0])


def test_what_names_no_molecules_is_refused():
    with pytest.raises(InputError, match="hold molecules, got none"):
        Fragments.from_counts([])
    with pytest.raises(InputError, match="counts by name or a list of molecules"):
        Fragments.from_counts(3)
    with pytest.raises(InputError, match="integer of at least 1, got True"):
        Fragments.from_counts({"H2O": True})

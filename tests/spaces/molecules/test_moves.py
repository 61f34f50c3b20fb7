import pytest
import torch

from bostruct.spaces.molecules import moves
from bostruct.spaces.molecules.fragments import Fragments
from bostruct.testing import seeded_generator

N = 64


@pytest.fixture
def fragments():
    return Fragments.from_counts({"H2O2": 2, "H2O": 1, "Na": 1})


@pytest.fixture
def positions(fragments):
    P = moves.random_conformations(N, fragments, seeded_generator(0))
    centers = 4 * torch.randn(
        N, len(fragments.units), 3, dtype=torch.float64, generator=seeded_generator(1)
    )
    return fragments.translate(P, centers)


def bond_lengths(fragments, P):
    ends = P[:, fragments.bonds]
    return (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1)


def changed_units(fragments, before, after):
    """Return which units have changed, `[n, u]`."""
    moved = (after - before).abs().amax(-1) > 1e-9
    return torch.stack(
        [moved[:, fragments.unit_index == k].any(-1) for k in range(len(fragments.units))], -1
    )


def test_conformations_are_whole_and_about_the_origin(fragments):
    P = moves.random_conformations(N, fragments, seeded_generator(0))
    torch.testing.assert_close(bond_lengths(fragments, P), fragments.bond_lengths.expand(N, -1))
    torch.testing.assert_close(
        fragments.centers(P), torch.zeros(N, 4, 3, dtype=torch.float64), rtol=0, atol=1e-12
    )
    other = moves.random_conformations(N, fragments, seeded_generator(1))
    assert not torch.equal(P, other)


def test_conformations_have_both_mirror_images(fragments):
    from bostruct.spaces.molecules.dihedral_angles import dihedral_angles

    angles = dihedral_angles(
        moves.random_conformations(N, fragments, seeded_generator(0)), fragments.torsions
    )
    reference = dihedral_angles(fragments.reference, fragments.torsions)
    for sign in (1, -1):
        assert ((angles - sign * reference).abs() < 1e-6).any()


@pytest.mark.parametrize("name", ["turn_molecules", "bend", "mirror", "exchange"])
def test_bonds_are_kept(fragments, positions, name):
    before = positions.clone()
    moved = getattr(moves, name)(positions, fragments, seeded_generator(2))
    assert torch.equal(positions, before)
    assert changed_units(fragments, before, moved).any(-1).all()
    torch.testing.assert_close(bond_lengths(fragments, moved), fragments.bond_lengths.expand(N, -1))
    again = getattr(moves, name)(positions, fragments, seeded_generator(2))
    assert torch.equal(moved, again)


def test_a_rattle_moves_all_by_less_than_a_contact(fragments, positions):
    moved = moves.rattle(positions, fragments, 2.0, seeded_generator(2))
    torch.testing.assert_close(bond_lengths(fragments, moved), fragments.bond_lengths.expand(N, -1))
    assert changed_units(fragments, positions, moved).all()
    shift = (fragments.centers(moved) - fragments.centers(positions)).norm(dim=-1)
    assert shift.mean() < 1.0


def test_turned_molecules_keep_their_centers(fragments, positions):
    moved = moves.turn_molecules(positions, fragments, seeded_generator(2))
    torch.testing.assert_close(fragments.centers(moved), fragments.centers(positions))
    changed = changed_units(fragments, positions, moved)
    assert not changed[:, 0].any()
    assert set(changed.sum(-1).tolist()) == {1, 2, 3}


def test_bending_changes_molecules_with_torsions_alone(fragments, positions):
    changed = changed_units(
        fragments, positions, moves.bend(positions, fragments, seeded_generator(2))
    )
    assert changed[:, 1:3].any(-1).all()
    assert not changed[:, [0, 3]].any()


def test_mirroring_inverts_the_dihedral_of_one(fragments, positions):
    from bostruct.spaces.molecules.dihedral_angles import dihedral_angles

    moved = moves.mirror(positions, fragments, seeded_generator(2))
    before, after = (dihedral_angles(P, fragments.torsions) for P in (positions, moved))
    inverted = (before + after).abs() < 1e-6
    assert (inverted | ((before - after).abs() < 1e-6)).all()
    assert (changed_units(fragments, positions, moved).sum(-1) == 1).all()


def test_unlike_units_are_exchanged(fragments, positions):
    moved = moves.exchange(positions, fragments, seeded_generator(2))
    before, after = (fragments.centers(P) for P in (positions, moved))
    for old, new in zip(before, after, strict=True):
        D = torch.cdist(new, old)
        source = D.argmin(-1)
        assert (D.amin(-1) < 1e-6).all()
        (first, second) = (source != torch.arange(4)).nonzero().flatten().tolist()
        assert fragments.kinds[first] != fragments.kinds[second]

import pytest
import torch
from ase.build import fcc111
from ase.constraints import FixAtoms

from bostruct.spaces import Surface
from bostruct.spaces.surfaces.molecular_deposition import (
    clamp_heights,
    deposit_molecules,
    drop_unit,
    join_units,
    push_units_apart,
    relocate_unit,
    slide_units,
    wrap_units,
)
from bostruct.spaces.surfaces.periodic_plane import displacement_norms, is_self_pair
from bostruct.testing import seeded_generator

N = 24


@pytest.fixture(scope="module")
def space():
    slab = fcc111("Pt", (3, 3, 2), vacuum=8.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 0))
    return Surface(slab, "H", molecules=["CO", "H2O"])


@pytest.fixture(scope="module")
def deposited(space):
    """Positions along the axes of the plane, with fixed atoms."""
    return space._to_plane_frame(space.sample(N, seeded_generator(0)))


def parts(space, Q):
    template = space._template(Q)
    return space.fragments, template.bond_lengths, template.plane


def nearest(space, Q, lengths):
    """Return the closest distance of atoms of different units to all others, in `lengths`."""
    fragments, _, plane = parts(space, Q)
    f, a = len(fragments.numbers), Q.shape[1]
    shifts = plane.translations(3.0)
    D = displacement_norms(plane.displacements(Q[:, :f], Q, shifts))
    D = D.masked_fill(is_self_pair(f, a, shifts), torch.inf) / lengths[:f].unsqueeze(-1)
    D = D.amin(-1)
    D[:, :, :f] = D[:, :, :f].masked_fill(fragments.is_same_unit, torch.inf)
    return D.amin(-1)  # [n, f]


def inside(space, Q):
    f = len(space.fragments.numbers)
    D = torch.cdist(Q[:, :f], Q[:, :f])
    return D[:, space.fragments.is_same_unit]


def reference(space):
    D = torch.cdist(space.fragments.reference, space.fragments.reference)
    return D[space.fragments.is_same_unit].expand(N, -1)


def test_deposited_molecules_are_whole_and_touch(space, deposited):
    fragments, bonds, plane = parts(space, deposited)
    far, high = space._far_lengths, float(deposited[..., 2].max()) + 3
    Q = deposit_molecules(deposited, fragments, bonds, far, high, plane, seeded_generator(1))
    torch.testing.assert_close(inside(space, Q), reference(space))
    assert torch.equal(Q[:, 0], deposited[:, 0])  # the free atom
    assert torch.equal(Q[:, 6:], deposited[:, 6:])
    k = len(fragments.free_numbers)
    closest = nearest(space, Q, bonds)[:, k:]
    assert closest.min() > 0.91
    assert (nearest(space, Q, far)[:, k:].amin(-1) < 1.05).all()


def test_molecules_land_in_both_orientations_and_at_both_distances(space):
    P = space.sample(200, seeded_generator(3)).reshape(200, -1, 3)
    carbon, oxygen = P[:, 1, 2], P[:, 2, 2]
    share = float((carbon < oxygen).double().mean())
    assert 0.2 < share < 0.9
    top = float(space.slab.positions[:, 2].max())
    lowest = torch.minimum(carbon, oxygen) - top
    assert lowest.min() < 2.0
    assert lowest.max() > 2.6


def test_a_dropped_unit_touches_at_the_share_of_the_distances(space, deposited):
    fragments, bonds, plane = parts(space, deposited)
    unit = torch.full((N,), len(fragments.free_numbers))  # the first molecule
    own = (fragments.unit_index == unit[0]).nonzero().squeeze(-1)
    present = torch.zeros(N, deposited.shape[1], dtype=torch.bool)
    present[:, len(fragments.numbers) :] = True  # the slab alone
    ones = torch.ones(N, dtype=torch.float64)
    far = space._far_lengths
    for share, lengths in ((0.0, bonds), (1.0, far)):
        Q = drop_unit(
            *(deposited, fragments, unit, present, ones, share * ones, ones),
            lengths=(bonds, far),
            max_height=50.0,
            plane=plane,
            generator=seeded_generator(2),
        )
        f = len(fragments.numbers)
        shifts = plane.translations(5.0)
        D = displacement_norms(plane.displacements(Q[:, own], Q[:, f:], shifts)).amin(-1)
        closest = (D / lengths[own][:, f:]).amin((-1, -2))
        torch.testing.assert_close(closest, ones)


def test_relocated_units_are_single_and_whole(space, deposited):
    fragments, bonds, plane = parts(space, deposited)
    high = float(deposited[..., 2].max()) + 3
    far = space._far_lengths
    Q = relocate_unit(deposited, fragments, bonds, far, high, plane, seeded_generator(1))
    moved = (Q - deposited).abs().amax(-1) > 1e-9
    f = len(fragments.numbers)
    assert not moved[:, f:].any()
    for row in moved[:, :f]:
        assert len(fragments.unit_index[row].unique()) == 1
    torch.testing.assert_close(inside(space, Q), inside(space, deposited))


def test_slid_units_keep_their_distances_up_to_images(space, deposited):
    fragments, _, plane = parts(space, deposited)
    Q = slide_units(deposited, fragments, 0, plane, seeded_generator(1))
    torch.testing.assert_close(inside(space, Q), inside(space, deposited))
    torch.testing.assert_close(Q[..., 2], deposited[..., 2])
    assert (Q[:, :6] - deposited[:, :6]).abs().amax((1, 2)).min() > 0.1
    still = slide_units(deposited, fragments, 1, plane, seeded_generator(1))
    assert torch.equal(still[:, 0], deposited[:, 0])


def test_units_are_pushed_apart_as_rigid_bodies(space, deposited):
    fragments, bonds, plane = parts(space, deposited)
    f = len(fragments.numbers)
    Q = deposited.clone()
    Q[:, :f, 2] -= 0.8  # into the slab
    template = space._template(Q)
    ends = push_units_apart(Q, fragments, 0.85 * bonds[:f], template.height_range, plane, 40)
    assert nearest(space, Q, bonds).min() < 0.75
    assert nearest(space, ends, bonds).amin(-1).median() > 0.8
    torch.testing.assert_close(inside(space, ends), inside(space, deposited))
    assert torch.equal(ends[:, f:], Q[:, f:])
    none = push_units_apart(Q[:0], fragments, bonds[:f], template.height_range, plane, 2)
    assert len(none) == 0


def test_heights_are_clamped_by_units(space, deposited):
    fragments = space.fragments
    f = len(fragments.numbers)
    P = deposited[:, :f]
    low, high = float(P[..., 2].min()) + 0.5, float(P[..., 2].max()) + 10
    clamped = clamp_heights(P, fragments, (low, high))
    assert clamped[..., 2].min() > low - 1e-9
    assert torch.equal(clamped[..., :2], P[..., :2])
    torch.testing.assert_close(inside(space, clamped), inside(space, deposited))
    low_again = clamp_heights(P + 50, fragments, (low, high))
    assert low_again[..., 2].max() < high + 1e-9


def test_wrapped_units_are_in_one_piece_and_joined_ones_again(space, deposited):
    fragments, _, plane = parts(space, deposited)
    f = len(fragments.numbers)
    far = deposited[:, :f].clone()
    far[..., :2] += torch.tensor([3.0, -5.0]).double() @ plane.lattice
    wrapped = wrap_units(far, fragments, plane, 0.1)
    torch.testing.assert_close(inside(space, wrapped), inside(space, deposited))
    first = wrapped[:, torch.tensor(fragments.first_atoms), :2] @ plane.inverse_lattice
    assert first.min() > -0.11
    assert first.max() < 1.11
    torn = torch.cat((plane.wrap(far), deposited[:, f:]), 1)[:, :f]
    joined = join_units(torn, fragments, plane)
    torch.testing.assert_close(inside(space, joined), inside(space, deposited))

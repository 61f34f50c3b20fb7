"""Molecules on a surface."""

from __future__ import annotations

import pytest
import torch
from ase.build import fcc111

from bostruct.spaces import Surface
from bostruct.spaces.surfaces.adsorbed_molecules import (
    UNIT_MOVES,
    find_molecules,
    image_distances,
    least_volume,
    move_molecules,
    touching_lengths,
)
from bostruct.structures import to_ase
from bostruct.testing import seeded_generator


@pytest.fixture(scope="module")
def space() -> Surface:
    return Surface(fcc111("Pt", (3, 3, 2), vacuum=8.0), "H", molecules=["CO", "H2O"])


def test_nearest_images_are_those_of_ase(space: Surface) -> None:
    """Minimum-image distances of the atoms that move; of each and itself the width of the cell."""
    X = space.sample(1, seeded_generator(0))
    (atoms,) = to_ase(space.decode(X))
    plane = space._template(X).plane
    Q = space._positions(X)[0] @ plane.axes
    D = image_distances(Q, plane, 30.0)
    width = float(atoms.cell.lengths()[0])
    torch.testing.assert_close(D.diagonal(), torch.full((len(D),), width).double())
    free = space.free_indices
    expected = torch.from_numpy(atoms.get_all_distances(mic=True))[free][:, free]
    off = ~torch.eye(len(D), dtype=torch.bool)
    torch.testing.assert_close(D[off], expected[off])


def test_molecules_are_found_in_an_order_that_is_inside(space: Surface) -> None:
    """The first order that is inside is taken, and the given one where none is."""
    fragments = space.fragments
    assert fragments is not None
    X = space.sample(1, seeded_generator(1))
    plane = space._template(X).plane
    Q = space._positions(X)[0] @ plane.axes
    # hydrogen atoms in reverse order
    hydrogen = (fragments.numbers == 1).nonzero().flatten()
    order = torch.arange(len(Q))
    order[hydrogen] = hydrogen.flip(0)
    found = find_molecules(Q[order], fragments, plane, 4.0, lambda q: True)
    assert fragments.are_bonds_whole(found)
    kept = find_molecules(Q, fragments, plane, 4.0, lambda q: False)
    assert fragments.are_bonds_whole(kept)


def test_moves_keep_bonds(space: Surface) -> None:
    """Molecules move as a whole; the slab stays."""
    fragments = space.fragments
    assert fragments is not None
    X = space.sample(3, seeded_generator(2))
    Q, template = space._to_plane_frame(X), space._template(X)
    f, far = len(fragments.numbers), space._far_lengths
    for name in ("rattle", "relocate", "slide", *(n for n in UNIT_MOVES if n in space.moves())):
        generator = seeded_generator(3)
        moved = move_molecules(
            name, Q, fragments, template, far, space._n_adsorbate_atoms, generator
        )
        assert fragments.are_bonds_whole(moved[:, :f]).all()
        assert torch.equal(moved[:, f:], Q[:, f:])
        assert not torch.equal(moved[:, :f], Q[:, :f])


def test_lengths_and_volumes(space: Surface) -> None:
    """Molecules touch the slab at van der Waals distances, free atoms at bonds; volumes add up."""
    fragments = space.fragments
    assert fragments is not None
    order = space.free_first_order
    numbers, radii = space.numbers[order], space.atomic_radii[order]
    lengths = touching_lengths(fragments, numbers, radii, space.bond_lengths)
    assert torch.equal(lengths[0, 6:], space.bond_lengths[0, 6:])  # the free hydrogen atom
    f = len(fragments.numbers)
    assert (lengths[1:f, f:] > space.bond_lengths[1:f, f:]).all()
    volume, radius = least_volume(fragments, radii[:f])
    assert 20 < volume < 60  # of CO and water; in ice 32 Å³ a molecule
    assert 1 < radius < 2

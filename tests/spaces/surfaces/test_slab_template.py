"""What structures on a slab have in common; `test_surface` uses all of it."""

import pytest
import torch
from ase.build import fcc100

from bostruct.errors import InputError
from bostruct.spaces import Surface

SLAB = fcc100("Au", (3, 3, 2), vacuum=6.0)


def setting(dtype=torch.float64):
    space = Surface(SLAB, "Ni2")
    X = space.sample(3, torch.Generator().manual_seed(0)).to(dtype)
    return space, X, space._template(X)


def test_is_made_once_for_a_device_and_a_dtype():
    space, X, here = setting()
    assert space._template(X + 1) is here
    single = space._template(X.float())
    assert single.fixed_positions.dtype == single.contact_translations.dtype == torch.float32
    torch.testing.assert_close(single.bond_lengths.double(), here.bond_lengths)


def test_decoded_and_encoded_are_inverse():
    _, X, here = setting()
    P = X.view(3, 2, 3)
    structures = here.decode(P)
    assert structures.fixed.sum() == 3 * 18
    assert torch.equal(here.encode(structures, "this"), P)
    with pytest.raises(InputError, match="must all be this"):
        here.encode(Surface(SLAB, "Ni").decode(X[:1, :3]), "this")


def test_an_atom_that_has_left_is_not_part_of_the_whole():
    space, X, here = setting()
    Q = space._to_plane_frame(X)
    assert here.is_connected(Q, 1.5).all()
    Q[1, 0, 2] += 4.0
    Q[1, 1, 2] += 4.0
    assert here.is_connected(Q, 1.5).tolist() == [True, False, True]
    assert here.is_connected(Q, torch.inf).all()

import pytest
import torch
from ase.build import fcc100
from ase.constraints import FixAtoms

from bostruct.spaces import Surface


def gold(free=0):
    slab = fcc100("Au", (3, 3, 2), vacuum=9.0)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > free))
    return slab


SPACE = Surface(gold(), "CuNi", region=(1.0, 5.0))
CU_NI = 0.7 * (1.32 + 1.24)


def at(*rows):
    """Return X of atoms at lateral positions and heights above the slab."""
    P = torch.tensor(rows, dtype=torch.float64)
    P[:, 2] += SPACE.slab.positions[:, 2].max()
    return P.flatten()


def forces(**rows):
    values = torch.zeros(20, 3, dtype=torch.float64)
    for name, row in rows.items():
        values[int(name[1:])] = torch.tensor(row, dtype=torch.float64)
    return values


def found(space, x):
    return {(b.argument, b.pair, round(b.limit, 3)): b for b in space.active_bounds(x)}


def test_a_structure_amid_the_space_leans_on_nothing():
    assert not found(SPACE, at((1.4, 1.4, 2.0), (4.3, 1.4, 2.0)))


def test_heights_at_either_end():
    low, high = (
        found(SPACE, at((1.4, 1.4, 2.0), (4.3, 1.4, height)))["region", "", limit]
        for height, limit in ((1.001, 1.0), (4.99, 5.0))
    )
    assert low.atoms.tolist() == high.atoms.tolist() == [19]
    up = forces(_19=(5.0, 5.0, 2.0), _18=(9.0, 9.0, 9.0))
    assert high.pressure(up) == pytest.approx(2)
    assert low.pressure(up) == pytest.approx(-2)


def test_the_closest_pair_across_the_border_of_the_cell():
    edge = float(SPACE.slab.cell[0, 0, 0])
    x = at((0.5, 1.4, 2.6), (0.5 - CU_NI + edge, 1.4, 2.6))
    (bound,) = SPACE.active_bounds(x)
    assert (bound.argument, bound.pair) == ("min_distance", "Cu-Ni")
    assert bound.limit == pytest.approx(CU_NI)
    assert bound.pressure(forces(_18=(-1.0, 0, 0), _19=(2.0, 0, 0))) == pytest.approx(1.5)


def test_of_a_pair_with_a_fixed_atom_one_moves():
    top = SPACE.slab.positions[SPACE.slab.positions[:, 2].argmax()]
    limit = 0.7 * (1.36 + 1.32)
    x = at((float(top[0]), float(top[1]), 1.01 * limit), (4.3, 4.3, 2.6))
    (bound,) = SPACE.active_bounds(x)
    assert (bound.argument, bound.pair) == ("min_distance", "Au-Cu")
    assert bound.atoms.tolist() == [18]
    assert bound.pressure(forces(_18=(0, 0, -3.0))) == pytest.approx(3)


def test_free_atoms_of_the_slab_have_their_own_places():
    space = Surface(gold(free=1), "Cu")
    atom = int(space.free_indices[-2])  # the last free one of the slab
    P = space.encode(space.decode(space.sample(1, torch.Generator().manual_seed(0)))).reshape(-1, 3)
    P[-2] = P[-1] + torch.tensor([0.0, 0, -0.7 * (1.36 + 1.32)])
    bounds = [b for b in space.active_bounds(P.flatten()) if b.pair == "Au-Cu"]
    assert [sorted(b.atoms.tolist()) for b in bounds] == [[atom, 18]]

from functools import cache

import pytest
import spglib
import torch

from bostruct.spaces.crystals.wyckoff_positions import (
    N_LAYER_GROUPS,
    N_SPACE_GROUPS,
    space_group,
)
from bostruct.structures.convert import suppress_spglib_warnings

POINT = torch.tensor([0.213, 0.371, 0.059], dtype=torch.float64)

SYSTEMS = {1: "triclinic", 14: "monoclinic", 62: "orthorhombic", 136: "tetragonal"}
SYSTEMS |= {167: "hexagonal", 194: "hexagonal", 195: "cubic", 227: "cubic"}


@pytest.mark.parametrize("number", SYSTEMS)
def test_crystal_systems(number):
    assert space_group(number).crystal_system == SYSTEMS[number]


@cache
def n_operations():
    """Return the number of operations in the conventional cell of each space group."""
    counts = {}
    with suppress_spglib_warnings():
        for hall in range(1, 531):
            number = spglib.get_spacegroup_type(hall).number
            if number not in counts:
                rotations = spglib.get_symmetry_from_database(hall)["rotations"]
                counts[number] = len(rotations)
    return counts


@pytest.mark.parametrize("number", range(1, N_SPACE_GROUPS + 1))
def test_positions_are_those_of_the_group(number):
    """They are as many as spglib's table has operations; orbits hold no point twice."""
    group = space_group(number)
    n_centrings = round(1 / float(torch.linalg.det(group.primitive_cell)))
    assert n_centrings * group.positions[0].multiplicity == n_operations()[number]
    for position in group.positions:
        orbit = position.orbit(POINT)
        difference = orbit.unsqueeze(1) - orbit
        distance = (difference - difference.round()).abs().amax(-1)
        assert (distance < 1e-6).sum() == position.multiplicity
        assert position.is_fixed == torch.equal(orbit, position.orbit(2 * POINT))
        assert group.positions[0].multiplicity % position.multiplicity == 0


def test_sites_of_diamond():
    """In Fd-3m two equal atoms of a primitive cell are a quarter of the diagonal apart."""
    group = space_group(227)
    fixed = {p.letter: p for p in group.positions if p.is_fixed}
    assert sorted((letter, p.multiplicity) for letter, p in fixed.items()) == [
        *(("a", 2), ("b", 2), ("c", 4), ("d", 4))
    ]
    F = fixed["a"].orbit(POINT)
    difference = (F[1] - F[0]) @ group.primitive_cell
    difference = difference - difference.round()
    torch.testing.assert_close(difference.abs(), torch.full((3,), 0.25).double())


@pytest.mark.parametrize("number", range(1, N_LAYER_GROUPS + 1))
def test_layer_groups_are_those_that_spglib_finds(number):
    """Atoms of a general and a special position of a slab have no symmetry but the group's own."""
    group = space_group(number, is_layer=True)
    shapes = {"oblique": [[1, 0, 0], [0.31, 1.2, 0]], "rectangular": [[1, 0, 0], [0, 1.2, 0]]}
    hexagonal = [[1, 0, 0], [-0.5, 0.75**0.5, 0]]
    plane = shapes.get(group.crystal_system, [[1, 0, 0], [0, 1, 0]])
    plane = hexagonal if group.crystal_system == "hexagonal plane" else plane
    conventional = torch.tensor([*plane, [0, 0, 4]]).double()
    points = torch.tensor([[0.213, 0.371, 0.059], [0.138, 0.084, -0.043]]).double()
    F = torch.cat([group.positions[0].orbit(point) for point in points])
    numbers = [z for z in (6, 7) for _ in range(group.positions[0].multiplicity)]
    cell = ((5 * group.primitive_cell @ conventional).tolist(), F.tolist(), numbers)
    with suppress_spglib_warnings():
        found = spglib.get_layergroup(cell, aperiodic_dir=2, symprec=1e-4)
    assert found.number == number


def test_operations_of_layers_keep_the_normal():
    for number in range(1, N_LAYER_GROUPS + 1):
        for position in space_group(number, is_layer=True).positions:
            assert position.translations[:, 2].abs().max() < 1e-9
            assert position.rotations[:, 2, :2].abs().max() < 1e-9
            assert position.rotations[:, :2, 2].abs().max() < 1e-9

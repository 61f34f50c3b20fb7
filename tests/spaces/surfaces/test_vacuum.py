"""Slabs that a border cuts, that stand on their side, or that lack what a surface needs."""

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, fcc111, graphene, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from bostruct.errors import InputError
from bostruct.spaces import Cluster, Surface
from bostruct.spaces.surfaces.vacuum import find_normal_axis, plane_vectors, unwrap_slab
from bostruct.structures import from_ase, to_ase
from bostruct.testing import seeded_generator


def copper(vacuum=8.0, size=(3, 3, 4), free=1):
    """Cu(100) with free layers on top."""
    slab = fcc100("Cu", size, vacuum=vacuum)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > free))
    slab.pbc = True
    return slab


def stacked(vacuum=8.0):
    """A primitive (111) cell whose third vector is inclined."""
    slab = fcc111("Cu", (3, 3, 3), vacuum=vacuum, periodic=True)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() > 1))
    return slab


def turned(slab, steps):
    """The slab with its axes permuted cyclically, a rotation; the normal lies along z + steps."""
    order = [(i - steps) % 3 for i in range(3)]
    made = slab.copy()
    made.set_constraint(slab.constraints)
    made.set_cell(slab.cell.array[order][:, order])
    made.positions = slab.positions[:, order]
    made.pbc = slab.pbc[order]
    return made


def cut(slab, fraction):
    """The slab moved along its third vector and wrapped, so that a border of the cell cuts it."""
    made = slab.copy()
    made.positions -= slab.positions.mean(0) - fraction * slab.cell[2]
    made.wrap(pbc=True)
    return made


def energies(space, n=3):
    X = space.sample(n, seeded_generator(0))
    found = []
    for atoms in to_ase(space.decode(X)):
        atoms.calc = EMT()
        found.append(atoms.get_potential_energy())
    return found


REFERENCE = {"copper": copper, "stacked": stacked}


@pytest.fixture(scope="module")
def reference_energies():
    return {name: energies(Surface(make(), "Au2")) for name, make in REFERENCE.items()}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("fraction", [-0.02, 0.0, 0.08, 0.5, 0.93])
def test_a_cut_slab_is_put_together(name, fraction):
    whole = REFERENCE[name]()
    space = Surface(cut(whole, fraction), "Au2")
    height = np.ptp(space.slab.positions.numpy()[:, 2])
    assert height == pytest.approx(np.ptp(whole.positions[:, 2]))
    # the lateral shift moves the sampled positions relative to the slab, so compare the slab
    slab = to_ase(space.slab)[0]
    slab.calc = EMT()
    whole.calc = EMT()
    assert slab.get_potential_energy() == pytest.approx(whole.get_potential_energy(), abs=1e-6)
    tops = space.decode(space.sample(3, seeded_generator(0))).positions.reshape(3, -1, 3)
    assert (tops[:, -2:, 2] > space.slab.positions[:, 2].max() - 1.0).all()


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("periodic", [True, False])
def test_a_vacuum_along_another_axis_is_a_rotation(name, steps, periodic, reference_energies):
    slab = turned(REFERENCE[name](), steps)
    axis = (2 + steps) % 3
    slab.pbc[axis] = periodic
    space = Surface(slab, "Au2")
    assert space.normal_axis == axis
    assert torch.equal(space.slab.cell[0], torch.from_numpy(slab.cell.array))
    if periodic or name == "copper":
        assert energies(space) == pytest.approx(reference_energies[name], abs=1e-6)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_left_handed_cells_look_to_the_same_side(steps):
    slab = fcc100("Cu", (2, 3, 3), vacuum=8.0)
    if steps == 2:
        slab.cell[2] = 0  # no lattice vector tells the side
    left = slab.copy()
    left.set_cell(slab.cell.array[[1, 0, 2]])
    if steps == 1:
        slab, left = turned(slab, 1), turned(left, 1)
    for made in (slab, left):
        space = Surface(made, "Au")
        normal = (2 + steps) % 3 if steps == 1 else 2
        atoms = space.decode(space.sample(4, seeded_generator(1))).positions.reshape(4, -1, 3)
        assert (atoms[:, -1, normal] > space.slab.positions[:, normal].mean()).all()


def test_a_slab_upside_down_is_a_rotation():
    slab = copper()
    down = slab.copy()
    down.set_constraint(slab.constraints)
    down.rotate(180, "x", rotate_cell=True)
    assert energies(Surface(down, "Au2")) == pytest.approx(energies(Surface(slab, "Au2")), abs=1e-6)


@pytest.mark.parametrize("fraction", [0.02, 0.6])
def test_structures_on_a_cut_slab_are_encoded(fraction):
    whole = Surface(copper(), "Au2")
    structures = whole.decode(whole.sample(2, seeded_generator(0)))
    shifted = structures.positions + fraction * structures.cell[0, 2]
    slab = copper()
    slab.positions += fraction * slab.cell[2]
    slab.wrap()
    space = Surface(slab, "Au2")
    images = to_ase(structures)
    for atoms, positions in zip(images, shifted.reshape(2, -1, 3), strict=True):
        atoms.positions = positions.numpy()
        atoms.wrap()
    X = space.encode(from_ase(images))
    assert space.contains(X).all()
    assert space.is_duplicate(X[0], space.encode(from_ase(images[0]))[0])
    decoded = to_ase(space.decode(X))
    for atoms, given in zip(decoded, images, strict=True):
        atoms.calc, given.calc = EMT(), EMT()
        expected = given.get_potential_energy()
        assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-6)


def follow(message, slab):
    """Do what the sentence says, to the letter."""
    code = re.search(r"(slab(?:\.\w+)? ?(?:\*=|=|\().*?)(?:; if .*)?\.$", message)
    assert code, message
    names = {"slab": slab}
    exec(code[1], names)
    return names["slab"]


def unperiodic(slab, axis=2, *, false=(2,)):
    slab.pbc = [k not in false for k in range(3)]
    return slab


def bulk_copper():
    return bulk("Cu", cubic=True).repeat((3, 3, 4))


def tight(slab):
    """The slab with a cell that ends on its topmost atom."""
    slab.center(vacuum=0, axis=2)
    return slab


NEEDS_HELP = {
    "bulk": (bulk_copper, "at least"),
    "primitive bulk": (lambda: bulk("Cu").repeat((4, 4, 4)), "at least"),
    "thin vacuum": (lambda: copper(vacuum=1.5), "at least"),
    "thin vacuum, cut": (lambda: cut(copper(vacuum=1.5), 0.02), "at least"),
    "thin vacuum, inclined, cut": (lambda: cut(stacked(vacuum=1.5), 0.0), "at least"),
    "no vacuum": (lambda: tight(unperiodic(copper())), "at least"),
    "cut, not periodic": (lambda: unperiodic(cut(copper(), 0.02)), "in one piece"),
    "cut, not periodic, inclined": (lambda: unperiodic(cut(stacked(), 0.0)), "in one piece"),
    "no periodicity": (lambda: unperiodic(copper(), false=(0, 1, 2)), "two lattice vectors"),
    "no periodicity, vacuum along x": (
        lambda: unperiodic(turned(copper(), 1), false=(0, 1, 2)),
        "two lattice vectors",
    ),
    "periodic along the normal alone": (
        lambda: unperiodic(turned(copper(), 1), false=(1, 2)),
        "two lattice vectors",
    ),
    "vacuum along x, said to be along z": (
        lambda: unperiodic(turned(copper(), 1), false=(2,)),
        "at least",
    ),
    "vacuum along y, said to be along z": (
        lambda: unperiodic(turned(copper(), 2), false=(2,)),
        "at least",
    ),
}


@pytest.mark.parametrize("case", NEEDS_HELP)
def test_a_hint_followed_to_the_letter_leads_to_the_right_surface(case):
    make, match = NEEDS_HELP[case]
    slab, space = make(), None
    bonds = np.sort(bulk_copper().get_distances(0, range(1, 100), mic=True))[:4]
    n_neighbors = sorted((from_neighbors(slab, bonds[0])).tolist())
    with pytest.raises(InputError, match=match) as refused:
        Surface(slab, "Au2")
    for _ in range(2):  # a hint may lead to one more, no further
        slab = follow(str(refused.value), slab)
        try:
            space = Surface(slab, "Au2")
            break
        except InputError as error:
            refused = type("Refused", (), {"value": error})
    assert space is not None, refused.value
    k = space.normal_axis
    normal = np.cross(*space.slab.cell[0, list(plane_vectors(k))].numpy())
    heights = np.sort(space.slab.positions.numpy() @ normal / np.linalg.norm(normal))
    assert np.diff(heights).max() < 2.2, "torn apart"
    if "bulk" not in case:
        atoms = to_ase(space.slab)[0]
        if "thin" not in case and case != "no vacuum":
            assert sorted(from_neighbors(atoms, bonds[0]).tolist()) == n_neighbors
        n_layers = np.count_nonzero(np.diff(heights) > 0.5) + 1
        assert n_layers == (3 if "inclined" in case else 4)


def from_neighbors(atoms, bond):
    """Number of neighbors of each atom, periodic along all vectors as physics has it."""
    from ase.neighborlist import neighbor_list

    whole = atoms.copy()
    whole.pbc = True
    return np.bincount(neighbor_list("i", whole, 1.1 * bond), minlength=len(atoms))


def test_fixed_atoms_belong_below_the_free_ones():
    slab = copper()
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == 1))  # the wrong side
    match = "free atoms on the side of the vacuum, above the fixed ones, got a fixed atom 27"
    with pytest.raises(InputError, match=match) as refused:
        Surface(slab, "Au2")
    fixed = slab.get_tags() == 1
    for pbc in (True, (True, True, False)):
        made = slab.copy()
        made.pbc = pbc
        space = Surface(follow(str(refused.value), made), "Au2")
        heights = space.slab.positions[:, 2]
        assert heights[fixed].max() < heights[~fixed].min()
        atoms = to_ase(space.slab)[0]
        atoms.pbc = slab.pbc = True
        atoms.calc, slab.calc = EMT(), EMT()
        assert atoms.get_potential_energy() == pytest.approx(slab.get_potential_energy(), abs=1e-6)
    other = copper()
    other.set_constraint(FixAtoms(mask=other.get_tags() == 4))
    Surface(other, "Au2")
    other.set_constraint(FixAtoms(mask=(other.get_tags() == 2) | (other.get_tags() == 3)))
    Surface(other, "Au2")  # both sides free


@pytest.mark.parametrize("periodic", [True, False])
def test_atoms_above_a_slab_are_no_part_of_it(periodic):
    slab = copper()
    slab.pbc = [True, True, periodic]
    slab.center(vacuum=14.0, axis=2)
    hovering = slab.copy()
    hovering.append("Au")
    hovering.positions[-1] = slab.positions.max(0) + np.array([0, 0, 9.0])
    match = r"in one piece, got a gap of 9.00 Å between its atoms 3\d and 36.*max_gap_factor=3.\d\."
    with pytest.raises(InputError, match=match) as refused:
        Surface(hovering, "Au2")
    factor = float(re.search(r"max_gap_factor=([\d.]+\d)", str(refused.value))[1])
    assert Surface(hovering, "Au2", max_gap_factor=factor).slab.counts.tolist() == [37]
    del hovering[36]
    Surface(hovering, "Au2")


def test_layers_that_dispersion_holds_are_one_slab():
    sheet = graphene(size=(3, 3, 1), vacuum=9.0)
    second = sheet.copy()
    second.positions[:, 2] += 3.4
    Surface(sheet + second, "Au2", min_distance_factor=0.6)
    carrying = copper()
    add_adsorbate(carrying, Atoms("N2", [[0, 0, 0], [1.1, 0, 0]]), 3.3, "hollow")
    Surface(carrying, "Au2")


def test_two_directions_of_vacuum_have_to_be_told_apart():
    ribbon = copper()
    ribbon.cell[0, 0] += 9.0
    with pytest.raises(InputError, match="one direction, got gaps along the lattice vectors 0 and"):
        Surface(ribbon, "Au2")
    for axis in (0, 2):
        ribbon.pbc = [k != axis for k in range(3)]
        ribbon.set_constraint()
        assert Surface(ribbon, "Au2").normal_axis == axis


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (molecule("H2O"), r"`slab` must have a cell, got \[0.0, 0.0, 0.0\]. Set slab.cell"),
        (Atoms("H", cell=[5, 5, 0]), r"two lattice vectors.*Set slab.pbc = \(True, True, False\)"),
        (Atoms("H", cell=[5, 5, 5]), r"got pbc \[False, False, False\]. Set slab.pbc = True\."),
        (Atoms("H", cell=[5, 5, 5], pbc=(0, 0, 1)), "two lattice vectors, those of its plane"),
    ],
)
def test_a_slab_is_periodic_along_two_lattice_vectors(given, match):
    with pytest.raises(InputError, match=match):
        find_normal_axis(from_ase(given), 0.62)


def test_the_largest_gap_is_the_vacuum():
    for axis in range(3):
        slab = from_ase(turned(copper(), (axis - 2) % 3))
        assert find_normal_axis(slab, 2.64) == axis
        assert unwrap_slab(slab, axis) is slab
    assert find_normal_axis(from_ase(bulk_copper()), 2.64) == 2


def test_a_region_that_is_too_high_says_how_much_vacuum_it_takes():
    for periodic in (True, False):
        slab = copper()
        slab.pbc = [True, True, periodic]
        with pytest.raises(InputError, match="`region` must end at") as refused:
            Surface(slab, "Au2", region=(0.0, 40.0))
        space = Surface(follow(str(refused.value), slab), "Au2", region=(0.0, 40.0))
        assert space.region[1] == 40.0


def test_a_small_cell_is_repeated_as_often_as_it_takes():
    slab = turned(fcc100("Cu", (1, 1, 3), vacuum=8.0), 1)
    with pytest.raises(
        InputError, match=r"Repeat it: slab = slab.repeat\(\(1, 4, 4\)\)"
    ) as refused:
        Surface(slab, "Au", min_distance=8.0)
    assert follow(str(refused.value), slab).cell.lengths()[1] == pytest.approx(4 * 2.5527, abs=0.01)


def test_atoms_that_touch_are_neighbors():
    match = "With max_gap_factor=0.4 atoms that touch are apart: try 1.5"
    with pytest.raises(InputError, match=match):
        Surface(copper(), "Au2", max_gap_factor=0.4)
    with pytest.raises(InputError, match=match):
        Cluster("Cu5", max_gap_factor=0.4)
    Surface(copper(), "Au2", max_gap_factor=1.5)
    Cluster("Cu5", max_gap_factor=1.5)

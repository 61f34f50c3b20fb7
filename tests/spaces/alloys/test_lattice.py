import itertools

import pytest
import torch
from ase.build import bulk, fcc111
from ase.cluster import Icosahedron
from ase.constraints import FixAtoms
from pymatgen.core import Lattice as Cell
from pymatgen.core import Structure

from bostruct.errors import InputError, ShapeError, SpaceError
from bostruct.spaces import Lattice
from bostruct.spaces.pools.duplicates import is_duplicate_pair
from bostruct.structures import from_ase, is_same_structure, to_ase
from bostruct.testing import DiscreteContract, seeded_generator

SALT = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
FCC8 = bulk("Cu", cubic=True) * (2, 1, 1)
SPACES = {
    "binary": (FCC8, {"Cu": ["Cu", "Au"]}, {}),
    "onehot": (FCC8, {"Cu": ["Cu", "Pd", "Au"]}, {"encoding": "onehot"}),
    "fixed": (FCC8, {"Cu": ["Cu", "Au"]}, {"counts": {"Cu": {"Cu": 5, "Au": 3}}}),
    "vacant": (
        SALT,
        {"Na": ["Na", "K", "X"], "Cl": ["Cl", "Br"]},
        {"counts": {"Na": {"Na": 2, "K": 1, "X": 1}}, "encoding": "onehot"},
    ),
    "some": (SALT, {"Na": ["Na", "X"]}, {"price": {"Na": 3.0, "Cl": 0.2}}),
    "slab": (fcc111("Cu", (2, 2, 2), vacuum=5), {"Cu": ["Cu", "Au"]}, {}),
    "cluster": (Icosahedron("Cu", 2), {"Cu": ["Cu", "Au"]}, {}),
    "large": (
        bulk("Cu", cubic=True) * (2, 2, 2),
        {"Cu": ["Ni", "Cu", "Pd", "Ag", "Au"]},
        {},
    ),
}


@pytest.fixture(scope="module", params=SPACES)
def lattice(request):
    parent, species, options = SPACES[request.param]
    return Lattice(parent, species, **options)


class TestLattice(DiscreteContract):
    @pytest.fixture
    def space(self, lattice):
        return lattice


def orbits(parent, kinds, rotations):
    """Return the classes of binary decorations under maps of positions: brute force.

    Decorations are grouped by what they are mapped to, one map at a time.
    """
    F = parent.get_scaled_positions()
    maps = set()
    for turn, shift in rotations:
        images = F @ turn.T + shift
        gap = images[:, None] - F[None]
        distance = abs(gap - gap.round()).max(-1)
        if (distance.min(-1) < 1e-6).all():
            maps.add(tuple(distance.argmin(-1).tolist()))
    words = set(itertools.product(range(kinds), repeat=len(F)))
    count = 0
    while words:
        count += 1
        word = words.pop()
        words -= {tuple(word[i] for i in images) for images in maps}
    return count


def test_counts_what_brute_force_finds():
    """Signed permutations of the axes and all shifts between sites, as they fit."""
    import numpy as np

    cube = bulk("Cu", cubic=True)
    parent = cube * (2, 1, 1)
    F = parent.get_scaled_positions()
    stretch = np.diag([2.0, 1.0, 1.0])
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            turn = np.linalg.inv(stretch) @ turn @ stretch
            if abs(turn - turn.round()).max() < 1e-9:
                rotations += [(turn, F[i] - F[0]) for i in range(8)]
    space = Lattice(parent, {"Cu": ["Cu", "Au"]})
    assert space.n_decorations == space.size == orbits(parent, 2, rotations)


def test_four_equal_sites_hold_multisets():
    """All permutations of the 4 sites of a cube are symmetries: C(k + 3, 4)."""
    cube = bulk("Cu", cubic=True)
    assert Lattice(cube, {"Cu": ["Cu", "Au"]}).n_decorations == 5
    assert Lattice(cube, {"Cu": ["Cu", "Pd", "Au"]}).n_decorations == 15
    many = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au", "Al", "Co", "Rh", "Ir", "Fe", "Ti"]
    assert Lattice(cube, {"Cu": many}).n_decorations == 1365


def test_the_isomers_of_a_cluster():
    """Polya: 96 ways to colour the 12 vertices of an icosahedron, and its center."""
    space = Lattice(Icosahedron("Cu", 2), {"Cu": ["Cu", "Au"]})
    assert len(space.enumerator.permutations) == 120
    assert space.n_decorations == 2 * 82
    assert space.size == 2 * 82


def test_equivalent_decorations_are_one():
    """Every symmetry of the parent leads to one name, and to the same structure."""
    space = Lattice(FCC8, {"Cu": ["Cu", "Pd", "Au"]})
    x = space.sample(1, seeded_generator(2))[0].long()
    images = x[space.enumerator.permutations].double()
    assert len(images.unique(dim=0)) > 4
    assert len(space.canonical(images).unique(dim=0)) == 1
    assert space.is_duplicate(images, images[0]).all()
    decoded = space.decode(images)
    assert is_same_structure(decoded, space.decode(images[:1].expand(len(images), -1))).all()


def test_different_decorations_are_different_structures():
    """By StructureMatcher; CuPt and D4 have the same distances around each atom."""
    cell = bulk("Cu") * (2, 2, 2)  # with all the symmetry of the crystal
    space = Lattice(cell, {"Cu": ["Cu", "Au"]}, counts={"Cu": {"Cu": 4, "Au": 4}})
    every = space.decode(torch.cat(list(space.iter_members())))
    for i, j in itertools.combinations(range(space.size), 2):
        assert not is_duplicate_pair(every[i], every[j])


def test_nothing_is_proposed_twice():
    """A search that keeps names meets each decoration once, and all of them."""
    space = Lattice(FCC8, {"Cu": ["Cu", "Au"]})
    waiting, seen = [space.members(0, 1)[0]], set()
    while waiting:
        x = waiting.pop()
        if tuple(x.tolist()) not in seen:
            seen.add(tuple(x.tolist()))
            waiting += list(space.neighbors(x))
    assert len(seen) == space.size


def test_too_many_to_list_are_counted():
    space = Lattice(bulk("Cu", cubic=True) * (2, 2, 2), {"Cu": ["Cu", "Pd", "Au"]})
    assert space.size is None
    assert 3**32 // 1536 < space.n_decorations < 3**32 // 1000
    with pytest.raises(SpaceError, match="`space` must be a space that can be listed"):
        space.members(0, 1)


def test_moves_keep_counts_and_find_the_rest():
    space = Lattice(FCC8, {"Cu": ["Cu", "Au"]}, counts={"Cu": {"Cu": 5, "Au": 3}})
    assert list(space.moves()) == ["block", "swap"]
    free = Lattice(FCC8, {"Cu": ["Cu", "Au"]})
    assert list(free.moves()) == ["block", "flip", "swap"]
    X = space.sample(64, seeded_generator(0))
    assert (space.moves()["swap"](X, seeded_generator(1)).sum(-1) == 3).all()


def test_encodes_what_is_turned_strained_and_shaken():
    space = Lattice(SALT, {"Na": ["Na", "K", "X"], "Cl": ["Cl", "Br"]})
    X = space.sample(8, seeded_generator(0))
    for x, atoms in zip(X, to_ase(space.decode(X)), strict=True):
        atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
        atoms.rattle(0.05, seed=1)
        assert torch.equal(space.encode(from_ase(atoms[::-1]))[0], x)


def test_a_parent_of_pymatgen_and_with_merged_sites():
    """In an ordered parent whose sites all have the same options, all are alike."""
    ordered = Structure(
        Cell.cubic(3.7),
        ["Au", "Cu", "Cu", "Cu"],
        [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
    )
    options = {"Au": ["Cu", "Au"], "Cu": ["Au", "Cu"]}
    assert Lattice(ordered, options).n_decorations == 5
    assert Lattice(ordered, {"Cu": ["Au", "Cu"]}).n_decorations == 4
    assert Lattice(ordered, {"Cu": ["Au", "Cu"], "Au": ["Ag"]}).n_decorations == 4
    assert "Ag" in Lattice(ordered, {"Cu": ["Au", "Cu"], "Au": ["Ag"]}).active_sites.elements


def test_known_leaves_vacancies_out():
    space = Lattice(
        SALT,
        {"Na": ["Na", "X"]},
        counts={"Na": {"Na": 2, "X": 2}},
        volumes={"Na": 37.0, "Cl": 20.0},
    )
    known = space.exact_properties(space.sample(1, seeded_generator(0)))
    assert float(known["x_Na"]) == pytest.approx(1 / 3)
    mass = 1.66053906660 * (22.98976928 + 2 * 35.45)
    assert float(known["density"]) == pytest.approx(mass / (37 + 40), rel=1e-5)


@pytest.mark.parametrize(
    ("species", "options", "match"),
    [
        (
            {"Cu": ["Cu", "Au"]},
            {"encoding": "words"},
            "`encoding` must be one of integer, one",
        ),
        (["Cu"], {}, r"mapping from elements of the parent .*Try \{'Cu': \['Cu', 'Au'\]\}"),
        ({"Au": ["Cu"]}, {}, r"`species` must name elements of the parent \(Cu\)"),
        ({"Cu": "Cu"}, {}, r"`species\['Cu'\]` must be a sequence of different elements"),
        ({"Cu": ["Cu", "Xx"]}, {}, "got 'Xx'"),
        ({"Cu": ["Cu", "Cu"]}, {}, r"got \['Cu', 'Cu'\]"),
        ({"Cu": ["Cu"]}, {}, "`species` must leave a choice"),
        ({"Cu": ["Cu", "X"]}, {}, "`species` must leave at least one atom"),
        ({"Cu": ["Cu", "Au"]}, {"counts": {"Au": {}}}, "`counts` must be given for"),
        (
            {"Cu": ["Cu", "Au"]},
            {"counts": {"Cu": {"Pd": 1}}},
            r"`counts\['Cu'\]` must name options of the site \(Cu, Au\)",
        ),
        (
            {"Cu": ["Cu", "Au"]},
            {"counts": {"Cu": {"Cu": 3}}},
            r"`counts\['Cu'\]` must be whole numbers that sum to the 8 sites",
        ),
    ],
)
def test_refusals(species, options, match):
    with pytest.raises(InputError, match=match):
        Lattice(FCC8, species, **options)


def test_refuses_strangers():
    space = Lattice(FCC8, {"Cu": ["Cu", "Au"]}, counts={"Cu": {"Cu": 5, "Au": 3}})
    two = FCC8[[0, 0, 1, 2, 3, 4, 5, 6]]
    gold = FCC8.copy()
    gold.symbols[0] = "Ag"
    free = FCC8.copy()
    free.pbc = False
    for atoms in (FCC8, two, gold, free):
        with pytest.raises(InputError, match="`structures` must be decorations of"):
            space.encode(from_ase(atoms))
    with pytest.raises(ShapeError, match="`X` must have shape"):
        space.decode(torch.zeros(1, 3))
    with pytest.raises(InputError, match="`tolerance_scale` must be positive"):
        space.is_duplicate(torch.zeros(8), torch.zeros(8), tolerance_scale=0.0)


def test_tags_and_fixed_atoms_of_the_parent_are_those_of_its_decorations():
    slab = fcc111("Cu", (1, 2, 2), vacuum=5)
    slab.symbols[3] = "Ni"
    plain = Lattice(slab, {"Cu": ["Cu", "Au", "X"]})
    slab.set_constraint(FixAtoms([0, 1]))
    space = Lattice(slab, {"Cu": ["Cu", "Au", "X"]})
    found = space.decode(torch.tensor([[0.0, 1.0, 0.0], [2.0, 1.0, 0.0]]))
    assert found.tags.tolist() == [2, 2, 1, 1, 2, 1, 1]
    assert found.fixed.tolist() == [True, True, False, False, True, False, False]
    assert plain.description()["tags"] == space.description()["tags"] == [2, 2, 1, 1]
    assert "fixed" not in plain.description()
    assert space.description()["fixed"] == [True, True, False, False]
    assert not {"tags", "fixed"} & set(Lattice(FCC8, {"Cu": ["Cu", "Au"]}).description())

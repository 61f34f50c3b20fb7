import math
from dataclasses import replace

import numpy as np
import pytest
import spglib
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from bostruct.errors import InputError, SpaceError
from bostruct.spaces import Crystal
from bostruct.spaces.crystals.crystal_summary import summarize_crystal
from bostruct.structures import from_ase, to_ase
from bostruct.structures.convert import suppress_spglib_warnings
from bostruct.structures.problem_scale import ProblemScale
from bostruct.testing import SpaceContract, seeded_generator
from bostruct.testing.central_differences import assert_gradient

OBLIQUE = [[4.2, 0.3, 0.1], [1.1, 4.0, -0.2], [0.4, 0.8, 5.1]]
LAYER = (True, True, False)

CRYSTALS = {
    "Ti2O4": {},
    "Si8": {},
    "SrTiO3": {},
    "Cu2Pt2": {"volume": 13.2, "pressure": 0.1},
    "Ar4": {"atomic_radii": {"Ar": 1.4}},
    "Na4Cl4": {"min_distance": {"Cl-Na": 2.2, "Na-Na": 3.0, "Cl-Cl": 3.0}},
    "Mg4": {"symmetry": [194, 225]},
    "C4H4": {"volume_range": (0.8, 1.5), "angles": (50, 130)},
    "TiO2Ti2": {"cell": OBLIQUE},
    "Si4": {"cell": OBLIQUE, "variable": "volume"},
    "C4": {"periodic": LAYER},
    "C6": {"periodic": LAYER, "cell": [4.26, 4.26, 0, 90, 90, 60], "thickness": 2.0},
    "Au2Cu3": {"periodic": LAYER, "cell": [[1, 5, 0], [-5, 2, 0], [0, 0, 9]], "vacuum": 14.0},
    "MoS2": {"periodic": LAYER, "thickness": 3.4, "vacuum": 12.0, "volume_range": (0.7, 1.6)},
}


@pytest.fixture(params=CRYSTALS)
def crystal(request):
    return Crystal(request.param, **CRYSTALS[request.param])


class TestCrystal(SpaceContract):
    @pytest.fixture
    def space(self, crystal):
        return crystal


def rutile(a=4.49, c=3.01, x=0.305):
    positions = [(0, 0, 0), (0.5, 0.5, 0.5)]
    positions += [(x, x, 0), (-x, -x, 0), (0.5 + x, 0.5 - x, 0.5), (0.5 - x, 0.5 + x, 0.5)]
    return Atoms("Ti2O4", scaled_positions=positions, cell=[a, a, c], pbc=True)


def rotated(atoms, seed):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    Q *= np.sign(np.linalg.det(Q))
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ Q)
    copy.positions = atoms.positions @ Q
    return copy


def equivalents(atoms):
    """Yield the same crystal rotated, sheared, shifted, left-handed and in another order."""
    yield rotated(atoms, 1)
    sheared = atoms.copy()
    sheared.set_cell(np.array([[1, 0, 0], [3, 1, 0], [-2, 1, 1]]) @ atoms.cell)
    yield sheared
    shifted = atoms.copy()
    shifted.translate([0.7, -12.3, 5])
    yield shifted
    left = atoms.copy()
    left.set_cell(atoms.cell[[1, 0, 2]])
    yield left
    yield atoms[::-1]
    wrapped = shifted.copy()
    wrapped.wrap()
    yield wrapped


@pytest.mark.parametrize("atoms", [rutile(), bulk("Si", cubic=True)], ids=str)
def test_encodes_every_cell_of_a_crystal(atoms):
    space = Crystal(str(atoms.symbols), volume=atoms.get_volume() / len(atoms))
    reference = space.encode(from_ase([atoms]))
    matcher = StructureMatcher(scale=False)
    for other in equivalents(atoms):
        x = space.encode(from_ase([other]))
        assert space.contains(x).all()
        assert space.is_duplicate(x, reference, tolerance_scale=1e-6).all()
        decoded = to_ase(space.decode(x))[0]
        assert decoded.get_volume() == pytest.approx(atoms.get_volume())
        pair = [AseAtomsAdaptor.get_structure(s) for s in (other, decoded)]
        assert matcher.fit(*pair)


def test_keeps_the_hand_of_a_crystal():
    """A decoded structure is the given one rotated, never its mirror image."""
    corners = np.array([(0, 0, 0), (2.2, 0, 0), (0.2, 2.4, 0), (0.1, 0.3, 2.6)])
    atoms = Atoms("Si4", corners, cell=[[7, 0, 0], [0.3, 8, 0], [0.6, -0.9, 9]], pbc=True)
    left = atoms.copy()
    left.set_cell(atoms.cell[[1, 0, 2]])
    space = Crystal("Si4", volume=120, volume_range=(0.5, 2))
    for other in (atoms, left, rotated(atoms, 1)):
        decoded = to_ase(space.decode(space.encode(from_ase([other]))))[0]
        triples = [
            np.linalg.det(a.get_distances(0, [1, 2, 3], mic=True, vector=True))
            for a in (atoms, decoded)
        ]
        assert triples[1] == pytest.approx(triples[0])


def test_encodes_other_numbers_of_formula_units():
    space = Crystal("Si8", volume=20)
    conventional = space.encode(from_ase([bulk("Si", cubic=True)]))
    primitive = bulk("Si")
    large = make_supercell(primitive, [[2, 0, 0], [0, 2, 0], [0, 0, 4]])
    for atoms in (primitive, rotated(primitive, 3), large):
        x = space.encode(from_ase([atoms]))
        assert space.contains(x).all()
        assert space.is_duplicate(x, conventional, tolerance_scale=1e-3).all()


def test_refuses_to_encode_others():
    space = Crystal("Ti2O4")
    with pytest.raises(InputError, match="must all be Ti2O4, got O2Ti2"):
        space.encode(from_ase([Atoms("Ti2O2", rutile().positions[:4], cell=[5] * 3, pbc=True)]))
    with pytest.raises(InputError, match="periodic along three lattice vectors"):
        space.encode(from_ase([Atoms("Ti2O4", rutile().positions)]))
    disordered = make_supercell(rutile(), np.diag([1, 1, 2]))
    disordered.rattle(0.2, seed=0)
    with pytest.raises(InputError, match=r"whose primitive cell is O8Ti4\. Search a multiple"):
        space.encode(from_ase([disordered]))


def test_cell_and_positions_are_differentiable():
    """Central differences of both, at a cubic cell too, where the strain is degenerate."""
    space = Crystal("Ti2O4")
    X = space.sample(2, seeded_generator(0))
    X[1, -6:] = 0
    weights = torch.randn(2, 3, 3, generator=seeded_generator(1), dtype=X.dtype)
    others = torch.randn(12, 3, generator=seeded_generator(2), dtype=X.dtype)

    def energy(X):
        decoded = space.decode(X)
        return (weights * decoded.cell).sin().sum() + (others * decoded.positions).cos().sum()

    assert_gradient(energy, X)


@pytest.mark.parametrize("formula", ["He4", "Ne4", "Ar4", "Kr4", "Xe4", "Ne2Ar2"])
def test_atoms_of_noble_gases_touch(formula):
    """As in the close packing of their volume, and whatever the volume."""
    space = Crystal(formula)
    r = space.atomic_radii
    assert float((4 * math.sqrt(2) * r**3).mean()) == pytest.approx(space.volume)
    dense = Crystal(formula, volume=0.7 * space.volume)
    assert torch.allclose(dense.atomic_radii, r * 0.7 ** (1 / 3))
    structures = space.decode(space.sample(4, seeded_generator(0)))
    energies = torch.tensor([0.0, 1e-3, 2e-3, 5e-3], dtype=torch.float64)
    known = ProblemScale.from_structures(replace(structures, energy=energies), r.repeat(4))
    assert known.energy < 0.1


def test_formula_units_multiply_the_formula():
    space = Crystal("TiO2", formula_units=2)
    assert space.formula == "(TiO2)2"
    assert space.description() == Crystal("(TiO2)2").description()
    for wrong in ([2, 4], 0, 1.5):
        with pytest.raises(InputError, match="searches cells of several sizes"):
            Crystal("TiO2", formula_units=wrong)


def test_leans_on_minimum_distances():
    x = Crystal("Si8").encode(from_ase([bulk("Si", cubic=True)]))[0]
    assert not Crystal("Si8").active_bounds(x)
    (bound,) = Crystal("Si8", min_distance=2.34).active_bounds(x)
    assert (bound.pair, bound.limit) == ("Si-Si", 2.34)


def test_contains_all_images():
    """Minimum distances hold in cells smaller than they are, and between an atom and its image."""
    atoms = bulk("Cu")
    space = Crystal("Cu", volume=11.8, min_distance=2.3)
    x = space.encode(from_ase([atoms]))
    assert space.contains(x).all()
    small = atoms.copy()
    small.set_cell(atoms.cell * 0.89, scale_atoms=True)
    assert not space.contains(space.encode(from_ase([small]))).any()


def test_samples_have_the_expected_volume():
    space = Crystal("Ti2O4", volume=10.5)
    volumes = torch.linalg.det(space.decode(space.sample(64, seeded_generator(0))).cell) / 6
    assert volumes.min() > 0.75 * 10.5
    assert volumes.max() < 1.35 * 10.5
    assert volumes.std() > 0.5


def space_groups(X, space, symprec):
    numbers = []
    for atoms in to_ase(space.decode(X)):
        cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
        with suppress_spglib_warnings():
            numbers.append(spglib.get_symmetry_dataset(cell, symprec=symprec).number)
    return np.array(numbers)


def test_symmetric_crystals_have_a_space_group():
    space = Crystal("Ti2O4")
    X, Y = (sampler(24, seeded_generator(0)) for sampler in space.generators().values())
    assert (space_groups(X, space, 0.1) == 1).mean() > 0.9
    found = space_groups(Y, space, 0.15)
    assert (found > 1).mean() > 0.9
    assert len(set(found.tolist())) > 8


def test_given_space_groups_are_those_of_samples():
    space = Crystal("Ti2O4", symmetry=136)
    assert list(space.generators()) == ["random"]
    found = space_groups(space.sample(12, seeded_generator(0)), space, 0.15)
    assert np.isin(found, (136, 139)).mean() > 0.7  # 139 is a supergroup of 136
    assert (found == 136).any()


def test_symmetric_crystals_of_a_given_cell_have_operations_of_its_lattice():
    space = Crystal("Si8", cell=[5.43, 5.43, 5.43])
    X = space.generators()["symmetric"](20, seeded_generator(0))
    random = space.sample(20, seeded_generator(0))
    groups, others = (
        [summarize_crystal(s).space_group_number for s in space.decode(x)] for x in (X, random)
    )
    assert sum(g > 2 for g in groups) > 10 > sum(g > 2 for g in others)


def test_a_volume_that_was_not_given_may_be_far_off():
    assert Crystal("Ar4").cell_bounds.volume_factors == (0.5, 2.0)
    assert Crystal("Ar4", volume=14.0).cell_bounds.volume_factors == (2 / 3, 3 / 2)
    assert Crystal("Ar4", volume_range=(0.9, 1.1)).cell_bounds.volume_factors == (0.9, 1.1)


def test_projecting_bounds_the_cell():
    space = Crystal("Ti2O4", volume=10.5, volume_range=(0.8, 1.2))
    x = space.encode(from_ase([rutile()]))
    X = x.repeat(2, 1)
    X[0, -6:-3] += 10
    X[1, -6] += 30
    volumes = torch.linalg.det(space.decode(space.project(X)).cell) / 6
    assert volumes[0] == pytest.approx(1.2 * 10.5)
    assert volumes[1] == pytest.approx(1.2 * 10.5)
    assert space.decode(space.project(X)).cell.abs().max() < 1e3


def test_like_ions_start_apart():
    space = Crystal("Ti2O4")
    is_oxygen = space.numbers == 8
    oxygen = space.contact_distances[is_oxygen][:, is_oxygen]
    assert 2.0 < float(oxygen[0, 1]) < 2.6
    assert float(Crystal("Si8").contact_distances[0, 0]) == pytest.approx(2 * 1.11)


PROTOTYPES = {
    "fcc": Atoms("Ar4", bulk("Ar", "fcc", a=3.9, cubic=True).positions, cell=[3.9] * 3, pbc=True),
    "hcp": bulk("Ar", "hcp", a=2.7577, c=4.5033).repeat((1, 1, 2)),
    "bcc": bulk("Ar", "bcc", a=3.0954, cubic=True).repeat((1, 1, 2)),
}


def same(space, atoms, tolerance_scale=1.0):
    X = torch.cat([space.encode(from_ase([a])) for a in atoms])
    return space.is_duplicate(X.unsqueeze(1), X, tolerance_scale).tolist()


def assert_as_structure_matcher(space, atoms):
    matcher = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=2)
    structures = [AseAtomsAdaptor.get_structure(a) for a in atoms]
    expected = [[matcher.fit(a, b) for b in structures] for a in structures]
    assert same(space, atoms) == expected


def test_close_packings_are_different():
    space = Crystal("Ar4", volume=14.8, atomic_radii={"Ar": 1.38})
    others = [rotated(a, k) for k, a in enumerate(PROTOTYPES.values())]
    primitive = bulk("Ar", "fcc", a=3.9)
    sheared = make_supercell(primitive, [[1, 0, 0], [0, 2, 0], [0, 0, 2]])
    assert_as_structure_matcher(space, [*PROTOTYPES.values(), *others, sheared])


def test_polytypes_are_different():
    a = 4.36
    zincblende = bulk("SiC", "zincblende", a=a, cubic=True)
    wurtzite = bulk("SiC", "wurtzite", a=a / math.sqrt(2), c=a * math.sqrt(4 / 3))
    rocksalt = bulk("SiC", "rocksalt", a=a, cubic=True)
    space = Crystal("Si4C4", volume=a**3 / 8)
    wurtzites = [wurtzite.repeat((2, 1, 1)), wurtzite.repeat((1, 1, 2))]
    atoms = [zincblende, *wurtzites, rocksalt, rotated(zincblende, 5)]
    assert_as_structure_matcher(space, atoms)


def test_orderings_are_different():
    cubic = bulk("Cu", "fcc", a=3.76, cubic=True)
    layered, chequered = cubic.copy(), bulk("Cu", "bcc", a=2.98, cubic=True).repeat((2, 1, 1))
    layered.symbols = ["Cu" if z < 1 else "Pt" for z in cubic.positions[:, 2]]
    chequered.symbols = ["Cu", "Pt", "Cu", "Pt"]
    turned = cubic.copy()
    turned.symbols = ["Cu" if x < 1 else "Pt" for x in cubic.positions[:, 0]]
    space = Crystal("Cu2Pt2", volume=13.2)
    assert_as_structure_matcher(space, [layered, chequered, turned])


def test_polymorphs_are_different():
    a, c, z = 3.785, 9.514, 0.208
    anatase = Atoms(
        "TiO2TiO2",
        scaled_positions=[(0, 0, height) for height in (0, z, -z)]
        + [(0, 0.5, 0.25 + height) for height in (0, z, -z)],
        cell=[[a, 0, 0], [0, a, 0], [a / 2, a / 2, c / 2]],
        pbc=True,
    )
    space = Crystal("Ti2O4")
    assert_as_structure_matcher(
        space, [rutile(), anatase, rotated(anatase, 1), rotated(rutile(), 2)]
    )


def test_duplicates_are_recognized_at_any_stage_of_a_relaxation():
    """Crystals displaced a little are duplicates; the tolerance decides how much."""
    space = Crystal("Ti2O4")
    x = space.encode(from_ase([rutile()]))
    X = x + 0.005 * torch.randn(32, x.shape[1], generator=seeded_generator(0), dtype=x.dtype)
    assert space.is_duplicate(X, x).all()
    assert not space.is_duplicate(X, x, tolerance_scale=0.01).any()


def test_moves_change_what_they_are_named_after():
    space = Crystal("Ti2O4")
    X = space.sample(32, seeded_generator(0))
    moves = space.moves()
    names = ["permute", "rattle", "shift", "softmutate", "splice", "strain", "symmetrize"]
    assert list(moves) == names
    volume = torch.linalg.det(space.decode(X).cell)
    for name in ("permute", "rattle", "shift"):
        moved = torch.linalg.det(space.decode(moves[name](X, seeded_generator(1))).cell)
        torch.testing.assert_close(moved, volume)
    strained = torch.linalg.det(space.decode(moves["strain"](X, seeded_generator(1))).cell)
    assert not torch.isclose(strained, volume).all()
    changed = ~space.is_duplicate(X, moves["strain"](X, seeded_generator(1)))
    assert changed.float().mean() > 0.8
    symmetric = moves["symmetrize"](X, seeded_generator(1))
    assert (space_groups(symmetric, space, 0.15) > 1).mean() > 0.7


def test_wrong_arguments_are_refused():
    with pytest.raises(SpaceError, match=r"`volume` must be large enough .* give more"):
        Crystal("Ti2O4", volume=1.0)
    with pytest.raises(SpaceError, match=r"`volume` must be large enough for Si8"):
        Crystal("Si8", volume=5.8, volume_range=(0.99, 1.01), min_distance=2.0)
    with pytest.raises(InputError, match="`volume` must be positive"):
        Crystal("Si8", volume=-1)
    with pytest.raises(InputError, match="`volume_range` must hold 1"):
        Crystal("Si8", volume_range=(1.2, 1.5))
    with pytest.raises(InputError, match="`volume_range` must be a pair"):
        Crystal("Si8", volume_range=3)
    with pytest.raises(InputError, match=r"eV/Å³, which are 800 GPa, got 10\. If GPa are meant"):
        Crystal("Si8", pressure=10)
    with pytest.raises(InputError, match="`volume` must be given where nothing is known of the"):
        Crystal("Rn4")
    with pytest.raises(InputError, match="`pressure` must be a finite number"):
        Crystal("Si8", pressure=math.nan)
    with pytest.raises(InputError, match="`angles` must hold 60 to 120"):
        Crystal("Si8", angles=(80, 100))
    with pytest.raises(InputError, match="that occur"):
        Crystal("Si8", min_distance={"O-O": 2.0})
    with pytest.raises(InputError, match=r"`symmetry` must fit Ti2O4 .* got space group 230"):
        Crystal("Ti2O4", symmetry=230)
    with pytest.raises(InputError, match="from 1 to 230, got 231"):
        Crystal("Ti2O4", symmetry=[136, 231])


def test_description_rebuilds_the_space(crystal):
    copy = Crystal.from_description(crystal.description())
    assert copy.description() == crystal.description()
    X = crystal.sample(4, seeded_generator(0))
    assert torch.equal(X, copy.sample(4, seeded_generator(0)))
    assert torch.equal(crystal.decode(X).positions, copy.decode(X).positions)


def test_cells_of_impossible_lengths_are_refused_with_the_way_out():
    with pytest.raises(SpaceError, match="wider `lengths`"):
        Crystal("Si8", volume=20.0, lengths=(1.0, 2.0))

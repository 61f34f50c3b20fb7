import re

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixedPlane, FixSymmetry, Hookean

from bostruct.campaign import Campaign
from bostruct.campaign.initial_structures import read_initial_structures
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report.export import images_to_export, write_structures
from bostruct.campaign.stop import Evaluations
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Failure, Function
from bostruct.objectives import Objective
from bostruct.spaces import Cluster, Composition, Crystal, Pool, Surface
from bostruct.structures import Structures, from_ase, to_ase
from bostruct.structures.energy_labels import EnergyLabels
from tests.campaign import alloys as screening
from tests.campaign import crystals
from tests.campaign.standin import campaign

SPACE = Cluster("Cu2Au2")
EVALUATOR = Calculator(EMT)


def images(n=3, space=SPACE, energies=True, seed=0):
    """Return random structures of a space, with energies and forces of EMT."""
    X = space.sample(n, torch.Generator().manual_seed(seed))
    found = to_ase(space.decode(X))
    for image in found if energies else ():
        compute(image)
    return found


def compute(image):
    free = image.copy()
    free.set_constraint()
    free.calc = EMT()
    results = {"energy": free.get_potential_energy(), "forces": free.get_forces()}
    image.calc = SinglePointCalculator(image, **results)
    return image


def shuffled(image, order=(3, 1, 0, 2)):
    """Return the same with its atoms in another order, and its results with them."""
    moved = image[list(order)]
    results = {
        "energy": image.get_potential_energy(),
        "forces": image.get_forces()[list(order)],
    }
    moved.calc = SinglePointCalculator(moved, **results)
    return moved


def true(x, space=SPACE):
    """Return energy and forces of EMT at X."""
    image = to_ase(space.decode(x))[0]
    image.calc = EMT()
    return image.get_potential_energy(), image.get_forces(apply_constraint=False)


def check_data(found, space=SPACE, count=3):
    assert len(found.X_evaluated) == len(found.results) == count
    for x, outcome in zip(found.X_evaluated, found.results, strict=True):
        energy, forces = true(x, space)
        assert outcome.energy == pytest.approx(energy, abs=1e-5)
        assert np.allclose(outcome.forces.numpy(), forces, atol=1e-5)


def test_energies_outside_of_the_valid_range_are_refused():
    low, high = images(2)
    high.calc = SinglePointCalculator(high, energy=1200.0)
    evaluator = Calculator(EMT, valid_range=(None, 100.0))
    results = read_initial_structures([low, high], SPACE, evaluator).results
    assert results[0].energy == low.get_potential_energy()
    assert "300 is outside its valid range" in results[1].reason


def test_energies_and_forces_follow_the_order_of_the_atoms():
    found = read_initial_structures([shuffled(image) for image in images()], SPACE, EVALUATOR)
    check_data(found)
    assert len(found.X_unevaluated) == 0
    assert found.results[1].provenance == {"initial_structures": "index 1"}


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj", "a.db", "a.xyz", "a.json"])
def test_files_with_energies(tmp_path, name):
    ase.io.write(tmp_path / name, [shuffled(image) for image in images()])
    found = read_initial_structures(tmp_path / name, SPACE, EVALUATOR)
    check_data(found)
    where = {outcome.provenance["initial_structures"] for outcome in found.results}
    assert f"index 2 of {tmp_path / name}" in where


@pytest.mark.parametrize("name", ["a.cif", "POSCAR"])
def test_files_with_a_cell_around_a_cluster(tmp_path, name):
    """They hold no energy; the cluster may be cut by the borders of the cell."""
    (image,) = images(1, energies=False)
    boxed = image.copy()
    boxed.set_cell([12.0, 12.0, 12.0])
    boxed.pbc = True
    boxed.wrap()
    ase.io.write(tmp_path / name, boxed)
    found = read_initial_structures([str(tmp_path / name)], SPACE, EVALUATOR)
    (x,) = found.X_unevaluated
    assert bool(SPACE.is_duplicate(x, SPACE.encode(from_ase(image))[0], 0.01))
    assert found.results == ()


def test_rows_of_an_ase_database_and_files_together(tmp_path):
    one, two, three = images()
    with ase.db.connect(tmp_path / "a.db") as db:
        db.write(one)
        db.write(two)
    ase.io.write(tmp_path / "b.extxyz", three)
    found = read_initial_structures([tmp_path / "a.db", tmp_path / "b.extxyz"], SPACE, EVALUATOR)
    check_data(found)


def test_structures_and_single_atoms():
    batch = from_ase(images())
    check_data(read_initial_structures(batch, SPACE, EVALUATOR))
    check_data(read_initial_structures(to_ase(batch)[0], SPACE, EVALUATOR), count=1)
    bare = read_initial_structures(batch.without_results(), SPACE, EVALUATOR)
    assert (len(bare.X_evaluated), len(bare.X_unevaluated)) == (0, 3)


def test_on_a_surface():
    slab = fcc100("Au", (2, 2, 2), vacuum=7.0)
    space = Surface(slab, "Ni2")
    found = images(3, space)
    mixed = []
    for image in found:
        order = np.random.default_rng(1).permutation(len(image))
        moved = shuffled(image, order)
        moved.wrap()
        moved.calc = SinglePointCalculator(moved, **moved_results(image, order))
        moved.set_constraint()
        mixed.append(moved)
    check_data(read_initial_structures(mixed, space, EVALUATOR), space)
    with pytest.raises(InputError, match="index 0: `structures` must have the lattice"):
        read_initial_structures(wider(found[0]), space, EVALUATOR)


def moved_results(image, order):
    free = image.copy()
    free.set_constraint()
    free.calc = EMT()
    return {
        "energy": free.get_potential_energy(),
        "forces": free.get_forces()[order],
    }


def wider(image):
    cell = image.cell.copy()
    cell[0] *= 1.1
    image.set_cell(cell)
    return image


def test_energies_without_forces():
    (image,) = images(1)
    image.calc = SinglePointCalculator(image, energy=1.5)
    (outcome,) = read_initial_structures(image, SPACE, EVALUATOR).results
    assert (outcome.energy, outcome.forces) == (1.5, None)


def test_what_is_fixed_or_bound_does_not_matter():
    one, two = images(2)
    one.set_constraint(FixAtoms([0]))
    two.set_constraint(FixBondLength(0, 1))
    check_data(read_initial_structures([one, two], SPACE, EVALUATOR), count=2)


def test_absurd_energies_are_failures():
    one, two, three = images()
    one.calc = SinglePointCalculator(one, energy=1e9)
    two.calc = SinglePointCalculator(two, energy=1.0, forces=np.full((4, 3), 1e7))
    three.calc = SinglePointCalculator(three, energy=np.inf)
    found = read_initial_structures([one, two, three], SPACE, EVALUATOR)
    assert all(isinstance(outcome, Failure) for outcome in found.results)
    reasons = [outcome.reason for outcome in found.results]
    assert "the energy is absurd" in reasons[0]
    assert "the forces are absurd" in reasons[1]
    assert "not finite" in reasons[2]
    assert found.n_energies == 0


def test_limits_are_those_of_the_evaluator():
    (image,) = images(1)
    evaluator = Calculator(EMT, maximum_energy=1e-3)
    (outcome,) = read_initial_structures(image, SPACE, evaluator).results
    assert "more than 0.001 eV per atom" in outcome.reason


def test_each_structure_is_asked_for_once():
    one, two = images(2, energies=False)
    turned = one.copy()
    turned.rotate(40, "x")
    found = read_initial_structures([one, turned, two, one], SPACE, EVALUATOR)
    assert len(found.X_unevaluated) == 2
    known = read_initial_structures([one, compute(two.copy()), two], SPACE, EVALUATOR)
    assert (len(known.X_evaluated), len(known.X_unevaluated)) == (1, 1)
    twice = read_initial_structures([compute(two.copy()), compute(two.copy())], SPACE, EVALUATOR)
    assert len(twice.X_evaluated) == 1


def test_identity_is_the_content():
    one, two = images(2)

    def sha(*given):
        return read_initial_structures(given, SPACE, EVALUATOR).description()["sha256"]

    bare = one.copy()
    other = one.copy()
    other.calc = SinglePointCalculator(other, energy=one.get_potential_energy() + 1e-3)
    energy = SinglePointCalculator(bare, energy=one.get_potential_energy())
    weightless = one.copy()
    weightless.calc = energy
    absurd = one.copy()
    absurd.calc = SinglePointCalculator(absurd, energy=1e9)
    sets = [(one,), (two,), (one, two), (two, one), (bare,), (other,), (weightless,)]
    found = [sha(*each) for each in (*sets, (absurd,))]
    assert len(set(found)) == len(found)
    assert sha(one, two) == found[2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a[:3], r"of Au2Cu2, got .*, index 1"),
        (lambda a: a.symbols.__setitem__(0, "Ag") or a, "of Au2Cu2, got .*Ag.*, index"),
        (
            lambda a: a.positions.__setitem__((0, 0), np.nan) or a,
            "index 1: `positions` must be finite",
        ),
        (lambda a: a[:0], "index 1: `atoms` must have at least one atom each"),
        (
            lambda a: a.positions.__setitem__(0, a.positions[1] + [0.3, 0, 0]) or a,
            r"no atoms too close, got .* 0\.30 Å apart, index 1",
        ),
        (
            lambda a: a.positions.__setitem__(0, [40.0, 0, 0]) or a,
            r"structures in the region of the space, got one \d+ Å outside, index 1",
        ),
    ],
)
def test_refuses_what_is_not_in_the_space(change, sentence):
    good, bad = images(2, energies=False)
    with pytest.raises(InputError, match=r"`initial_structures` must hold .*" + sentence):
        read_initial_structures([good, change(bad)], SPACE, EVALUATOR)


def test_a_file_is_named_with_the_index_in_it(tmp_path):
    good, bad = images(2, energies=False)
    ase.io.write(tmp_path / "old.extxyz", [good, bad[:2]])
    with pytest.raises(InputError, match=r"index 1 of .*old\.extxyz"):
        read_initial_structures([good, tmp_path / "old.extxyz"], SPACE, EVALUATOR)


def test_refuses_forces_of_atoms_it_cannot_tell_apart():
    class Drifting:
        def __init__(self):
            self.space = SPACE
            self.radii, self.numbers = SPACE.atomic_radii, SPACE.numbers
            self.dimension = SPACE.dimension

        def encode(self, structures):
            return 1.3 * self.space.encode(structures)

        def decode(self, X):
            return self.space.decode(X)

        def contains(self, X):
            return self.space.contains(X)

        def is_duplicate(self, A, B, tolerance_scale=1.0):
            return self.space.is_duplicate(A, B, tolerance_scale)

    with pytest.raises(InputError, match=r"have its atoms where the space has them, got index 0"):
        read_initial_structures(images(1), Drifting(), EVALUATOR)
    assert (
        len(read_initial_structures(images(1, energies=False), Drifting(), EVALUATOR).X_unevaluated)
        == 1
    )


def test_crystals_outside_the_bounds_of_the_cell_are_told_why():
    space = Crystal("Cu4", volume=11.8)
    wide = bulk("Cu", cubic=True)
    wide.set_cell(wide.cell * 1.4, scale_atoms=True)
    message = r"a volume of 32\.27 Å³ per atom, .* Give the space `volume=32\.3`, or a wider"
    with pytest.raises(InputError, match=message):
        read_initial_structures([wide], space, EVALUATOR)


def test_a_space_that_does_not_say_why():
    """What is neither outside nor close is still named."""

    class Empty:
        max_gap_factor = float("inf")

        def __getattr__(self, name):
            return getattr(SPACE, name)

        def contains(self, X):
            return torch.tensor(False)

        @property
        def atomic_radii(self):
            return torch.full((4,), 1e-3, dtype=torch.float64)

    with pytest.raises(InputError, match="no atoms too close, got index 0"):
        read_initial_structures(images(1), Empty(), EVALUATOR)


def test_refused_when_the_campaign_is_made():
    with pytest.raises(InputError, match="`initial_structures` must hold structures of Au2Cu2"):
        Campaign(SPACE, EVALUATOR, initial_structures=Atoms("Cu4"))
    with pytest.raises(
        InputError, match=r"`initial_structures` must be ase\.Atoms, Structures, files"
    ):
        Campaign(SPACE, EVALUATOR, initial_structures=3)


def test_as_many_random_structures_as_are_missing():
    bare = images(3, energies=False)
    absurd = images(1)[0]
    absurd.calc = SinglePointCalculator(absurd, energy=1e9)

    def initial(*given, **arguments):
        made = Campaign(SPACE, EVALUATOR, initial_structures=list(given), **arguments)
        return made.components.n_initial

    assert initial() == 2
    assert initial(bare[0]) == initial(images(1)[0]) == 1
    assert initial(*bare[:2]) == initial(*bare) == initial(*images(2)) == 0
    assert initial(images(1)[0], absurd) == 1
    assert initial(*bare, n_initial=4) == 4


def test_absent_from_the_description_without_any():
    assert "initial_data" not in campaign().description()
    described = campaign(initial_structures=Structures.cat([three() for _ in range(2)]))
    assert described.description()["initial_data"]["n_without_energy"] == 1


def three():
    return from_ase(Atoms("Cu3", [[1, 1, 1], [1, 1, 3], [1, 3, 1]]))


def test_functions_have_limits_too():
    atoms = to_ase(three())[0]
    atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    found = campaign(Function(lambda a: 1.0), initial_structures=atoms).components.initial_data
    assert found.results[0].energy == 1.0


def alloys():
    """A list of crystals of copper and gold of one, two and four atoms."""
    cell = bulk("Cu", cubic=True, a=3.8)
    ordered = [cell.copy() for _ in range(2)]
    ordered[0].set_chemical_symbols(["Au", "Cu", "Cu", "Cu"])
    ordered[1].set_chemical_symbols(["Au", "Au", "Cu", "Cu"])
    return [bulk("Cu"), bulk("Au"), *ordered]


def test_members_of_a_list_with_energies():
    """Of any composition, turned as may be; others are asked for."""
    pool = Pool(alloys())
    turned = alloys()[3]
    turned.rotate("x", "y", rotate_cell=True)
    found = read_initial_structures([compute(alloys()[2]), turned, bulk("Au")], pool, EVALUATOR)
    assert found.X_evaluated.tolist() == [[2.0]]
    energy, forces = true(found.X_evaluated[0], pool)
    assert found.results[0].energy == pytest.approx(energy)
    assert np.allclose(found.results[0].forces.numpy(), forces)
    assert found.X_unevaluated.tolist() == [[3.0], [1.0]]


def test_compositions_become_members():
    space = Composition(["Cu", "Au"], bounds={"Cu": (0.2, 0.9)})
    found = read_initial_structures(
        to_ase(space.decode(torch.tensor([[0.5, 0.5]]))), space, EVALUATOR
    )
    assert found.X_unevaluated.tolist() == [[0.5, 0.5]]
    odd = bulk("Cu") * (3, 1, 1)
    odd.set_chemical_symbols(["Cu", "Cu", "Au"])
    found = read_initial_structures(odd, space, EVALUATOR)
    assert found.X_unevaluated.tolist() == [[21 / 32, 11 / 32]]
    with pytest.raises(InputError, match=r"`initial_structures` must hold members of .*index 0"):
        read_initial_structures(bulk("Cu"), space, EVALUATOR)


def test_refuses_what_is_no_member():
    pool = Pool(alloys())
    with pytest.raises(InputError, match=r"structures of Cu, Au, got Ni in index 1"):
        read_initial_structures([bulk("Cu"), bulk("Ni")], pool, EVALUATOR)
    with pytest.raises(InputError, match=r"structures of the space.*be in the pool"):
        read_initial_structures(bulk("Cu", "bcc", a=2.9), pool, EVALUATOR)
    double = compute(bulk("Cu") * (2, 1, 1))
    double.calc.results.pop("forces")
    condition = "`initial_structures` must have energies of the cells of the space, here of 1 atoms"
    with pytest.raises(InputError, match=f"{condition}, got one of 2 atoms, index 0"):
        read_initial_structures(double, pool, EVALUATOR)
    double.calc = None
    assert read_initial_structures(double, pool, EVALUATOR).X_unevaluated.tolist() == [[0.0]]


def relabeled(image, energy="REF_energy", forces="REF_forces"):
    """Return a structure whose labels stand in `info` and `arrays`."""
    bare = image.copy()
    bare.info[energy] = image.get_potential_energy()
    bare.set_array(forces, image.get_forces())
    return bare


@pytest.mark.parametrize("key", ["REF_energy", "free_energy", "dft_total_energy"])
def test_labels_under_other_names_are_used_if_named(tmp_path, key):
    ase.io.write(tmp_path / "a.extxyz", [relabeled(image, key) for image in images()])
    with pytest.raises(InputError, match=f"under the names that are read.*got '{key}' in index 0"):
        read_initial_structures(tmp_path / "a.extxyz", SPACE, EVALUATOR)
    labels = EnergyLabels(key, "REF_forces")
    check_data(read_initial_structures(tmp_path / "a.extxyz", SPACE, EVALUATOR, labels=labels))
    bare = read_initial_structures(tmp_path / "a.extxyz", SPACE, EVALUATOR, labels=EnergyLabels(""))
    assert (len(bare.X_evaluated), len(bare.X_unevaluated)) == (0, 3)


def test_labels_are_named_in_a_campaign():
    given = [relabeled(image) for image in images()]
    with pytest.raises(InputError, match="Pass energy_key='REF_energy' to use them"):
        Campaign(SPACE, EVALUATOR, initial_structures=given)
    made = Campaign(SPACE, EVALUATOR, initial_structures=given, energy_key="REF_energy")
    check_data(made.components.initial_data)
    made = Campaign(
        SPACE, EVALUATOR, initial_structures=given, energy_key="REF_energy", forces_key=""
    )
    assert made.components.initial_data.results[0].forces is None
    with pytest.raises(InputError, match="`energy_key` must name an energy of the structures"):
        Campaign(SPACE, EVALUATOR, initial_structures=images(), energy_key="ref_energy")


def test_unread_forces_are_told():
    (image,) = images(1)
    other = relabeled(image)
    other.calc = SinglePointCalculator(other, energy=other.info.pop("REF_energy"))
    with pytest.raises(InputError, match=r"got 'REF_forces' in index 0\. Pass forces_key='REF_"):
        read_initial_structures(other, SPACE, EVALUATOR)
    (image,) = images(1, energies=False)
    image.info["energy"] = 1.0
    with pytest.raises(InputError, match="it may be that of other positions: attach a SinglePoint"):
        read_initial_structures(image, SPACE, EVALUATOR)


def test_a_label_that_is_no_number():
    (image,) = images(1, energies=False)
    image.info["REF_energy"] = "low"
    with pytest.raises(InputError, match="have one energy, and three forces on each atom, got in"):
        read_initial_structures(image, SPACE, EVALUATOR, labels=EnergyLabels("REF_energy"))


def boxed(length, wrap=False):
    """Return a cluster with the energy of its periodic images, in a cube."""
    (image,) = images(1, energies=False)
    image.set_cell([length] * 3)
    image.center()
    image.pbc = True
    if wrap:
        image.positions += length / 2
        image.wrap()
    return compute(image)


@pytest.mark.parametrize("wrap", [False, True])
def test_an_energy_with_images_is_not_that_of_a_cluster(wrap):
    with pytest.raises(InputError, match=r"periodic as structures of the space are, got one whose"):
        read_initial_structures(boxed(8.0, wrap), SPACE, EVALUATOR)
    check_data(read_initial_structures(boxed(25.0, wrap), SPACE, EVALUATOR), count=1)
    bare = boxed(8.0, wrap)
    bare.calc = None
    assert len(read_initial_structures(bare, SPACE, EVALUATOR).X_unevaluated) == 1


def test_a_crystal_is_no_cluster_with_its_energy():
    with pytest.raises(
        InputError, match=r"images are 2\.55 Å apart, index 0. Leave its energy out"
    ):
        read_initial_structures(compute(bulk("Cu", cubic=True)), Cluster("Cu4"), EVALUATOR)


def test_slabs_that_repeat_otherwise():
    slab = fcc100("Au", (2, 2, 2), vacuum=7.0)
    space = Surface(slab, "Ni2")
    (image,) = images(1, space)
    alike = image.copy()
    alike.pbc = True  # 14 Å of vacuum
    assert len(read_initial_structures(compute(alike), space, EVALUATOR).results) == 1
    flake = image.copy()
    flake.pbc = False
    low = image.copy()
    low.pbc = True
    low.cell[2] *= (image.positions[:, 2].max() + 2 - image.positions[:, 2].min()) / low.cell[2, 2]
    for other in (flake, low):
        with pytest.raises(InputError, match="energies that are periodic as structures of the"):
            read_initial_structures(compute(other), space, EVALUATOR)
        other.calc = None
        assert len(read_initial_structures(other, space, EVALUATOR).X_unevaluated) == 1


def test_a_molecule_of_a_pool_in_another_box():
    pool = Pool([molecule("H2O"), molecule("CO2")])
    water = molecule("H2O")
    water.set_cell([12.0] * 3)
    water.calc = SinglePointCalculator(water, energy=-14.0)
    assert len(read_initial_structures(water, pool, EVALUATOR).results) == 1


def test_a_turned_slab_of_a_pool_keeps_its_energy():
    slab = fcc100("Au", (1, 1, 3), vacuum=7.0)
    turned = slab.copy()
    turned.rotate(30, "z", rotate_cell=True)
    turned.calc = SinglePointCalculator(turned, energy=1.0)
    assert len(read_initial_structures(turned, Pool([slab]), EVALUATOR).results) == 1


def test_forces_that_a_constraint_removed_are_left_out():
    one, two = images(2)
    one.set_constraint(FixAtoms([0]))
    two.set_constraint(FixedPlane([1], (0, 0, 1)))
    for image in (one, two):
        energy, forces = image.get_potential_energy(), image.get_forces()
        image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
    found = read_initial_structures([one, two], SPACE, EVALUATOR)
    assert [result.forces for result in found.results] == [None, None]
    assert all(isinstance(result.energy, float) for result in found.results)


@pytest.mark.parametrize("constraint", [FixAtoms([0]), FixedPlane([1], (0, 0, 1))])
def test_constraints_of_crystals_are_refused(constraint):
    """All atoms move with the cell: they would be dropped in silence."""
    crystal = bulk("Cu", cubic=True)
    crystal.set_constraint(constraint)
    with pytest.raises(InputError, match=r"no constraints in a space of crystals.*, got Fix"):
        read_initial_structures([crystal], Crystal("Cu4"), EVALUATOR)
    crystal.set_constraint(FixSymmetry(crystal))
    assert len(read_initial_structures([crystal], Crystal("Cu4"), EVALUATOR).X_unevaluated) == 1


def test_zeros_on_a_fixed_slab_are_unknown(tmp_path):
    slab = fcc100("Au", (2, 2, 2), vacuum=7.0)
    add_adsorbate(slab, "Ni", 1.8, "hollow")
    slab.set_constraint(FixAtoms(range(8)))
    space = Surface(slab[:8], "Ni")
    slab.calc = EMT()
    energy, forces = slab.get_potential_energy(), slab.get_forces()
    slab.calc = SinglePointCalculator(slab, energy=energy, forces=forces)
    (result,) = read_initial_structures(slab, space, EVALUATOR).results
    assert np.allclose(result.forces[8], forces[8])
    made = Campaign(space, EVALUATOR, initial_structures=slab, n_initial=1, stop=Evaluations(1))
    log = made.run(tmp_path / "run", seed=0)
    learned = log.structures()
    assert learned.forces[:8].isnan().all()
    assert not learned.forces[8:].isnan().any()  # of EMT, true on all atoms


def test_refuses_the_energy_of_a_spring():
    (image,) = images(1)
    image.set_constraint(Hookean(0, 1, k=5.0, rt=1.0))
    with pytest.raises(
        InputError, match="energies of the atoms alone, got one with Hookean, index"
    ):
        read_initial_structures(image, SPACE, EVALUATOR)


def test_moments_that_a_space_does_not_keep_are_told(caplog):
    (image,) = images(1)
    image.set_initial_magnetic_moments([0.6] * 4)
    read_initial_structures(image, SPACE, EVALUATOR)
    assert "1 initial structures (first: index 0) carry initial magnetic moments" in caplog.text
    assert "Cluster does not keep" in caplog.text
    caplog.clear()
    set_by_element = Calculator(EMT, magnetic_moments={"Cu": 0.6})
    read_initial_structures(image, SPACE, set_by_element)
    image.set_initial_magnetic_moments([0.0] * 4)
    read_initial_structures(image, SPACE, EVALUATOR)
    read_initial_structures(bulk("Ni"), Pool([bulk("Ni")]), EVALUATOR)
    assert caplog.text == ""


def test_ions_of_another_charge_are_refused():
    (image,) = images(1)
    image.info |= {"charge": 1, "spin": 2}
    with pytest.raises(
        InputError, match=r"the charge with which structures are evaluated, got inf"
    ):
        read_initial_structures(image, SPACE, EVALUATOR)
    cation = Calculator(EMT, info={"charge": 1})
    with pytest.raises(InputError, match=r"the spin with which .* Pass Calculator\(\.\.\., info"):
        read_initial_structures(image, SPACE, cation)
    radical = Calculator(EMT, info={"charge": 1, "spin": 2})
    check_data(read_initial_structures(image, SPACE, radical), count=1)
    image.info |= {"charge": 0, "spin": 1}
    check_data(read_initial_structures(image, SPACE, EVALUATOR), count=1)
    with pytest.raises(InputError, match="the charge with which"):
        read_initial_structures(image, SPACE, radical)


def test_refuses_partial_occupancies():
    (image,) = images(1, energies=False)
    image.info["occupancy"] = {"0": {"Cu": 0.6, "Au": 0.4}}
    with pytest.raises(InputError, match="index 0: `atoms` must have one whole atom on each site"):
        read_initial_structures(image, SPACE, EVALUATOR)


def table(n=100, names=("enthalpy", "modulus"), energy=False):
    """Return compositions of the screening campaign with known outcomes in `info`."""
    space = screening.space()
    X = torch.cat(list(space.iter_members()))[:n]
    rows = []
    for x, image in zip(X, to_ase(space.decode(X)), strict=True):
        values = screening.truth(x.tolist())
        image.info |= {name: values[name] for name in names}
        if energy:
            image.calc = SinglePointCalculator(image, energy=-1.0)
        rows.append(image)
    return rows


@pytest.mark.parametrize("name", ["a.extxyz", "a.db"])
def test_a_table_of_known_values_is_initial_data_of_objectives(tmp_path, name):
    rows = table(30)
    if name == "a.db":
        with ase.db.connect(tmp_path / name) as db:
            for row in rows:
                db.write(row, **row.info)
    else:
        ase.io.write(tmp_path / name, rows)
    evaluator = screening.Alloy()
    made = screening.campaign(
        evaluator=evaluator, initial_structures=tmp_path / name, n_initial=1, stop=Evaluations(3)
    )
    log = made.run(tmp_path / "run", seed=0)
    given = [trial for trial in log.trials() if trial.is_initial_data]
    assert len(given) == 30
    assert len(evaluator.calls) == 3
    for trial in given:
        assert trial.properties == pytest.approx(screening.truth(trial.X.tolist()))
        assert (trial.state, trial.attempt, trial.energy) == ("done", 0, None)
        assert [o.name for o in trial.outcome_predictions] == ["price"]
    assert log.steps()[-1].training_trials[:30] == tuple(range(30))
    known = {tuple(trial.X.tolist()) for trial in given}
    assert not known & {tuple(t.X.tolist()) for t in log.trials()[30:]}
    front = log.pareto_front()
    assert any(point.evaluation is None for point in front.points)
    assert len(front.evaluated) == 33


def test_what_is_exported_can_be_brought_in_again(tmp_path):
    made = screening.campaign(stop=Evaluations(6))
    log = made.run(tmp_path / "run", seed=0)
    write_structures(images_to_export(log, include_all=True), tmp_path / "all.extxyz")
    again = screening.campaign(initial_structures=tmp_path / "all.extxyz")
    results = again.components.initial_data.results
    assert [r.properties for r in results] == [
        pytest.approx({n: v for n, v in t.properties.items() if n in ("enthalpy", "modulus")})
        for t in log.trials()
    ]


def test_rows_without_outcomes_are_evaluated():
    rows = table(5)
    for row in rows[:2]:
        row.info.clear()
    found = screening.campaign(initial_structures=rows).components.initial_data
    assert (len(found.X_evaluated), len(found.X_unevaluated)) == (3, 2)


def test_rows_with_some_outcomes():
    rows = table(3)
    del rows[1].info["modulus"]
    with pytest.raises(InputError, match="have all outcomes that are modeled, enthalpy, modulus, "):
        screening.campaign(initial_structures=rows)
    rows[1].info["modulus"] = np.nan  # known to have none
    rows[2].info["modulus"] = -5.0
    found = screening.campaign(initial_structures=rows).components.initial_data
    assert set(found.results[1].properties) == {"enthalpy"}
    assert found.results[2].properties["modulus"] == -5.0  # the valid range is the objective's
    rows[1].info["modulus"] = "hard"
    with pytest.raises(InputError, match="have a number as 'modulus' in `info`, got 'hard' in ind"):
        screening.campaign(initial_structures=rows)
    rows[1].info |= {"modulus": np.nan, "enthalpy": np.nan}
    found = screening.campaign(initial_structures=rows).components.initial_data
    assert isinstance(found.results[1], Failure)


def test_the_energy_may_be_an_objective():
    objectives = (Objective("energy", "minimize"), Objective("modulus", "maximize"))
    rows = table(4, ("modulus",), energy=True)
    made = screening.campaign(initial_structures=rows, objectives=objectives, constraints=())
    results = made.components.initial_data.results
    assert [(r.energy, list(r.properties)) for r in results] == [(-1.0, ["modulus"])] * 4
    # An energy alone says nothing of the other outcomes.
    for row in rows:
        row.info.clear()
    made = screening.campaign(initial_structures=rows, objectives=objectives, constraints=())
    assert len(made.components.initial_data.X_unevaluated) == 4


def test_identity_knows_the_outcomes():
    def sha(rows):
        return screening.campaign(initial_structures=rows).description()["initial_data"]["sha256"]

    changed = table(3)
    changed[0].info["modulus"] += 1.0
    assert sha(table(3)) == sha(table(3)) != sha(changed)


def test_outcomes_may_be_those_of_another_cell():
    """They are intensive; an energy is not, and is left out where it is no outcome."""
    cell = bulk("Cu", cubic=True) * (2, 1, 1)
    cell.symbols[:4] = "Au"
    cell.info |= {"enthalpy": -0.1, "modulus": 150.0}
    cell.calc = SinglePointCalculator(cell, energy=-2.0)
    (result,) = screening.campaign(initial_structures=cell).components.initial_data.results
    assert (result.energy, result.properties) == (None, {"enthalpy": -0.1, "modulus": 150.0})


def test_members_keep_their_own_charge():
    ion = molecule("CH3")
    ion.info["charge"] = 1
    ion.calc = SinglePointCalculator(ion, energy=-2.0)
    pool = Pool([ion])
    for evaluator in (EVALUATOR, Calculator(EMT, info={"charge": -1})):
        assert len(read_initial_structures(ion, pool, evaluator).results) == 1


GOLD_SLAB = fcc100("Au", (2, 2, 2), vacuum=8.0)


def on_gold(height):
    atoms = GOLD_SLAB.copy()
    atoms.append("Cu")
    atoms.positions[-1] = atoms.positions[7] + [0, 0, height]
    return atoms


SURFACE = {"region": (-1.5, 7.0)}
FOLLOWED = {
    "too close": (
        Cluster, ("Cu3",), Atoms("Cu3", [[0, 0, 0], [1.2, 0, 0], [0, 2.5, 0]]),
        r"Cu and Cu 1.20 Å apart.*smaller `min_distance`, or", {"min_distance": 1.0},
    ),
    "outside": (
        Cluster, ("Cu3",), Atoms("Cu3", [[-14, 0, 0], [0, 0, 0], [14, 0, 0]]),
        "Å outside, index 0. Give the space a larger `radius`", {"radius": 15.0},
    ),
    "in parts": (
        Cluster, ("Cu3",), Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [7.5, 0, 0]]),
        r"connected structures, got a gap of 1.89 bond lengths.*max_gap_factor=2.0, or", {},
    ),
    "outside the region": (
        Surface, (GOLD_SLAB, "Cu"), on_gold(6.9),
        "Å outside, index 0. Give the space a larger `region`", {"region": (0.0, 7.0)},
    ),
    "off the surface": (
        Surface, (GOLD_SLAB, "Cu"), on_gold(6.0),
        r"connected structures, got a gap of 2.2\d bond lengths.*max_gap_factor=2.4, or", {},
    ),
    "into the surface": (
        Surface, (GOLD_SLAB, "Cu"), on_gold(1.2),
        r"Au and Cu \d.\d\d Å apart.*smaller `min_distance`", {"min_distance": 1.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLLOWED)
def test_doing_what_a_refusal_says_lets_the_structure_in(case):
    make, arguments, start, match, changes = FOLLOWED[case]
    kept = SURFACE if make is Surface and "region" not in match else {}
    kept = kept or ({"radius": 9.0} if case == "in parts" else {})
    with pytest.raises(InputError, match=match) as refused:
        Campaign(make(*arguments, **kept), EVALUATOR, initial_structures=start)
    named = re.search(r"max_gap_factor=([\d.]+\d)", str(refused.value))
    changes = {**kept, **changes, **({"max_gap_factor": float(named[1])} if named else {})}
    if case in ("outside", "outside the region"):
        changes["max_gap_factor"] = 20.0
    made = Campaign(make(*arguments, **changes), EVALUATOR, initial_structures=start)
    assert made.components.initial_data.n_energies == 1


def crystal(stress=None, seed=0):
    """Return a crystal with what EMT computes of it, or another stress."""
    space = crystals.Cells()
    atoms = to_ase(space.decode(space.sample(1, torch.Generator().manual_seed(seed))))[0]
    free = atoms.copy()
    free.calc = EMT()
    results = {"energy": free.get_potential_energy(), "forces": free.get_forces()}
    results["stress"] = free.get_stress() if stress is None else stress
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def read_crystals(images, labels=None):
    return read_initial_structures(images, crystals.Cells(), EVALUATOR, (), labels)


def test_initial_data_bring_their_stress(tmp_path):
    images = [crystal(seed=0), crystal(seed=1)]
    ase.io.write(tmp_path / "data.extxyz", images)
    folder = tmp_path / "run"
    crystals.campaign(initial_structures=tmp_path / "data.extxyz", n=3).run(folder)
    log = crystals.campaign(initial_structures=tmp_path / "data.extxyz", n=3).read(folder)
    for trial, given in zip(log.trials()[:2], images, strict=True):
        assert np.allclose(trial.stress, given.get_stress(), rtol=0, atol=1e-7)
        assert np.allclose(trial.forces, given.get_forces(), rtol=0, atol=1e-7)
    assert verify_log(log).is_valid
    # A log is initial data of another campaign, with all that it knows.
    again = read_crystals([str(folder / "campaign.db")])
    assert [result.stress.tolist() for result in again.results] == [
        trial.stress.tolist() for trial in log.trials("done")
    ]


def test_names_of_energy_forces_and_stress(tmp_path):
    given, bare = crystal(), crystal()
    bare.calc = None
    bare.info["REF_energy"] = given.get_potential_energy()
    bare.arrays["REF_forces"] = given.get_forces()
    bare.info["REF_virial"] = -given.get_stress(voigt=False) * given.get_volume()
    ase.io.write(tmp_path / "data.extxyz", bare)
    (found,) = read_crystals(str(tmp_path / "data.extxyz"), EnergyLabels("REF_energy")).results
    assert np.allclose(found.stress, given.get_stress(), rtol=0, atol=1e-7)
    labels = EnergyLabels("REF_energy", stress_key="")
    assert read_crystals(str(tmp_path / "data.extxyz"), labels).results[0].stress is None


def test_stresses_are_part_of_the_identity():
    one, other = (read_crystals([crystal(stress=np.full(6, x))]).description() for x in (0.1, 0.2))
    assert one["sha256"] != other["sha256"]


def test_an_absurd_stress_is_a_failure():
    (found,) = read_crystals([crystal(stress=np.full(6, 1e7))]).results
    assert isinstance(found, Failure)
    assert "the stress is absurd" in found.reason


def test_refuses_what_is_no_stress():
    atoms = crystal()
    atoms.calc = None
    atoms.info["REF_energy"], atoms.info["REF_stress"] = 1.0, [1.0, 2.0]
    with pytest.raises(InputError, match=r"`initial_structures` must .* six numbers or 3 x 3"):
        read_crystals([atoms], EnergyLabels("REF_energy"))


def copper_gold():
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[:2] = "Au"
    return atoms


CRYSTAL = Crystal("Cu2Au2")


def test_crystals_of_other_formula_units_bring_their_energy():
    atoms = copper_gold().repeat((2, 1, 1))
    atoms.calc = EMT()
    atoms.get_potential_energy()
    atoms.get_stress()
    found = read_initial_structures(atoms, CRYSTAL, EVALUATOR)
    (result,) = found.results
    assert result.energy == pytest.approx(true(found.X_evaluated[0], CRYSTAL)[0], abs=1e-8)
    assert (result.forces, result.stress) == (None, None)


def test_turned_crystals_bring_their_forces_and_stress():
    atoms = copper_gold()
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.arange(9).reshape(3, 3) / 9), True)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    atoms.calc = EMT()
    atoms.get_forces()
    atoms.get_stress()
    found = read_initial_structures(atoms, CRYSTAL, EVALUATOR)
    check_data(found, CRYSTAL, count=1)
    expected = EVALUATOR(CRYSTAL.decode(found.X_evaluated[0])).stress
    assert np.allclose(found.results[0].stress, expected, atol=1e-8)


def distorted_crystal():
    atoms = copper_gold()
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.05 * np.arange(9).reshape(3, 3) / 9), True)
    return atoms


def distorted_layer():
    atoms = fcc111("Cu", (2, 2, 1), vacuum=6.0)
    atoms.symbols[:2] = "Au"
    atoms.pbc = (True, True, False)
    atoms.rattle(0.15, seed=0)
    return atoms


@pytest.mark.parametrize("kind", ["cell", "volume", "layer"])
def test_crystals_of_restricted_cells_bring_their_results(kind):
    """Turned, in other lattice vectors, and of other vacuum; a fixed cell has no use for stress."""
    given = distorted_crystal()
    space = Crystal("Cu2Au2", cell=given.cell)
    if kind == "volume":
        space = Crystal("Cu2Au2", cell=given.cell * 1.05, variable="volume")
    elif kind == "layer":
        given = distorted_layer()
        space = Crystal("Cu2Au2", periodic=(True, True, False))
    atoms = given.copy()
    atoms.cell[1] += atoms.cell[0]
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    atoms.calc = EMT()
    atoms.get_forces()
    atoms.get_stress()
    found = read_initial_structures(atoms, space, EVALUATOR)
    check_data(found, space, count=1)
    stress = found.results[0].stress
    if kind == "cell":
        assert stress is None
    else:
        expected = EVALUATOR(space.decode(found.X_evaluated[0])).stress
        assert np.allclose(stress, expected, atol=1e-8)


@pytest.mark.parametrize("arguments", [{}, {"variable": "volume"}])
def test_other_cells_than_a_given_one_are_refused(arguments):
    space = Crystal("Cu2Au2", cell=copper_gold().cell, **arguments)
    with pytest.raises(InputError, match=r"be in the cell of the space, got .* of another shape"):
        read_initial_structures(distorted_crystal(), space, EVALUATOR)
    twice = copper_gold().repeat((2, 1, 1))
    with pytest.raises(InputError, match="hold structures of Au2Cu2, got Au4Cu4"):
        read_initial_structures(twice, space, EVALUATOR)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (1.5, "within the bounds of the space, got a volume of 39.69 Å³ per atom, index 0"),
        (0.6, "within the bounds of the space, got a volume of 2.54 Å³ per atom, index 0"),
    ],
)
def test_refuses_cells_outside_of_the_bounds(scale, message):
    atoms = copper_gold()
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    with pytest.raises(InputError, match=message):
        read_initial_structures(atoms, CRYSTAL, EVALUATOR)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pbc": (True, True, False)}, "must be periodic along three lattice vectors"),
        ({"symbols": "Au3Cu"}, "must hold structures of Au2Cu2, got Au3Cu, index 0"),
        ({"symbols": "Au2CuAg"}, "must hold structures of Au2Cu2, got AgAu2Cu, index 0"),
        ({"positions": [[0, 0, 0], [0.5, 0, 0], [2, 2, 0], [0, 2, 2]]}, "hold no atoms too close"),
    ],
)
def test_refuses_crystals_that_are_not_in_the_space(change, message):
    atoms = copper_gold()
    for name, value in change.items():
        setattr(atoms, name, value)
    with pytest.raises(InputError, match=message):
        read_initial_structures(atoms, CRYSTAL, EVALUATOR)


def test_dissociated_molecules_are_refused_before_an_energy():
    space = Cluster.of({"H2O": 2})
    (atoms,) = to_ase(space.decode(space.sample(1, torch.Generator().manual_seed(0))))
    order = [3, 0, 4, 1, 5, 2]
    data = read_initial_structures(atoms[order], space, Function(lambda _: 0.0))
    assert space.contains(data.X_unevaluated).all()
    broken = atoms.copy()
    broken.positions[1] += 0.6 * (broken.positions[1] - broken.positions[0])
    with pytest.raises(InputError, match=r"whole molecules, got a bond H-O of 1\.55 Å, index 0"):
        read_initial_structures(broken, space, Function(lambda _: 0.0))
    allowed = Cluster.of({"H2O": 2}, allow_reactions=True)
    assert len(read_initial_structures(broken, allowed, Function(lambda _: 0.0)).X_unevaluated) == 1

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength

from bostruct.campaign import Campaign
from bostruct.campaign.initial_structures import read_initial_structures
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Failure, Function
from bostruct.spaces import Cluster, Composition, Pool, Surface
from bostruct.structures import Structures, from_ase, to_ase
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


def test_a_space_that_does_not_say_why():
    """What is neither outside nor close is still named."""

    class Empty:
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
    with pytest.raises(InputError, match=r"`start` must be ase\.Atoms, Structures, files"):
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

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup import crystal

from bostruct.bench.single_objective.crystal_potentials import (
    RigidIons,
    StillingerWeber,
    matsui_akaogi,
)
from bostruct.bench.single_objective.interatomic_potentials import COULOMB, stillinger_weber
from bostruct.evaluators import Calculator, Failure, evaluate
from bostruct.structures import from_ase
from bostruct.testing import EvaluatorContract


def rutile():
    return crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.493, 4.493, 3.01, 90, 90, 90],
    )


def distorted(atoms, seed):
    atoms = atoms.copy()
    strain = np.random.default_rng(seed).uniform(-0.06, 0.06, (3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


class TestMatsuiAkaogi(EvaluatorContract):
    """Forces and stress are the derivatives of the energy, at the end of the cutoff too."""

    energy_tolerance = 1e-8
    force_tolerance = 1e-7

    @pytest.fixture
    def evaluator(self):
        return Calculator(matsui_akaogi)

    @pytest.fixture
    def structures(self):
        return from_ase([distorted(rutile(), seed) for seed in range(2)])

    @pytest.fixture
    def failing_structure(self):
        return from_ase(Atoms("TiO2", np.eye(3)))


class TestStillingerWeber(EvaluatorContract):
    @pytest.fixture
    def evaluator(self):
        return Calculator(StillingerWeber)

    @pytest.fixture
    def structures(self):
        return from_ase([distorted(bulk("Si", cubic=True), 0), distorted(bulk("Si"), 1)])

    @pytest.fixture
    def failing_structure(self):
        return from_ase(Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]))


def per_atom(atoms, calculator):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms.get_potential_energy() / len(atoms)


@pytest.mark.parametrize("splitting", [0.25, 0.4])
def test_the_madelung_energy_of_rock_salt(splitting):
    """At any splitting of the Ewald sums: E. Madelung, Phys. Z. 19, 524 (1918)."""
    ions = RigidIons(
        {"Na": 1.0, "Cl": -1.0}, {}, {}, cutoff=16.0, splitting=splitting, max_wave_number=4.0
    )
    found = per_atom(bulk("NaCl", "rocksalt", a=5.6), ions)
    assert found == pytest.approx(-1.7475645946 * COULOMB / 2.8 / 2, abs=1e-6)


def test_rutile_is_as_published():
    """a, c = 4.493, 3.009 Å."""
    atoms = rutile()
    atoms.calc = matsui_akaogi()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3)
    a, b, c, *_ = atoms.cell.cellpar()
    assert (a, b, c) == pytest.approx((4.493, 4.493, 3.009), abs=2e-3)


def test_diamond_has_two_epsilon_for_each_atom():
    found = per_atom(bulk("Si", a=5.431), StillingerWeber())
    assert found == pytest.approx(-2 * 2.16826, abs=1e-4)


def test_silicon_clusters_are_those_of_the_free_potential():
    cluster = bulk("Si", cubic=True)
    cluster.rattle(0.1, seed=0)
    cluster.pbc = False
    energy, forces = stillinger_weber(cluster)
    boxed = cluster.copy()
    boxed.set_cell([30.0] * 3)
    boxed.pbc = True
    boxed.calc = StillingerWeber()
    assert boxed.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    assert np.allclose(boxed.get_forces(), forces, atol=1e-10)


@pytest.mark.parametrize("factory", [matsui_akaogi, StillingerWeber])
@pytest.mark.parametrize("repeat", [(2, 1, 1), (1, 2, 3)])
def test_supercells_have_the_energy_of_the_crystal(factory, repeat):
    atoms = distorted(rutile() if factory is matsui_akaogi else bulk("Si"), 0)
    found = per_atom(atoms.repeat(repeat), factory())
    assert found == pytest.approx(per_atom(atoms, factory()), abs=1e-6)


def test_a_collapsed_crystal_is_a_failure():
    atoms = Atoms("Si2", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[1.2] * 3, pbc=True)
    found = evaluate(Calculator(StillingerWeber), from_ase(atoms))
    assert isinstance(found, Failure)
    assert "a collapsed crystal: 1.73 Å³ for 2 atoms" in found.reason

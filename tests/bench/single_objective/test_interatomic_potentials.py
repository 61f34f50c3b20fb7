import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.tersoff import Tersoff, TersoffParameters

from bostruct.bench.performance.model_potentials import Gupta
from bostruct.bench.single_objective.interatomic_potentials import (
    COULOMB,
    STILLINGER_WEBER_SILICON,
    TERSOFF_CARBON,
    born_mayer,
    gupta,
    lennard_jones_mixture,
    stillinger_weber,
    tersoff,
)
from bostruct.bench.single_objective.matter import SODIUM_CHLORIDE as SALT
from bostruct.spaces import Cluster
from bostruct.structures import from_ase

SIZES = {"Ar": 1.0, "Xe": 1.3}
CASES = {
    "mixture": (lambda atoms: lennard_jones_mixture(atoms, SIZES, 0.7), "Ar4Xe3", 1.1),
    "ions": (lambda atoms: born_mayer(atoms, **SALT), "(NaCl)4", 2.6),
    "gupta": (gupta, "Au4Cu3", 2.7),
    "silicon": (stillinger_weber, "Si8", 2.3),
    "carbon": (tersoff, "C8", 1.5),
}


def cluster(formula, bond, seed=0):
    """Return atoms on a distorted grid, each with neighbors within and beyond a cutoff."""
    atoms = Atoms(formula)
    grid = np.array([(i % 2, i // 2 % 2, i // 4) for i in range(len(atoms))], float)
    noise = np.random.default_rng(seed).uniform(-0.15, 0.15, size=grid.shape)
    atoms.positions = bond * (grid + noise)
    return atoms


@pytest.mark.parametrize("name", CASES)
def test_forces_are_minus_the_gradient(name):
    function, formula, bond = CASES[name]
    atoms = cluster(formula, bond)
    _, forces = function(atoms)
    step = 1e-5
    expected = np.zeros_like(forces)
    for i, k in np.ndindex(*forces.shape):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[i, k] += sign * step
            energies.append(function(moved)[0])
        expected[i, k] = -(energies[0] - energies[1]) / (2 * step)
    assert np.abs(forces).max() > 0.1
    assert forces == pytest.approx(expected, rel=1e-7, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_energy_does_not_change_in_a_turned_and_relabeled_cluster(name):
    function, formula, bond = CASES[name]
    atoms = cluster(formula, bond)
    turned = atoms[np.random.default_rng(1).permutation(len(atoms))]
    turned.rotate(40, (1, 2, 3))
    turned.translate((1.0, -2.0, 0.5))
    assert function(turned)[0] == pytest.approx(function(atoms)[0], rel=1e-12)


def test_a_mixture_of_equal_atoms_is_that_of_ase():
    atoms = cluster("Ar8", 1.1)
    atoms.calc = LennardJones(sigma=1.0, epsilon=0.7, rc=1000.0, smooth=False)
    energy, forces = lennard_jones_mixture(atoms, {"Ar": 1.0}, 0.7)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    assert forces == pytest.approx(atoms.get_forces(), abs=1e-10)


def test_unlike_atoms_touch_at_their_mean_size():
    pair = Atoms("ArXe", [(0, 0, 0), (1.15 * 2 ** (1 / 6), 0, 0)])
    energy, forces = lennard_jones_mixture(pair, SIZES, 0.7)
    assert energy == pytest.approx(-0.7)
    assert forces == pytest.approx(0.0, abs=1e-12)


def test_two_ions_in_closed_form():
    r = 2.5
    energy, forces = born_mayer(Atoms("NaCl", [(0, 0, 0), (r, 0, 0)]), **SALT)
    A, rho = SALT["repulsion"]["Cl-Na"]
    assert energy == pytest.approx(-COULOMB / r + A * np.exp(-r / rho))
    assert forces[1, 0] == pytest.approx(-COULOMB / r**2 + A / rho * np.exp(-r / rho))


def test_gupta_is_that_of_the_batched_potential():
    atoms = cluster("Au5Cu3", 2.7)
    space = Cluster("Au5Cu3")
    batched = Gupta(space)(space.encode(from_ase(atoms)))
    # The batched one keeps the root of an isolated atom away from zero.
    assert gupta(atoms)[0] == pytest.approx(float(batched), abs=1e-5)


def test_carbon_is_that_of_ase():
    A, B, lambda1, lambda2, beta, n, c, d, h, low, high = TERSOFF_CARBON
    width = {"R": (low + high) / 2, "D": (high - low) / 2}
    attraction = {"lambda2": lambda2, "B": B, "lambda1": lambda1, "A": A}
    angle = {"c": c, "d": d, "h": h, "n": n, "beta": beta}
    parameters = TersoffParameters(m=3, gamma=1.0, lambda3=0.0, **angle, **attraction, **width)
    atoms = cluster("C8", 1.5)
    atoms.calc = Tersoff({("C", "C", "C"): parameters})
    energy, forces = tersoff(atoms)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert forces == pytest.approx(atoms.get_forces(), abs=1e-8)


def test_ends_of_a_chain_have_finite_forces():
    chain = Atoms("C4", [(1.3 * i, 0, 0) for i in range(4)])
    energy, forces = tersoff(chain)
    assert np.isfinite(energy)
    assert np.isfinite(forces).all()


def test_a_silicon_atom_in_diamond_has_two_bonds():
    epsilon = STILLINGER_WEBER_SILICON[-1]
    crystal = bulk("Si", a=5.431, cubic=True) * (3, 3, 3)
    center = crystal.positions - crystal.positions.mean(0)
    inner = np.linalg.norm(center, axis=1).argmin()
    with_it, without = crystal.copy(), crystal.copy()
    del without[[inner]]
    bonds = 4 * epsilon  # two-body energy of four bonds at the ideal angle and distance
    removed = stillinger_weber(without)[0] - stillinger_weber(with_it)[0]
    assert removed == pytest.approx(bonds, abs=2e-3)

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from bostruct.evaluators.alloys.elastic_constants import (
    ElasticConstants,
    compute_elastic_constants,
    crystal_system_and_rotation,
)
from bostruct.evaluators.alloys.equation_of_state import compute_equation_of_state
from bostruct.evaluators.alloys.relaxation import move_off_cell_faces, relax_crystal
from bostruct.structures.strain import VOIGT


class Hooke(Calculator):
    """Stress from a stiffness `[6, 6]` and the strain since it was made."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, cell, stiffness):
        super().__init__()
        self.cell, self.stiffness = np.array(cell), stiffness

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        gradient = np.linalg.solve(self.cell, np.array(atoms.cell)).T - np.eye(3)
        strain = (gradient + gradient.T) / 2
        e = np.array([strain[i, j] * (1 if i == j else 2) for i, j in VOIGT])
        stress = self.stiffness @ e
        zero = np.zeros((len(atoms), 3))
        self.results = {"energy": 0.0, "forces": zero, "stress": stress}


def stiffness(rng):
    c = rng.standard_normal((6, 6))
    return c @ c.T


def orthorhombic(matrix):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * [1, 1.1, 1.2], scale_atoms=True)
    atoms.calc = Hooke(atoms.cell, matrix)
    return atoms


def at_rest(atoms, relaxation="cell"):
    atoms = move_off_cell_faces(atoms)
    atoms.calc = EMT()
    assert relax_crystal(atoms, relaxation, 1e-4, 100).reason == ""
    return atoms


def numbers(found):
    return [found.c11, found.c12, found.c44]


@pytest.mark.parametrize("symbol", ["Cu", "Al", "Au"])
def test_cubic_constants_give_the_bulk_modulus(symbol):
    atoms = at_rest(bulk(symbol))
    found = compute_elastic_constants(atoms, "cubic")
    assert found.bulk_modulus == pytest.approx(
        compute_equation_of_state(atoms).bulk_modulus, rel=0.02
    )
    assert found.symmetry_error < 1e-6
    assert found.reason == ""
    assert found.violated_born_criteria == ""


def test_the_shear_constant_is_the_curvature_of_the_energy():
    atoms = at_rest(bulk("Cu", cubic=True))
    found = compute_elastic_constants(atoms, "cubic")
    energies = []
    for gamma in (-0.01, 0.0, 0.01):
        moved = atoms.copy()
        strain = np.array([[0, 0, 0], [0, 0, gamma / 2], [0, gamma / 2, 0]])
        moved.set_cell(np.array(atoms.cell) @ (np.eye(3) + strain), scale_atoms=True)
        moved.calc = EMT()
        energies.append(moved.get_potential_energy())
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / 1e-4
    assert found.c44 == pytest.approx(curvature / atoms.get_volume(), rel=0.01)


def test_neither_the_cell_nor_its_orientation_matters():
    cube = compute_elastic_constants(at_rest(bulk("Cu", cubic=True)), "cubic")
    turned = bulk("Cu")
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    for atoms in (turned, bulk("Cu", cubic=True).repeat((2, 1, 1))):
        found = compute_elastic_constants(at_rest(atoms), "cubic")
        assert np.allclose(numbers(found), numbers(cube), rtol=1e-3)


def test_a_general_stiffness_is_projected():
    c = stiffness(np.random.default_rng(0))
    found = compute_elastic_constants(orthorhombic(c), "average")
    assert found.c11 == pytest.approx(np.diagonal(c)[:3].mean())
    assert found.c12 == pytest.approx((c[0, 1] + c[0, 2] + c[1, 2]) / 3)
    assert found.c44 == pytest.approx(np.diagonal(c)[3:].mean())
    assert found.symmetry_error == pytest.approx(0.0, abs=1e-9)


def test_an_asymmetric_stiffness_has_a_symmetry_error():
    c = stiffness(np.random.default_rng(1))
    c[0, 4] += 0.3
    assert compute_elastic_constants(orthorhombic(c), "average").symmetry_error == pytest.approx(
        0.3
    )


def test_a_cubic_crystal_with_another_stiffness_has_a_symmetry_error():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = Hooke(atoms.cell, stiffness(np.random.default_rng(2)))
    assert compute_elastic_constants(atoms, "cubic").symmetry_error > 0.3


class Kinked(Hooke):
    """A stress of its own under any strain, whatever its sign."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["stress"] += 0.01 * np.any(self.results["stress"] != 0)


def test_a_stress_even_in_the_strain_is_a_nonlinearity():
    atoms = orthorhombic(np.eye(6))
    assert compute_elastic_constants(atoms, "average").nonlinearity == pytest.approx(0.0, abs=1e-9)
    atoms.calc = Kinked(atoms.cell, np.eye(6))
    found = compute_elastic_constants(atoms, "average")
    assert found.symmetry_error == pytest.approx(0.0, abs=1e-9)
    assert found.nonlinearity == pytest.approx(0.01 / 0.005)


def test_lower_symmetry_is_refused_or_averaged():
    atoms = bulk("Cu", cubic=True, a=3.9)
    atoms.set_chemical_symbols(["Cu", "Cu", "Au", "Au"])
    atoms = at_rest(atoms)
    assert "is tetragonal, not cubic" in compute_elastic_constants(atoms, "cubic").reason
    found = compute_elastic_constants(atoms, "average")
    assert found.reason == ""
    assert found.bulk_modulus == pytest.approx(
        compute_equation_of_state(atoms).bulk_modulus, rel=0.02
    )


def test_a_stress_that_is_not_finite_has_a_reason():
    c = np.eye(6)
    c[0, 0] = np.nan
    assert compute_elastic_constants(orthorhombic(c), "average").reason == "a stress is not finite"


def test_ions_that_do_not_converge_have_a_reason():
    atoms = bulk("Cu", cubic=True, a=3.9).repeat((2, 1, 1))
    atoms.set_chemical_symbols(["Cu", "Cu", "Au", "Au", "Au", "Cu", "Cu", "Cu"])
    atoms = move_off_cell_faces(atoms)
    atoms.calc = EMT()
    relax_crystal(atoms, "cell", 0.002, 300)
    assert (
        "left with"
        in compute_elastic_constants(atoms, "average", ion_fmax=1e-9, max_steps=1).reason
    )
    free = compute_elastic_constants(atoms, "average", ion_fmax=0.001, max_steps=100)
    assert free.bulk_modulus < compute_elastic_constants(atoms, "average").bulk_modulus


@pytest.mark.parametrize(
    ("atoms", "system"),
    [
        (bulk("Cu"), "cubic"),
        (bulk("Mg"), "hexagonal"),
        (orthorhombic(np.eye(6)), "orthorhombic"),
    ],
)
def test_the_crystal_system_is_known(atoms, system):
    found, rotation = crystal_system_and_rotation(atoms)
    assert found == system
    assert (rotation is None) == (system != "cubic")


def test_unknown_symmetry():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[1] = atoms.positions[0]  # spglib gives up on two atoms in one place
    assert crystal_system_and_rotation(atoms) == ("of unknown symmetry", None)


def test_hill_lies_between_voigt_and_reuss():
    found = ElasticConstants(168.4, 121.4, 75.4)  # copper, Simmons and Wang 1971, GPa
    assert found.bulk_modulus == pytest.approx(137.07, abs=0.01)
    assert found.shear_modulus == pytest.approx(47.3, abs=0.1)
    isotropic = ElasticConstants(5.0, 1.0, 2.0)
    assert isotropic.shear_modulus == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("constants", "violated"),
    [
        (ElasticConstants(3.0, 1.0, 2.0), ""),
        (ElasticConstants(1.0, 2.0, 2.0), "C11 > C12"),
        (ElasticConstants(1.0, -0.6, 2.0), "C11 + 2 C12 > 0"),
        (ElasticConstants(1.0, 2.0, -2.0), "C11 > C12, C44 > 0"),
    ],
)
def test_borns_conditions(constants, violated):
    assert constants.violated_born_criteria == violated

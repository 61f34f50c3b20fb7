import numpy as np
import pytest
from ase.build import add_adsorbate, fcc100
from ase.calculators.emt import EMT
from ase.constraints import (
    ExternalForce,
    FixAtoms,
    FixBondLengths,
    FixCartesian,
    FixCom,
    FixedLine,
    FixedPlane,
    FixScaled,
    FixSymmetry,
    Hookean,
)

from bostruct.structures.constrained_forces import changes_energy, mask_constrained_forces


def slab(constraint=None):
    """Return a rattled slab with an adsorbate, and its calculator."""
    atoms = fcc100("Cu", (2, 2, 2), vacuum=6.0)
    add_adsorbate(atoms, "Au", 2.0, "hollow")
    atoms.rattle(0.1, seed=1)
    atoms.set_constraint(constraint)
    atoms.calc = EMT()
    return atoms


CONSTRAINTS = {
    "atoms": (FixAtoms([0, 1]), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
    "cartesian": (FixCartesian([0], mask=(True, False, True)), [(0, 0), (0, 2)]),
    "plane": (FixedPlane([2], (0, 0, 1)), [(2, 2)]),
    "line": (FixedLine([3], (0, 0, 1)), [(3, 0), (3, 1)]),
    "scaled": (FixScaled([1], mask=(False, True, False)), [(1, 1)]),
    "oblique": (FixedPlane([2], (1, 1, 0)), [(2, 0), (2, 1)]),
    "bond": (FixBondLengths([(0, 1)]), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_what_a_constraint_removed_is_unknown(name):
    constraint, components = CONSTRAINTS[name]
    atoms = slab(constraint)
    true = atoms.get_forces(apply_constraint=False)
    masked = mask_constrained_forces(atoms, atoms.get_forces())
    unknown = np.isnan(masked)
    assert unknown[tuple(zip(*components, strict=True))].all()
    assert np.allclose(masked[~unknown], true[~unknown])
    # The rest is known, but for components along an axis that the constraint does not leave.
    assert (~unknown).sum() >= true.size - 6


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_true_forces_stay_under_a_constraint(name):
    atoms = slab(CONSTRAINTS[name][0])
    true = atoms.get_forces(apply_constraint=False)
    assert np.array_equal(mask_constrained_forces(atoms, true), true)


def test_files_hold_eight_digits():
    atoms = slab(FixedPlane([2], (1, 2, 3)))
    assert np.isnan(mask_constrained_forces(atoms, atoms.get_forces().round(8))[2]).all()


def test_constraints_of_the_whole_remove_nothing():
    for constraint in (FixCom(), FixSymmetry(fcc100("Cu", (2, 2, 2), vacuum=6.0))):
        atoms = slab(constraint)
        forces = atoms.get_forces(apply_constraint=False)
        assert np.array_equal(mask_constrained_forces(atoms, forces), forces)


def test_forces_under_an_unknown_constraint_are_unknown():
    class Odd:
        index = (0,)

        def adjust_forces(self, atoms, forces):
            raise RuntimeError("not like that")

    atoms = slab()
    forces = atoms.get_forces()
    atoms.constraints = [Odd()]
    assert np.isnan(mask_constrained_forces(atoms, forces)).all()


def test_a_free_structure_keeps_zeros():
    assert not np.isnan(mask_constrained_forces(slab(), np.zeros((9, 3)))).any()


def test_constraints_with_an_energy_of_their_own():
    assert changes_energy(slab(Hookean(0, 1, k=5.0, rt=1.0))) == "Hookean"
    assert changes_energy(slab(ExternalForce(0, 1, 0.5))) == "ExternalForce"
    assert changes_energy(slab(FixAtoms([0]))) == ""

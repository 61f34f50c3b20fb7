import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter

from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.evaluators import Calculator, Failure, Function
from bostruct.structures import from_ase
from tests.campaign.standin import energy


def dimer():
    return Atoms("Cu2", [(0, 0, 0), (0, 0, 2.5)])


def attached(evaluator, target=-1e9, max_evaluations=100):
    counted = CountingCalculator(evaluator, target, max_evaluations)
    return counted, counted.attach(from_ase(dimer()))


def test_energy_and_forces_of_a_structure_are_one_call():
    counted, atoms = attached(Calculator(EMT))
    other = dimer()
    other.calc = EMT()
    for height in (2.5, 2.4, 2.5):
        atoms.positions[1, 2] = other.positions[1, 2] = height
        assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy())
        np.testing.assert_allclose(atoms.get_forces(), other.get_forces())
    assert len(counted.energies) == 3


def test_ends_at_the_cap():
    counted, atoms = attached(Calculator(EMT), max_evaluations=2)
    for height in (2.5, 2.4):
        assert not counted.is_done
        atoms.positions[1, 2] = height
        atoms.get_forces()
    assert counted.is_done
    atoms.positions[1, 2] = 2.3
    with pytest.raises(SearchFinished):
        atoms.get_potential_energy()
    assert len(counted.energies) == 2


def test_ends_where_the_task_is_solved():
    counted, atoms = attached(Calculator(EMT), target=1e9)
    with pytest.raises(SearchFinished):
        atoms.get_potential_energy()
    assert counted.is_done
    assert len(counted.energies) == 1


def test_a_failure_counts_and_ends_the_relaxation():
    counted, atoms = attached(lambda structures: Failure("not converged"))
    with pytest.raises(EvaluationFailed):
        atoms.get_forces()
    assert counted.energies == [None]
    assert not counted.is_done


def test_without_forces_nothing_is_relaxed():
    counted, atoms = attached(Function(lambda atoms: 1.0))
    with pytest.raises(EvaluationFailed):
        atoms.get_potential_energy()
    assert counted.energies == [1.0]


def test_positions_that_are_no_numbers_are_not_asked_for():
    counted, atoms = attached(Function(energy))
    atoms.positions[0, 0] = np.nan
    with pytest.raises(EvaluationFailed):
        atoms.get_potential_energy()
    assert counted.energies == []


def test_fixed_atoms_and_cells_are_kept():
    from ase.build import fcc100
    from ase.constraints import FixAtoms

    slab = fcc100("Cu", (2, 2, 2), vacuum=5.0)
    slab.set_constraint(FixAtoms([0, 1, 2, 3]))
    slab.rattle(0.1, seed=0)
    counted = CountingCalculator(Calculator(EMT), -1e9, 10)
    atoms = counted.attach(from_ase(slab))
    slab.calc = EMT()
    assert atoms.get_potential_energy() == pytest.approx(slab.get_potential_energy())
    np.testing.assert_allclose(atoms.get_forces(), slab.get_forces(), atol=1e-12)
    assert torch.equal(from_ase(atoms.copy()).fixed, from_ase(slab.copy()).fixed)


def test_enthalpies_are_counted_under_a_pressure():
    atoms = bulk("Cu", a=3.5)
    counted = CountingCalculator(Calculator(EMT), -1e9, 100, pressure=0.5)
    filtered = FrechetCellFilter(counted.attach(from_ase(atoms)), scalar_pressure=0.5)
    atoms.calc = EMT()
    expected = atoms.get_potential_energy() + 0.5 * atoms.get_volume()
    assert filtered.get_potential_energy() == pytest.approx(expected)
    assert counted.energies == pytest.approx([expected])
    solved = CountingCalculator(Calculator(EMT), expected, 100, pressure=0.5)
    with pytest.raises(SearchFinished):
        solved.attach(from_ase(atoms)).get_potential_energy()

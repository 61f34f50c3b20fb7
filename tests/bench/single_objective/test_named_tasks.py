import json

import pytest
import torch
from ase import Atoms
from ase.cluster import Icosahedron
from ase.optimize import BFGS

from bostruct.bench.diagnosis.reference_minimum import find_reference_minimum
from bostruct.bench.single_objective.named_tasks import TASKS, emt, lennard_jones, morse
from bostruct.structures import from_ase

TRIANGLE = [(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)]


@pytest.mark.parametrize("name", TASKS)
def test_a_random_structure_has_an_energy_that_does_not_solve_the_task(name):
    task = TASKS[name]
    space = task.make_space()
    X = space.sample(1, torch.Generator().manual_seed(0))
    assert task.evaluator(space.decode(X)).energy > task.target_energy
    assert task.source
    for part in (space, task.evaluator):
        assert json.loads(json.dumps(part.description())) == part.description()


@pytest.mark.parametrize(("calculator", "bond"), [(lennard_jones, 2 ** (1 / 6)), (morse, 1.0)])
def test_a_triangle_has_three_bonds(calculator, bond):
    atoms = Atoms("Ar3", TRIANGLE, calculator=calculator())
    atoms.positions *= bond
    assert atoms.get_potential_energy() == pytest.approx(-3.0, abs=1e-9)  # rc = 100 shifts


@pytest.mark.parametrize(
    ("name", "element", "calculator", "bond"),
    [("lj13", "Ar", lennard_jones, 1.08), ("morse13", "Ar", morse, 0.97), ("cu13", "Cu", emt, 2.4)],
)
def test_the_icosahedron_is_the_reference(name, element, calculator, bond):
    atoms = Icosahedron("Cu", 2, latticeconstant=2**0.5 * bond)
    atoms.numbers[:] = Atoms(element).numbers[0]
    atoms.calc = calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    task = TASKS[name]
    assert atoms.get_potential_energy() == pytest.approx(task.reference_energy, abs=1e-4)
    assert task.evaluator(from_ase(atoms)).energy < task.target_energy


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].make_reference_structure])
def test_the_known_structure_has_the_reference_energy(name):
    task = TASKS[name]
    found = find_reference_minimum(task, [])
    assert found.energy == pytest.approx(task.reference_energy, abs=1e-5)
    assert bool(task.search_space.contains(found.X))


def test_nickel_is_in_the_layer_of_gold():
    atoms = TASKS["ni4_in_au100"].make_reference_structure()
    heights = sorted(zip(atoms.positions[:, 2], atoms.symbols, strict=True))
    assert [symbol for _, symbol in heights[9:13]] == ["Ni"] * 4
    assert heights[18][0] - heights[17][0] > 1, "the gold they replace is an island"

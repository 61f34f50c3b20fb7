import json

import pytest
import torch
from ase import Atoms
from ase.cluster import Icosahedron
from ase.optimize import BFGS

from bostruct.bench.tasks import TASKS, emt, lennard_jones, morse
from bostruct.structures import from_ase, to_ase

TRIANGLE = [(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)]


@pytest.mark.parametrize("name", TASKS)
def test_a_random_structure_has_an_energy_that_does_not_solve_the_task(name):
    task = TASKS[name]
    space = task.space()
    X = space.sample(1, torch.Generator().manual_seed(0))
    assert task.evaluator(space.decode(X)).energy > task.target
    assert task.source
    for part in (space, task.evaluator):
        assert json.loads(json.dumps(part.description())) == part.description()


@pytest.mark.parametrize(
    ("calculator", "bond"), [(lennard_jones, 2 ** (1 / 6)), (morse, 1.0)]
)
def test_a_triangle_has_three_bonds(calculator, bond):
    atoms = Atoms("Ar3", TRIANGLE, calculator=calculator())
    atoms.positions *= bond
    assert atoms.get_potential_energy() == pytest.approx(
        -3.0, abs=1e-9
    )  # rc = 100 shifts


@pytest.mark.parametrize(
    ("name", "element", "calculator", "bond"),
    [
        ("lj13", "Ar", lennard_jones, 1.08),
        ("morse13", "Ar", morse, 0.97),
        ("cu13", "Cu", emt, 2.4),
    ],
)
def test_the_icosahedron_is_the_reference(name, element, calculator, bond):
    atoms = Icosahedron("Cu", 2, latticeconstant=2**0.5 * bond)
    atoms.numbers[:] = Atoms(element).numbers[0]
    atoms.calc = calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    task = TASKS[name]
    assert atoms.get_potential_energy() == pytest.approx(task.reference, abs=1e-4)
    assert task.evaluator(from_ase(atoms)).energy < task.target


def test_nickel_goes_into_the_layer_of_gold():
    task = TASKS["ni4_in_au100"]
    space = task.space()
    slab = to_ase(space.decode(space.sample(1, torch.Generator().manual_seed(0))))[0]
    side = slab.cell[0, 0] / 3
    bottom = slab.positions[slab.constraints[0].index, 2].max()
    layer = [(x, y) for x in range(3) for y in range(3)]
    inside = [(0, 0), (1, 0), (2, 0), (2, 2)]
    above = [(1.5, 0.5), (2.5, 0.5), (1.5, 2.5), (2.5, 2.5)]
    gold = [(x, y, 1.8) for x, y in layer if (x, y) not in inside]
    gold += [(x, y, 3.4) for x, y in above]
    nickel = [(x, y, 1.65) for x, y in inside]
    free = torch.tensor(gold + nickel) * torch.tensor([side, side, 1.0])
    free[:, 2] += bottom
    slab.positions[space.free] = free
    slab.calc = emt()
    BFGS(slab, logfile=None).run(fmax=1e-3, steps=100)
    assert slab.get_potential_energy() == pytest.approx(task.reference, abs=1e-4)
    X = space.encode(from_ase(slab))
    assert bool(space.contains(X))

import pytest
import torch
from ase.calculators.emt import EMT

from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.reference_search import (
    ReferenceSearch,
    relax,
    search_reference,
)
from bostruct.bench.single_objective.task import Task
from bostruct.evaluators import Calculator, Function, evaluate
from bostruct.spaces import Cluster, Crystal


def dimer(atoms):
    """Return a Morse-like energy of two atoms whose minimum is -2 eV at 2.5 Å."""
    vector = atoms.positions[1] - atoms.positions[0]
    r = (vector**2).sum() ** 0.5
    slope = 2 * (r - 2.5)
    return (r - 2.5) ** 2 - 2.0, [slope * vector / r, -slope * vector / r]


TASK = Task("dimer", lambda: Cluster("Cu2"), Function(dimer), 0.0)


def test_a_relaxed_structure_is_a_minimum():
    task = TASKS["lj7"]
    X, energy = relax(task, task.start(torch.Generator().manual_seed(1)), 1e-15)
    outcome = evaluate(task.evaluator, task.search_space.decode(X))
    assert outcome.energy == pytest.approx(energy, abs=1e-9)
    assert float(outcome.forces.abs().max()) < 1e-3


def test_walks_find_the_minimum():
    found = search_reference(TASK, seconds=1.5)
    assert found.energy == pytest.approx(-2.0, abs=1e-8)
    assert len(found.random_energies) == 200
    assert f"{len(found.walk_energies)} walks" in found.summary()
    assert found.n_relaxations >= 200


def test_a_failing_evaluator_gives_an_infinite_energy():
    def broken(atoms):
        raise ValueError("no")

    task = Task("broken", lambda: Cluster("Cu2"), Function(broken), 0.0)
    X = task.start(torch.Generator().manual_seed(0))
    assert relax(task, X)[1] == float("inf")


def test_summary():
    found = ReferenceSearch(
        torch.zeros(6), -1.0, 1e-3, (-1.0, -0.9999, -0.5), (-1.0, 0.0), (-1.0, -0.8), 300, 12.3
    )
    assert found.summary() == (
        "-1.000000 eV: basin hopping, 300 relaxations in 12 s, 3 walks, 2 of them there; next "
        "isomers +0.200000 eV; 1 of 2 relaxed random structures are there"
    )


def test_crystals_relax_with_their_cell_under_the_pressure():
    """At rest the stress is minus the pressure."""
    space = Crystal("Cu4", pressure=0.2)
    task = Task("cu4", lambda: space, Calculator(EMT), 0.0)
    X, enthalpy = relax(task, task.start(torch.Generator().manual_seed(2)), 1e-13)
    outcome = evaluate(task.evaluator, space.decode(X))
    volume = float(torch.linalg.det(space.decode(X).cell[0]))
    assert outcome.energy + 0.2 * volume == pytest.approx(enthalpy, abs=1e-9)
    assert outcome.stress[:3].tolist() == pytest.approx([-0.2] * 3, abs=1e-4)
    assert float(outcome.forces.abs().max()) < 1e-3

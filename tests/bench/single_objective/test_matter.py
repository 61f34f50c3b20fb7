import numpy as np
import pytest
import torch

from bostruct.bench.single_objective.baselines import random_search
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.matter import (
    ARGON_EPSILON,
    ARGON_SIGMA,
    MATTER,
    water_molecules,
)
from bostruct.bench.single_objective.named_tasks import TASKS, reference_structure
from bostruct.evaluators import evaluate
from bostruct.structures import from_ase

STORED = [name for name in MATTER if MATTER[name].make_reference_structure]
FMAX = {"ar13": 1e-4}  # eV/Å, where forces of a hundredth are large


def available(name):
    task = MATTER[name]
    return pytest.param(
        name,
        marks=pytest.mark.skipif(not task.is_available, reason=f"{task.required_module} missing"),
    )


def test_the_suite_has_every_kind_of_matter():
    assert list(MATTER) == [
        *("ar13", "lj13x10", "morse13", "morse13_10", "morse13_14", "lj13_binary"),
        *("au14_gupta", "cu15", "au5cu10", "pt6ni3cu3", "nacl4", "nacl5", "mgo4"),
        *("si10_sw", "si12_sw", "c7_tersoff", "c8_tersoff", "c9_tersoff"),
        *("h2o3_gfn2", "water3", "water4", "water5", "water6", "co_pt111", "pd4_pt111"),
    ]


def test_the_group_stands_for_its_tasks():
    assert load_tasks_and_settings(["matter"])[0] == list(MATTER.values())
    tasks, _ = load_tasks_and_settings(["nacl4", "matter"])
    assert tasks[0] is MATTER["nacl4"]
    assert len(tasks) == len(MATTER), "each once"
    assert MATTER["cu15"] is TASKS["cu15"]


@pytest.mark.parametrize("name", [available(name) for name in STORED])
def test_the_reference_is_a_minimum_of_its_potential(name):
    task = MATTER[name]
    space = task.search_space
    X = space.encode(from_ase(reference_structure(name)))
    structures = space.decode(X)
    outcome = evaluate(task.evaluator, structures)
    assert outcome.energy == pytest.approx(task.reference_energy, abs=0.02 * task.tolerance)
    free = ~structures.fixed
    forces = outcome.forces[free].abs().max()
    assert forces < FMAX.get(name, 0.01)
    assert bool(space.contains(X))
    for seed in range(3):  # downhill nowhere
        noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(seed)).to(X)
        scale = 0.02 * float(space.atomic_radii.mean())
        moved = evaluate(task.evaluator, space.decode(X + scale * noise))
        assert moved.energy > outcome.energy


@pytest.mark.parametrize("name", [available(name) for name in MATTER])
def test_a_random_structure_does_not_solve_the_task(name):
    task = MATTER[name]
    X = task.start(torch.Generator().manual_seed(0))
    assert bool(task.search_space.contains(X))
    assert evaluate(task.evaluator, task.search_space.decode(X)).energy > task.target_energy
    assert task.source


def test_argon_is_the_reduced_cluster_in_other_units():
    reduced, argon, large = TASKS["lj13"], MATTER["ar13"], MATTER["lj13x10"]
    X = reduced.search_space.sample(1, torch.Generator().manual_seed(0))
    energy = reduced.evaluator(reduced.search_space.decode(X)).energy
    in_ev = argon.evaluator(argon.search_space.decode(ARGON_SIGMA * X)).energy
    assert in_ev == pytest.approx(ARGON_EPSILON * energy, rel=1e-6)
    assert large.evaluator(large.search_space.decode(X)).energy == pytest.approx(10 * energy)
    assert argon.tolerance == pytest.approx(ARGON_EPSILON * reduced.tolerance)
    radii = argon.search_space.atomic_radii, reduced.search_space.atomic_radii
    assert radii[0] == pytest.approx(ARGON_SIGMA * radii[1])


def test_water_starts_intact_and_differs_by_seed():
    first, again, other = (water_molecules(3, seed) for seed in (0, 0, 1))
    assert (first.positions == again.positions).all()
    assert not np.allclose(first.positions, other.positions)
    distances = first.get_all_distances()
    for k in (0, 3, 6):
        assert distances[k, k + 1] == pytest.approx(0.969, abs=2e-3)
        assert distances[k, k + 2] == pytest.approx(0.969, abs=2e-3)
    oxygen = distances[np.ix_([0, 3, 6], [0, 3, 6])]
    assert oxygen[~np.eye(3, dtype=bool)] == pytest.approx(2.9)


def test_random_search_runs_on_a_task(tmp_path):
    run = random_search(40).run(MATTER["nacl4"], 0, tmp_path)
    assert run.is_finished
    assert len(run.energies) <= 40
    assert all(energy is not None for energy in run.energies)

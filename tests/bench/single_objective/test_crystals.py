from dataclasses import replace

import pytest
import torch

from bostruct.bench.energy_benchmark import run_energy_benchmark
from bostruct.bench.single_objective.baselines import basin_hopping, random_search, symmetric_search
from bostruct.bench.single_objective.crystals import CRYSTALS
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.named_tasks import TASKS, reference_structure
from bostruct.campaign.enthalpy import pressure_energy
from bostruct.evaluators import evaluate
from bostruct.spaces.crystals.crystal_summary import summarize_crystal
from bostruct.structures import from_ase

pytestmark = pytest.mark.filterwarnings("ignore:'where' used without 'out'")  # by matscipy


def available(name):
    task = CRYSTALS[name]
    reason = f"{task.required_module} missing"
    marks = [pytest.mark.skipif(not task.is_available, reason=reason)]
    if task.required_module in ("chgnet", "sevenn"):  # they warn of torch, in several ways
        marks.append(pytest.mark.filterwarnings("ignore"))
    return pytest.param(name, marks=marks)


NAMES = [available(name) for name in CRYSTALS]


def test_the_group_stands_for_its_tasks():
    assert load_tasks_and_settings(["crystals"])[0] == list(CRYSTALS.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_a_minimum_in_atoms_and_cell(name):
    task = CRYSTALS[name]
    space = task.search_space
    X = space.encode(from_ase(reference_structure(name)))
    outcome = evaluate(task.evaluator, space.decode(X))
    lowest = outcome.energy + float(pressure_energy(space, X))
    assert lowest == pytest.approx(task.reference_energy, abs=0.02 * task.tolerance)
    assert outcome.forces.abs().max() < 1e-3
    pressed = space.pressure * torch.tensor([1.0, 1, 1, 0, 0, 0])
    assert (outcome.stress + pressed).abs().max() < 1e-4
    assert bool(space.contains(X))
    for seed in range(3):  # downhill nowhere
        noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(seed)).to(X)
        moved = X + 0.03 * noise
        energy = evaluate(task.evaluator, space.decode(moved)).energy
        assert energy + float(pressure_energy(space, moved)) > lowest


@pytest.mark.parametrize("name", NAMES)
def test_a_random_crystal_does_not_solve_the_task(name):
    task = CRYSTALS[name]
    X = task.start(torch.Generator().manual_seed(0))
    assert bool(task.search_space.contains(X))
    outcome = evaluate(task.evaluator, task.search_space.decode(X))
    enthalpy = outcome.energy + float(pressure_energy(task.search_space, X))
    assert enthalpy > task.target_energy
    assert outcome.stress is not None


def test_random_search_relaxes_the_cell(tmp_path):
    run = random_search(60).run(CRYSTALS["cu2pt2_crystal"], 0, tmp_path)
    assert min(run.energies) < run.energies[0] - 1.0
    known = CRYSTALS["cu2pt2_crystal"].reference_energy
    assert known - 1e-6 < min(run.energies) < known + 0.5


def test_symmetric_search_starts_from_space_groups(tmp_path):
    """Their symmetry is broken by a hundredth of a bond, and so within a twentieth."""
    task, starts = CRYSTALS["ar4_crystal"], []

    def first_energy(atoms, bond_length):
        starts.append(atoms.atoms.copy())
        atoms.get_potential_energy()

    replace(symmetric_search(6), search=first_energy).run(task, 0, tmp_path)
    assert len(starts) == 6
    summaries = [summarize_crystal(from_ase(atoms)) for atoms in starts]
    assert sum(one.space_group != "P1" for one in summaries) >= 4


def test_a_method_that_moves_no_cell_searches_no_crystals(tmp_path):
    tasks = [CRYSTALS["ar4_crystal"], TASKS["lj7"]]
    methods = [random_search(2), symmetric_search(2), basin_hopping(2)]
    results = run_energy_benchmark(tasks, methods, 1, tmp_path)
    done = [(run.task, run.method) for run in results.runs]
    assert ("ar4_crystal", "basin hopping") not in done
    assert ("lj7", "symmetric random search") not in done
    assert len(done) == 4

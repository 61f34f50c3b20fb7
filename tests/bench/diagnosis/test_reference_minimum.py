import pytest
import torch

from bostruct.bench import CampaignMethod, Setting, Task
from bostruct.bench.diagnosis.reference_minimum import find_reference_minimum
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Calculator, Function
from bostruct.spaces import Cluster
from tests.bench.problems import DEFAULT, task


def run(method, task, seeds, out):
    for seed in range(seeds):
        method.run(task, seed, out)
    return [method.log(task, seed, out) for seed in range(seeds)]


def test_it_is_the_lowest_of_all_runs_and_relaxed(tmp_path):
    from ase.calculators.emt import EMT

    copper = Task("cu3", lambda: Cluster("Cu3"), Calculator(EMT), -99.0)
    tiny = Setting("default", {"search": BasinHopping(n_candidates=2, n_rounds=1, max_steps=2)})
    logs = run(CampaignMethod(tiny, 3), copper, 2, tmp_path)
    energies = [trial.energy for log in logs for trial in log.trials()]
    found = find_reference_minimum(copper, logs)
    assert found.energy < min(energies)
    structures = copper.search_space.decode(found.X.unsqueeze(0))
    outcome = copper.evaluator(structures)
    assert outcome.energy == pytest.approx(found.energy)
    assert outcome.forces.abs().max() < 0.02


def test_without_forces_it_stays_as_it_is(tmp_path):
    def function(atoms):
        return -float(atoms.positions[0, 0])

    plain = task("plain", -99.0, function)
    logs = run(CampaignMethod(DEFAULT, 6), plain, 1, tmp_path)
    found = find_reference_minimum(plain, logs)
    lowest = min(logs[0].trials(), key=lambda trial: trial.energy)
    assert found.energy == lowest.energy
    assert torch.equal(found.X, lowest.X)


def test_there_is_none_without_energies(tmp_path):
    def fails(atoms):
        raise RuntimeError("not converged")

    lost = task("lost", -99.0, fails)
    assert isinstance(lost.evaluator, Function)
    assert find_reference_minimum(lost, run(CampaignMethod(DEFAULT, 5), lost, 1, tmp_path)) is None
    assert find_reference_minimum(lost, []) is None


def test_a_task_may_know_its_own(tmp_path):
    from ase import Atoms

    low = [(0, 0, 0), (1.545, 0, 0), (0.7725, 1.338, 0)]
    own = task("own", -99.0, make_reference_structure=lambda: Atoms("Cu3", low))
    found = find_reference_minimum(own, [])
    assert found.energy == pytest.approx(-2.53, abs=0.02)
    logs = run(CampaignMethod(DEFAULT, 6), own, 1, tmp_path)
    assert find_reference_minimum(own, logs).energy == found.energy
    far = task(
        "far", -99.0, make_reference_structure=lambda: Atoms("Cu3", [(0, 0, z) for z in (0, 3, 6)])
    )
    assert find_reference_minimum(far, logs).energy < find_reference_minimum(far, []).energy

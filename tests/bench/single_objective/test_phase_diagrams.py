"""Ground states of the tasks, relaxed again."""

from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from bostruct.bench.single_objective.baselines import random_search
from bostruct.bench.single_objective.campaign_method import CampaignMethod, HullReached
from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.phase_diagrams import PHASE_DIAGRAMS
from bostruct.bench.single_objective.settings import Setting
from bostruct.campaign.stop import Progress
from bostruct.candidates import BasinHopping
from bostruct.objectives.convex_hull import ConvexHull
from bostruct.spaces import ChemicalSystem
from bostruct.surrogates import LocalGP


def relaxed_energy(atoms, gold=()):
    """Return the energy per atom of a crystal with gold on some sites."""
    atoms = atoms.copy()
    atoms.symbols[list(gold)] = "Au"
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=300)
    return atoms.get_potential_energy() / len(atoms)


def test_the_reference_is_the_hull_of_the_ground_states():
    task = PHASE_DIAGRAMS["cu_au_phases"]
    hexagonal = bulk("Cu", "hcp", a=2.54, c=4.14)
    larger = bulk("Cu", "hcp", a=2.68, c=4.35)
    ordered = relaxed_energy(larger.repeat((2, 2, 1)), (0, 5))  # D0_19
    phases = {
        (1.0, 0.0): relaxed_energy(hexagonal),
        (0.75, 0.25): ordered,
        (0.5, 0.5): relaxed_energy(larger.repeat((2, 1, 1)), (0, 3)),  # B19
        (0.0, 1.0): relaxed_energy(bulk("Au")),
    }
    x = torch.tensor(list(phases), dtype=torch.float64)
    e = torch.tensor(list(phases.values()), dtype=torch.float64)
    compositions = task.search_space.compositions
    mean = float(ConvexHull.from_points(x, e).energy(compositions).mean())
    assert task.reference_energy == pytest.approx(mean, abs=5e-6)
    others = e.clone()
    others[0] = relaxed_energy(bulk("Cu"))  # the ground state of least effect
    missed = float(ConvexHull.from_points(x, others).energy(compositions).mean())
    assert missed > task.target_energy


def test_are_found_by_name_and_group():
    for name in ("cu_au_phases", "phase-diagrams"):
        tasks, _ = load_tasks_and_settings([name])
        assert tasks == [PHASE_DIAGRAMS["cu_au_phases"]]


def test_a_run_ends_at_the_mean_of_the_hull(tmp_path):
    task = replace(
        PHASE_DIAGRAMS["cu_au_phases"],
        name="small",
        make_space=lambda: ChemicalSystem("Cu-Au", max_atoms=2),
        reference_energy=5.0,
    )
    quick = {
        "surrogate": LocalGP(n_max=3, l_max=2, max_inducing=30),
        "search": BasinHopping(n_candidates=4, n_rounds=1, max_steps=2),
    }
    method = CampaignMethod(Setting("quick", quick), 8)
    run = method.run(task, 0, tmp_path)
    assert run.evaluations_to_success == len(run.energies) == len(run.hull_energies)
    assert run.best_energy == run.hull_energies[-1] <= 5.0001
    assert run.hull_energies[0] is None
    assert method.read(task, 0, tmp_path) == run
    assert not random_search(10).suits(task)
    one = replace(task, make_space=lambda: task.search_space.members[0])
    assert random_search(10).suits(one)


def test_the_criterion_tells_the_mean():
    assert HullReached(-0.1).reason(Progress((None, -0.05))) is None
    assert "-0.2" in HullReached(-0.1).reason(Progress((None, -0.05, -0.2, None)))

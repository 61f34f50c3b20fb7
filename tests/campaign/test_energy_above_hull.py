"""Campaigns where compositions vary: the energy above the convex hull is minimized."""

import math
from dataclasses import replace

import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from bostruct.acquisition import ExpectedImprovement, LowerConfidenceBound
from bostruct.campaign import FinalRelaxation, stop
from bostruct.campaign.energy_above_hull import (
    SystemHull,
    energies_above_references,
    mean_hull_history,
    trial_ranks,
)
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.planning.acquisition_context import (
    PRIOR_MEAN_FACTOR,
    PRIOR_STD_FACTOR,
    acquisition_context,
    goal_data,
    goal_model,
    search_ranking,
)
from bostruct.campaign.planning.adaptive_kappa import adapt_kappa_factor
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.search_scale import scaled_search
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data, with_enthalpies
from bostruct.campaign.records import training_structures
from bostruct.campaign.report.export import images_to_export
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import summary_text
from bostruct.errors import InputError
from bostruct.evaluators import Evaluation, Failure, Function
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from bostruct.spaces import ChemicalSystem, Cluster, Crystal
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates import fit_surrogate
from bostruct.surrogates.species import problem_scale
from bostruct.testing import seeded_generator
from bostruct.testing.central_differences import assert_gradient
from tests.campaign import chemical_systems

SHIFTS = {29: 3.7, 79: -1.9}


@pytest.fixture(scope="module")
def campaign():
    return chemical_systems.campaign()


@pytest.fixture(scope="module")
def log(campaign, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hull") / "run"
    campaign.run(folder, progress=False)
    return campaign.read(folder)


def formula(space, trial):
    return space.formulas[int(space.member_index(trial.X))]


def entries(space, trials):
    return [PDEntry(Composition(formula(space, t)), t.enthalpy) for t in trials]


def shifted(space, trials):
    """Return trials with a constant for each atom of an element added to their energies."""
    constants = [sum(SHIFTS[z] for z in space.decode(trial.X).numbers.tolist()) for trial in trials]
    return [replace(t, energy=t.energy + c) for t, c in zip(trials, constants, strict=True)]


def step_of(components):
    return StepContext(components, 0, torch.device("cpu"), 5, 1)


def context_of(components, trials):
    step = step_of(components)
    data = training_data(step, trials)
    model = fit_surrogate(components.surrogate, data, components.space)
    data = goal_data(step, with_enthalpies(step, data), trials)
    return step, model, acquisition_context(step, model, data, trials)


def test_the_first_trials_are_the_ends(campaign, log):
    trials = log.trials("done")
    assert {formula(campaign.space, trial) for trial in trials[:2]} == {"Cu", "Au"}
    assert [trial.step for trial in trials[:4]] == [0] * 4
    assert len({formula(campaign.space, trial) for trial in trials}) > 2


def test_energies_above_the_hull_are_those_of_pymatgen(campaign, log):
    trials = log.trials("done")
    diagram = PhaseDiagram(entries(campaign.space, trials))
    hull = SystemHull.from_trials(campaign.space, None, trials)
    for trial, entry in zip(trials, entries(campaign.space, trials), strict=True):
        assert hull.energy_above(trial) == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-9)
        formation = diagram.get_form_energy_per_atom(entry)
        assert hull.formation_energy(trial) == pytest.approx(formation, abs=1e-9)


def test_energies_in_the_log_remain_energies(campaign, log):
    for trial in log.trials("done"):
        atoms = trial.atoms
        atoms.calc = EMT()
        assert trial.energy == pytest.approx(atoms.get_potential_energy())
    assert verify_log(log).is_valid


def test_acquisitions_see_energies_above_the_hull(campaign, log):
    trials = log.trials("done")
    step, model, context = context_of(campaign.components, trials)
    hull = SystemHull.from_trials(campaign.space, None, trials)
    above = torch.tensor([hull.energy_above(trial) for trial in trials], dtype=torch.float64)
    torch.testing.assert_close(context.Y, above, rtol=0, atol=1e-9)
    assert context.best_f == pytest.approx(0.0, abs=1e-9)
    assert torch.equal(search_ranking(step, context, trials), context.Y)
    X = campaign.space.sample(6, seeded_generator(0)).unsqueeze(-2)
    own, found = model.posterior(X), goal_model(step, model, trials).posterior(X)
    m = campaign.space.member_index(X)
    n = campaign.space.atom_counts[m].unsqueeze(-1).double()
    h = hull.member_energies[m].unsqueeze(-1)
    torch.testing.assert_close(found.mean, own.mean / n - h)
    torch.testing.assert_close(found.variance, own.variance / n.square())
    cells = goal_model(step, model, trials, per_cell=True).posterior(X)
    torch.testing.assert_close(cells.mean, own.mean - n * h)
    # shrunk to the spread of energies per atom of random structures, which falls with their size
    scale = problem_scale(training_structures(trials, campaign.space), campaign.space)
    std = PRIOR_STD_FACTOR * scale.energy_std(1) / n.sqrt()
    weight = 1 / (1 + found.variance / std.square())
    shrunk = context.model.posterior(X)
    prior = PRIOR_MEAN_FACTOR * std
    torch.testing.assert_close(shrunk.mean, weight * found.mean + (1 - weight) * prior)
    torch.testing.assert_close(shrunk.variance, weight * found.variance)


def test_constants_of_elements_change_no_choice(campaign, log):
    """Energies of another zero for each element have the same hull and the same acquisition."""
    trials = log.trials("done")
    others = shifted(campaign.space, trials)
    one, other = (SystemHull.from_trials(campaign.space, None, each) for each in (trials, others))
    for trial, moved in zip(trials, others, strict=True):
        assert one.energy_above(trial) == pytest.approx(other.energy_above(moved), abs=1e-9)
        assert one.formation_energy(trial) == pytest.approx(other.formation_energy(moved), abs=1e-9)
    assert trial_ranks(trials, one) == trial_ranks(others, other)
    X = campaign.space.sample(12, seeded_generator(1))
    values = []
    for each in (trials, others):
        step, _, context = context_of(campaign.components, each)
        values.append(BatchAcquisition(step.acquisition, context)(X))
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("acquisition", "pressure"),
    [(LowerConfidenceBound(), 0.06), (ExpectedImprovement(), 0.0)],
    ids=["bound", "improvement"],
)
def test_gradients_are_those_of_central_differences(log, acquisition, pressure):
    space = ChemicalSystem("Cu-Au", max_atoms=2, pressure=pressure)
    components = chemical_systems.campaign(space, acquisition=acquisition).components
    trials = log.trials("done")
    if pressure:
        volumes = [trial.atoms.get_volume() for trial in trials]
        trials = [
            replace(t, properties={"pressure_volume_eV": pressure * v})
            for t, v in zip(trials, volumes, strict=True)
        ]
    step, _, context = context_of(components, trials)
    function = BatchAcquisition(step.acquisition, context)
    for m in range(len(space.members)):
        X = space.sample_members(torch.tensor([m, m]), seeded_generator(m))
        _, gradient = function.value_and_gradient(X)
        assert (gradient[:, 0] == 0).all()
        assert (gradient[:, 1 + space.members[m].dimension :] == 0).all()
        assert_gradient(lambda X: function(X).sum(), X, gradient, step=1e-6, rtol=1e-3, atol=1e-6)


def test_resumes_as_if_never_interrupted(log, tmp_path):
    again = chemical_systems.campaign()
    for n in (3, 6, chemical_systems.N_EVALUATIONS):
        again.run(tmp_path / "run", stop=stop.Evaluations(n), progress=False)
    for one, other in zip(log.trials(), again.read(tmp_path / "run").trials(), strict=True):
        assert torch.equal(one.X, other.X)
        assert (one.energy, one.acquisition) == (other.energy, other.acquisition)


def test_an_end_without_an_energy_is_asked_for_again(tmp_path):
    asked = []

    def energy(atoms):
        asked.append("".join(sorted(set(atoms.symbols))))
        if asked[-1] == "Au" and asked.count("Au") < 4:
            return Failure("not converged")
        atoms.calc = EMT()
        forces, stress = atoms.get_forces(), atoms.get_stress()
        return Evaluation(
            atoms.get_potential_energy(),
            torch.from_numpy(forces),
            stress=torch.from_numpy(stress),
        )

    one = chemical_systems.campaign(evaluator=Function(energy))
    one.run(tmp_path / "run", stop=stop.Evaluations(7), progress=False)
    steps = one.read(tmp_path / "run").steps()
    assert steps[0].kind == "random"
    assert asked[4] == "Au"  # after the first step, whose gold failed
    last_random = max(step.number for step in steps if step.kind == "random")
    assert all(step.kind == "model" for step in steps[last_random + 1 :])
    assert asked.count("Au") >= 4


def test_reference_entries_make_up_the_ends(tmp_path):
    space = ChemicalSystem(["CuAu", "Cu2Au2"])
    references = {"Cu": -0.007, "Au": 0.0}
    one = chemical_systems.campaign(space, references=references)
    assert one.components.n_initial == 2
    one.run(tmp_path / "run", stop=stop.Evaluations(3), progress=False)
    log = one.read(tmp_path / "run")
    assert log.description["references"] == [["Cu", -0.007], ["Au", 0.0]]
    hull = SystemHull.from_log(log)
    trials = log.trials("done")
    best = min(t.energy / len(t.atoms) for t in trials)
    expected = [t.energy / len(t.atoms) - min(best, -0.0035) for t in trials]
    assert [hull.energy_above(t) for t in trials] == pytest.approx(expected, abs=1e-9)


def test_of_one_composition_it_is_the_energy_per_atom(tmp_path):
    space = ChemicalSystem("Cu", formula_units=(1, 3))
    one = chemical_systems.campaign(space)
    one.run(tmp_path / "run", stop=stop.Evaluations(4), progress=False)
    trials = one.read(tmp_path / "run").trials("done")
    hull = SystemHull.from_trials(space, None, trials)
    energies = [trial.energy / len(trial.atoms) for trial in trials]
    assert [hull.energy_above(t) for t in trials] == pytest.approx(
        [e - min(energies) for e in energies], abs=1e-9
    )


def test_ranks_put_stable_compounds_first(campaign, log):
    trials = log.trials("done")
    hull = SystemHull.from_trials(campaign.space, None, trials)
    ranks = trial_ranks(trials, hull)
    order = sorted(range(len(trials)), key=ranks.__getitem__)
    above = [hull.energy_above(trials[i]) for i in order]
    assert above == sorted(above)
    stable = [hull.formation_energy(trials[i]) for i in order if hull.energy_above(trials[i]) == 0]
    assert stable == sorted(stable)
    doubted = [replace(trials[0], doubt="wrong"), *trials[1:]]
    assert trial_ranks(doubted, hull)[0] == math.inf
    failed = [replace(trials[0], energy=None), *trials[1:]]
    assert trial_ranks(failed, hull)[0] == math.inf


def test_the_mean_of_the_hull_falls_whenever_it_is_lowered(campaign, log):
    trials = log.trials("done")
    first = SystemHull.from_references(campaign.space, None)
    history = mean_hull_history(trials, first)
    assert history[0] is None  # one end is unknown
    known = [value for value in history if value is not None]
    assert known == sorted(known, reverse=True)
    hull = SystemHull.from_trials(campaign.space, None, trials)
    assert known[-1] == pytest.approx(float(hull.member_energies.mean()))
    assert mean_hull_history([replace(trials[0], doubt="wrong")], first) == [None]


def test_stopping_criteria_follow_the_hull(campaign, log, tmp_path):
    with pytest.raises(InputError, match="compositions or sizes vary"):
        chemical_systems.campaign(stop=stop.EnergyReached(-1.0))
    one = chemical_systems.campaign(stop=stop.NoImprovement(2, 10.0) | stop.Evaluations(12))
    one.run(tmp_path / "run", progress=False)
    # No part of the hull falls by 10 eV: two evaluations after it was complete.
    history = mean_hull_history(
        one.read(tmp_path / "run").trials(), SystemHull.from_references(one.space, None)
    )
    assert len(history) == 2 + 1 + [value is not None for value in history].index(True)


def test_pending_ends_are_not_asked_for_twice(tmp_path):
    one = chemical_systems.campaign(n_initial=1)
    with one.open(tmp_path / "run"):
        asked = [formula(one.space, one.ask(1)[0]) for _ in range(2)]
        assert sorted(asked) == ["Au", "Cu"]
        (third,) = one.ask(1)  # a random one, as no end is left and none is known
        assert third.generator == "random"


def test_kappa_follows_improvements_of_the_hull(campaign, log):
    first = SystemHull.from_references(campaign.space, None)
    trials = [replace(t, mean=None) for t in log.trials("done")]
    hull = SystemHull.from_trials(campaign.space, None, trials)
    stable = next(t for t in trials if hull.energy_above(t) == 0)
    n = len(stable.atoms)
    start = adapt_kappa_factor(trials, hull=first)

    def after(energy_change, error):
        energy = stable.energy + energy_change
        extra = replace(stable, energy=energy, mean=energy - error, predictive_variance=1e-4)
        return adapt_kappa_factor([*trials, extra], hull=first)

    assert after(-0.1 * n, 0.5) == start  # below the hull, whatever was predicted
    assert after(0.1 * n, 0.5) < start
    assert after(0.1 * n, 0.0) > start


def test_a_search_has_the_scale_of_an_energy_per_atom(campaign):
    step = step_of(campaign.components)
    scaled = scaled_search(step, ProblemScale(3.0, 2.5))
    per_cell = step.search.with_scale(3.0, 2.5)
    assert scaled.fmax == pytest.approx(per_cell.fmax / 2)
    assert scaled.max_step == per_cell.max_step


def test_a_final_relaxation_takes_the_stable_phases(tmp_path):
    one = chemical_systems.campaign(
        final_relaxation=FinalRelaxation(n_structures=2, max_steps=2, fmax=1e-4),
        stop=stop.Evaluations(9),
    )
    one.run(tmp_path / "run", progress=False)
    log = one.read(tmp_path / "run")
    relaxed = [trial for trial in log.trials() if trial.generator == "relaxation"]
    assert relaxed
    starts = {log.steps()[trial.step].training_trials[0] for trial in relaxed}
    numbers = [trial.number for trial in log.trials() if trial.generator != "relaxation"]
    search = [trial for trial in log.trials("done") if trial.number in numbers]
    hull = SystemHull.from_trials(one.space, None, search)
    best = sorted(search, key=lambda t: trial_ranks(search, hull)[search.index(t)])
    assert best[0].number in starts
    for trial in relaxed:
        start = log.trials()[log.steps()[trial.step].training_trials[0]]
        assert one.space.member_index(trial.X) == one.space.member_index(start.X)


def test_takes_initial_structures_of_any_member(tmp_path):
    structures = []
    for atoms in (bulk("Cu"), bulk("Au"), bulk("Cu", cubic=True)):
        atoms.calc = EMT()
        atoms.get_stress()
        structures.append(atoms)
    one = chemical_systems.campaign(initial_structures=structures)
    assert one.components.n_initial == 0
    one.run(tmp_path / "run", stop=stop.Evaluations(1), progress=False)
    log = one.read(tmp_path / "run")
    assert [step.kind for step in log.steps()] == ["initial_data", "model"]
    given = [formula(one.space, trial) for trial in log.trials()[:-1]]
    assert given[:2] == ["Cu", "Au"]
    with pytest.raises(InputError, match="hold structures of Cu, Au"):
        chemical_systems.campaign(initial_structures=[bulk("Ag")])


def test_initial_structures_may_be_ends_and_may_lack_some(tmp_path):
    """Those to evaluate stand for their ends in any cell; for other ends there is one of each."""
    without = [bulk("Cu").repeat((1, 1, 2)), bulk("Au")]
    one = chemical_systems.campaign(initial_structures=without)
    one.run(tmp_path / "both", stop=stop.Evaluations(2), progress=False)
    assert len(one.read(tmp_path / "both").trials()) == 2
    known = []
    for length in (3.6, 3.7):
        atoms = bulk("Cu", a=length)
        atoms.calc = EMT()
        atoms.get_stress()
        known.append(atoms)
    one = chemical_systems.campaign(initial_structures=known)
    one.run(tmp_path / "copper", stop=stop.Evaluations(1), progress=False)
    assert formula(one.space, one.read(tmp_path / "copper").trials()[-1]) == "Au"


def test_references_need_crystals():
    with pytest.raises(InputError, match="ChemicalSystem or a Crystal"):
        chemical_systems.campaign(Cluster("Cu4"), references={"Cu": 0.0})


def test_of_one_formula_references_tell_the_distance(tmp_path):
    one = chemical_systems.campaign(Crystal("CuAu"), references={"Cu": -0.5, "Au": 0.1})
    one.run(tmp_path / "run", stop=stop.Evaluations(2), progress=False)
    log = one.read(tmp_path / "run")
    trials = log.trials("done")
    expected = {trial.number: trial.energy / 2 + 0.2 for trial in trials}
    assert energies_above_references(log) == pytest.approx(expected)
    summary = summarize(log)
    assert summary.energy.above_references == pytest.approx(min(expected.values()))
    assert "eV/atom above the hull of the references" in summary_text(summary)
    assert SystemHull.from_log(log) is None
    (image,) = images_to_export(type(log)(log.folder))
    assert image.info[ENERGY_ABOVE_HULL] == pytest.approx(min(expected.values()))

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.emt import EMT

from bostruct.campaign import stop
from bostruct.campaign.records import Step, Trial
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.relaxation.relaxation_state import RelaxationQueue
from bostruct.evaluators import Calculator, Function, evaluate
from bostruct.spaces import Crystal
from bostruct.spaces.active_bounds import ActiveBound
from tests.campaign import crystals
from tests.campaign.standin import Wells, energy

SPACE = Wells(20.0)


def triangle(*edges):
    """Return X of three atoms with these distances, around the middle of the box."""
    a, b, c = edges
    x = (a**2 + b**2 - c**2) / (2 * a)
    P = [[0.0, 0, 0], [a, 0, 0], [x, (b**2 - x**2) ** 0.5, 0]]
    return (torch.tensor(P).double() + 9.0).flatten()


def evaluated(number, X, step=None, given=False):
    found = evaluate(Function(energy), SPACE.decode(X))
    trial = Trial(number, number if step is None else step, f"k{number}", 1, "done", "x", X)
    known = replace(trial, energy=found.energy, forces=found.forces)
    return replace(known, attempt=0) if given else known


class Story:
    """A log in memory: what the search found, and what a check made of it."""

    def __init__(self, *found, **check):
        self.check = FinalRelaxation(**check)
        self.trials, self.steps = [], []
        for X in found:
            self.search(X)

    def search(self, X):
        n = len(self.trials)
        self.trials.append(evaluated(n, X))
        self.steps.append(Step(n, "model", (), {}, {}))

    @property
    def now(self):
        return RelaxationQueue(self.check, SPACE, self.steps, self.trials)

    def go_on(self, most=200):
        """Evaluate what the check asks for; return how many that were."""
        for i in range(most):
            planned = self.now.next_step()
            if planned is None:
                return i
            n = len(self.trials)
            assert planned.step == n
            self.trials.append(evaluated(n, planned.X[0]))
            self.steps.append(Step(n, "relaxation", tuple(planned.training_trials), {}, {}))
        return most


LOW, HIGH = triangle(1.6, 1.5, 1.7), triangle(4.6, 4.6, 4.7)


def test_nothing_to_check():
    empty = Story()
    assert empty.now.next_step() is None
    assert empty.now.reports() == []
    assert not empty.now.has_started


def test_the_best_one_is_relaxed():
    story = Story(HIGH, LOW, fmax=1e-3)
    count = story.go_on()
    (found,) = story.now.reports()
    assert story.now.has_started
    assert (found.trial, found.state, found.converged) == (1, "converged", True)
    assert found.n_evaluations == count > 1
    assert found.relaxed_trial == len(story.trials) - 1
    assert found.relaxed_energy == story.trials[-1].energy < found.energy
    assert found.max_force < 1e-3
    assert {step.training_trials[0] for step in story.steps[2:]} == {1}
    assert story.steps[-1].training_trials == (1, *range(2, len(story.trials) - 1))


def test_one_that_is_at_rest_is_left_as_it_is():
    story = Story(HIGH, LOW, fmax=10.0)
    assert story.go_on() == 0
    (found,) = story.now.reports()
    assert (found.trial, found.relaxed_trial, found.state) == (1, 1, "converged")
    assert not story.now.has_started


def test_structures_that_are_the_same_are_checked_once():
    other = triangle(1.7, 1.6, 1.51)  # its atoms in another order, a little off
    story = Story(LOW, other, HIGH, n_structures=2)
    story.go_on()
    first, second = story.now.reports()
    assert {first.trial, second.trial} in ({0, 2}, {1, 2})


def test_one_that_turns_out_as_another_gives_its_place_to_the_next():
    """Both relax into the lowest well; the rest of its steps is not spent."""
    near = triangle(1.5, 2.0, 2.0)
    story = Story(near, HIGH, LOW, n_structures=2, fmax=1e-3)
    story.go_on()
    found = {each.trial: each for each in story.now.reports()}
    assert set(found) == {0, 1, 2}
    assert found[2].state == found[1].state == "converged"
    assert found[0].state == "the same structure as a better one"
    assert not found[0].converged
    assert 0 < found[0].n_evaluations < story.check.max_steps


def test_no_more_than_the_steps_allowed():
    story = Story(HIGH, LOW, fmax=1e-9, max_steps=2)
    assert story.go_on() == 2
    (found,) = story.now.reports()
    assert found.state == "not converged in 2 evaluations"
    assert found.relaxed_energy == min(trial.energy for trial in story.trials)
    # With new energies of the search it goes on where it was.
    story.search(triangle(3.0, 3.0, 3.0))
    assert not story.now.has_started
    assert story.go_on() == 2
    assert story.steps[-1].training_trials == (1, 2, 3, 5)


def test_no_more_than_all_the_steps_of_one_check():
    """However many turn out as one."""
    near = triangle(1.5, 2.0, 2.0)
    story = Story(near, LOW, HIGH, n_structures=2, max_steps=2, fmax=1e-9)
    assert story.go_on() <= 4


def test_new_better_ones_are_relaxed_as_well():
    story = Story(HIGH)
    story.go_on()
    story.search(LOW)
    story.go_on()
    (found,) = story.now.reports()
    assert (found.trial, found.state) == (story.steps[-1].training_trials[0], "converged")
    assert found.trial != 0


@pytest.mark.parametrize("state", ["failed", "abandoned"])
def test_a_failure_ends_a_relaxation(state):
    story = Story(HIGH, LOW, n_structures=2, fmax=1e-3)
    story.go_on(1)
    lost = replace(story.trials[-1], state=state, energy=None, forces=None, reason="no licence")
    story.trials[-1] = lost
    assert story.now.next_step().training_trials[0] == 0
    first, second = story.now.reports()
    assert first.state == f"not converged: {state}, no licence"
    assert (first.trial, first.relaxed_trial, first.n_evaluations) == (1, 1, 1)
    assert second.state == "not relaxed yet"
    story.go_on(1)
    assert story.now.reports()[1].state == "not converged yet"


def test_one_that_leaves_the_space_ends():
    tight = Wells(9.0 + 3.61)
    story = Story(triangle(3.6, 3.6, 3.6), fmax=1e-3)
    now = RelaxationQueue(story.check, tight, story.steps, story.trials)
    assert now.next_step() is None
    (found,) = now.reports()
    assert found.state.startswith("not converged: the next step leaves the space")


class Told(Wells):
    """A box that tells which of its bounds is crossed."""

    def active_bounds(self, x):
        atoms = torch.tensor([0])
        return [ActiveBound("min_distance", 1.5, "Cu-Cu", atoms, torch.ones(1, 3))]


def test_the_bound_that_a_relaxation_crosses_is_told():
    story = Story(triangle(3.6, 3.6, 3.6), fmax=1e-3)
    (found,) = RelaxationQueue(story.check, Told(9.0 + 3.61), story.steps, story.trials).reports()
    assert found.state == (
        "not converged: the next step leaves the space, beyond the bound `min_distance` of Cu-Cu, "
        "1.50 Å"
    )


def test_one_given_without_forces_is_evaluated_first():
    story = Story(HIGH)
    lower = replace(evaluated(1, LOW, given=True), forces=None)
    story.trials.append(lower)
    story.steps.append(Step(1, "initial_data", (), {}, {}))
    planned = story.now.next_step()
    assert torch.equal(planned.X[0], LOW)
    assert planned.training_trials == [1]
    assert story.now.reports()[0].max_force is None
    story.go_on()
    assert story.now.reports()[0].state == "converged"


def test_fixed_atoms_may_feel_forces():
    class Held(Wells):
        def decode(self, X):
            made = super().decode(X)
            fixed = torch.tensor([True, True, True]).repeat(len(made))
            return replace(made, fixed=fixed)

    story = Story(LOW, fmax=1e-6)
    now = RelaxationQueue(story.check, Held(20.0), story.steps, story.trials)
    assert now.next_step() is None
    assert now.reports()[0].max_force == 0.0


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"doubt": "its energy is far below all others"}, "doubted, its energy is far below"),
        ({"state": "retracted", "reason": "a typo"}, "retracted, a typo"),
    ],
)
def test_a_geometry_whose_result_is_not_known_is_not_evaluated_again(change, state):
    story = Story(LOW, fmax=1e-6)
    story.go_on(2)
    story.trials[-1] = replace(story.trials[-1], **change)
    assert story.go_on() == 0
    (found,) = story.now.reports()
    assert found.state.startswith(f"not converged: {state}")
    assert found.relaxed_trial < story.trials[-1].number


def distorted_copper():
    """Return face-centered copper in its cell of two atoms, strained and displaced."""
    cell = np.diag([2.5, 2.6, 3.7]) + np.diag([0.05, 0.05], 1) + np.diag([0.05, 0.05], -1)
    return Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.5, 0.48, 0.52]], cell=cell, pbc=True)


def relaxed_crystals(folder, criterion=None, pressure=0.05, **arguments):
    """Return the log of a campaign of 48 evaluations, the last 12 of which may be a relaxation."""
    campaign = crystals.campaign(
        pressure,
        initial_structures=distorted_copper(),
        final_relaxation=FinalRelaxation(max_steps=20, fmax=0.05),
        **arguments,
    )
    most = stop.Evaluations(48)
    campaign.run(folder, stop=most if criterion is None else most | criterion)
    return campaign.read(folder)


@dataclass(frozen=True)
class Pause(stop.StoppingCriterion):
    """Ends a run and leaves the budget as it is."""

    n: int

    def reason(self, progress):
        return "paused" if len(progress.energies) >= self.n else None


def test_atoms_and_cell_are_relaxed_under_the_pressure(tmp_path):
    log = relaxed_crystals(tmp_path / "run")
    (report,) = log.relaxations()
    assert report.state == "converged"
    trial = log.trials()[report.relaxed_trial]
    assert report.relaxed_energy == trial.enthalpy
    assert report.energy == log.trials()[report.trial].enthalpy > report.relaxed_energy
    assert trial.forces.norm(dim=-1).max() <= 0.05
    assert np.allclose(trial.stress, [-0.05] * 3 + [0] * 3, atol=0.01)
    for n in (39, 41):  # in the middle of the relaxation
        relaxed_crystals(tmp_path / "other", Pause(n))
    assert relaxed_crystals(tmp_path / "other").fingerprint() == log.fingerprint()


def test_without_stresses_atoms_alone_are_relaxed(tmp_path):
    evaluator = Calculator(EMT, with_stress=False)
    log = relaxed_crystals(tmp_path / "run", pressure=0.0, evaluator=evaluator)
    (report,) = log.relaxations()
    assert report.state == "converged at a fixed cell: the evaluator returns no stress"
    trials = log.trials()
    first, last = (trials[n].structures.cell for n in (report.trial, report.relaxed_trial))
    assert (first - last).abs().max() < 1e-9


@pytest.mark.parametrize("arguments", [{"area": 3.6}, {"cell": [3.6, 3.9, 0]}])
def test_a_layer_converges_on_the_bound_of_its_thickness(arguments):
    space = Crystal("Cu4", periodic=(True, True, False), thickness=1.6, **arguments)
    (X,) = space.sample(1, torch.Generator().manual_seed(1))
    trials, steps = [], [Step(0, "model", (), {}, {})]
    for n in range(40):
        found = Calculator(EMT)(space.decode(X))
        trial = Trial(n, n, f"k{n}", 1, "done", "x", X, energy=found.energy)
        trials.append(replace(trial, forces=found.forces, stress=found.stress))
        relaxation = FinalRelaxation(fmax=0.05, max_steps=40)
        queue = RelaxationQueue(relaxation, space, steps, trials)
        planned = queue.next_step()
        if planned is None:
            break
        (X,) = planned.X
        steps.append(Step(n + 1, "relaxation", planned.training_trials, {}, {}))
    (report,) = queue.reports()
    assert report.state == "converged on the bound `thickness`, 1.60 Å"
    assert report.max_force < 0.05 < trials[-1].forces.norm(dim=-1).max()

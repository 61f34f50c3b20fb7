from dataclasses import replace

import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from bostruct.campaign.planning.resampling import (
    PROMISING_ENERGY_GAIN,
    is_crystal_relaxed,
    is_promising,
    is_relaxed,
    resampling_rules,
    resampling_scale,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.campaign.records import training_structures
from bostruct.spaces import Crystal
from bostruct.structures import Structures, from_ase
from bostruct.structures.problem_scale import ProblemScale
from bostruct.surrogates.species import problem_scale
from tests.campaign import alloys
from tests.campaign.standin import campaign

SCALE = ProblemScale(energy=2.6, length=2.6)


def test_what_is_at_rest_by_its_movable_atoms():
    """Forces on fixed atoms, which stay, say nothing; unknown ones are not small."""
    forces = torch.zeros(6, 3, dtype=torch.float64)
    forces[1, 0] = 5.0  # fixed
    forces[3, 2] = -0.2
    forces[4:] = torch.nan
    structures = from_ase([Atoms("Cu2")] * 3)
    fixed = torch.tensor([False, True, False, False, False, False])
    structures = replace(structures, forces=forces, fixed=fixed)
    scale = ProblemScale(energy=2.0, length=2.0)
    assert is_relaxed(structures, scale) == [True, False, False]
    assert is_relaxed(structures, ProblemScale(energy=5.0, length=2.0)) == [True, True, False]
    assert is_relaxed(replace(structures, forces=None), scale) == [False] * 3


def test_a_stretched_crystal_without_forces_is_not_at_rest():
    def state(a, pressure=0.0, with_stress=True):
        atoms = bulk("Cu", a=a, cubic=True)
        atoms.calc = EMT()
        assert abs(atoms.get_forces()).max() < 1e-10
        atoms.get_stress()
        structures, space = from_ase(atoms), Crystal("Cu4", pressure=pressure)
        structures = structures if with_stress else replace(structures, stress=None)
        return is_crystal_relaxed(space, space.encode(structures), structures, SCALE)

    assert state(3.59) == [True]
    assert state(3.75) == [False]
    assert state(3.59, with_stress=False) == [False]
    assert state(3.59, pressure=0.1) == [False]


def test_what_is_worth_an_energy_is_well_below_all_known(log):
    """By the model's mean, whatever its uncertainty."""
    known = log.trials()
    X = torch.stack([one.X for one in known])
    space = campaign().components.space
    model = campaign().components.surrogate.fit(training_structures(known, space), space)
    mean = model.posterior(X.unsqueeze(-2)).mean.flatten()
    scale = ProblemScale(energy=3.0, length=2.0)
    gain = PROMISING_ENERGY_GAIN * 3.0
    for gap, worth in ((0.9 * gain, False), (1.1 * gain, True)):
        energies = mean.min() + gap + torch.arange(3)
        found = is_promising(model, X, energies, scale)
        assert bool(found[mean.argmin()]) is worth
        assert torch.equal(found, mean < energies.min() - gain)


def test_the_scale_is_that_of_the_low_structures(log):
    """Structures of forces and energies a hundred times larger change nothing of it."""
    space = campaign().components.space
    known = training_structures(log.trials(), space)
    order = known.energy.argsort()
    low = known[order[: (len(known) + 1) // 2].tolist()]
    high = known[order[(len(known) + 1) // 2 :].tolist()]
    absurd = replace(high, energy=100 + 100 * high.energy.abs(), forces=100 * high.forces)
    scales = [resampling_scale(Structures.cat([low, part]), space) for part in (high, absurd)]
    assert scales[0] == scales[1] == problem_scale(low, space)


def step_of(components):
    return StepContext(components, 0, torch.device("cpu"), 9, 1)


def test_in_a_continuous_space_all_count_and_the_unrelaxed_may_be_resampled(log):
    """What is pending or failed is as good as relaxed: it is not resampled."""
    known = log.trials()
    forces = [torch.full((3, 3), 0.0 if i % 2 else 9.0).double() for i in range(len(known))]
    known = [replace(t, forces=f) for t, f in zip(known, forces, strict=True)]
    pending = replace(known[0], number=8, state="running", energy=None)
    failed = replace(known[1], number=9, state="failed", energy=None)
    step, trials = step_of(campaign().components), [*known, pending, failed]
    data = training_data(step, known)
    model = step.components.surrogate.fit(data.structures)
    X, relaxed, promising = resampling_rules(step, model, data, trials, data.X[:3], SCALE)
    assert torch.equal(X, torch.stack([t.X for t in trials]))
    assert relaxed.tolist() == [False, True] * 4 + [True, True]
    assert promising.shape == (3,)


def test_in_a_discrete_space_failures_alone_may_be_repeated(screened):
    """The third evaluation failed once, while others succeeded after it."""
    trials = screened.trial_records()[:6]
    known = [trial for trial in trials if trial.state == "done"]
    step = step_of(alloys.campaign().components)
    data = training_data(step, known)
    X, relaxed, promising = resampling_rules(step, None, data, trials, data.X, SCALE)
    assert torch.equal(X, torch.stack([trial.X for trial in known]))
    assert len(X) == len(trials) - 1
    assert relaxed is promising is None

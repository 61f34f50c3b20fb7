"""The check is due when initial data come in and when forces have doubled; a run warns once."""

import warnings
from dataclasses import replace

import pytest
import torch
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from bostruct.campaign import Campaign, stop
from bostruct.campaign.planning.force_consistency import (
    contradiction_at_step,
    force_metrics,
    last_contradiction,
)
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import summary_text
from bostruct.candidates import BasinHopping
from bostruct.evaluators import Calculator, Function
from bostruct.spaces import Cluster, Crystal
from bostruct.structures import to_ase
from bostruct.surrogates import LocalGP
from tests.campaign.standin import GP

SPACE = Cluster("Cu4")


def krypton():
    return LennardJones(sigma=3.65, epsilon=0.0141, rc=10, smooth=True)


def images(n, factor, space=SPACE, calculator=EMT):
    """Return structures with their energies, and forces times a factor."""
    found = to_ase(space.decode(space.sample(n, torch.Generator().manual_seed(0))))
    for image in found:
        image.calc = calculator()
        energy, forces = image.get_potential_energy(), image.get_forces()
        image.calc = SinglePointCalculator(image, energy=energy, forces=factor * forces)
    return found


def copper(factor=1.0, n=2, count=8):
    return Campaign(
        SPACE,
        Calculator(EMT),
        LocalGP(max_inducing=40),
        search=BasinHopping(n_candidates=6, n_rounds=1, max_steps=10),
        stop=stop.Evaluations(n),
        initial_structures=images(count, factor),
    )


def test_wrong_forces_are_told_before_an_energy_is_paid_for(tmp_path):
    campaign = copper(factor=-1.0)
    with campaign.open(tmp_path / "run"):
        with pytest.warns(UserWarning, match="run: the forces contradict the energies: .* other"):
            (trial,) = campaign.ask()
        campaign.tell(trial, campaign.evaluator(trial.structures))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            campaign.ask()
    log = campaign.read(tmp_path / "run")
    summary = summarize(log)
    assert summary.contradiction == last_contradiction(log.steps()) != ""
    assert f"\nwarning      {summary.contradiction}\n" in summary_text(summary)
    assert summary.to_json()["contradiction"] == summary.contradiction


def test_a_warning_that_is_an_error_loses_no_step(tmp_path):
    campaign = copper(factor=-1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with campaign.open(tmp_path / "run"), pytest.raises(UserWarning, match="contradict"):
            campaign.ask()
        with campaign.open(tmp_path / "run"):
            (trial,) = campaign.ask()
    assert trial.step == 1


def test_right_forces_are_not(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = copper().run(tmp_path / "run")
    assert summarize(log).contradiction == ""
    assert "warning " not in summary_text(summarize(log))
    assert contradiction_at_step(log.steps()[1].hyperparameters) == ""
    assert contradiction_at_step(log.steps()[2].hyperparameters) is None, "not due"


@pytest.mark.parametrize(
    ("count", "q", "is_due"),
    [(7, 1, False), (8, 1, True), (9, 1, False), (9, 2, True), (6, 2, False)],
)
def test_is_due_when_the_forces_have_doubled(tmp_path, monkeypatch, count, q, is_due):
    """Or at the first step with a model, when no energy has been predicted yet."""
    campaign = copper(count=count)
    with campaign.open(tmp_path / "run"):
        trials = campaign.log.trials()
    step = StepContext(campaign.components, 0, torch.device("cpu"), 1, q)
    data = training_data(step, trials)
    assert force_metrics(step, data, trials)
    predicted = [replace(trial, mean=0.0) for trial in trials]
    assert bool(force_metrics(step, data, predicted)) == is_due
    other = replace(campaign.components, surrogate=GP())
    assert not force_metrics(replace(step, components=other), data, trials)
    monkeypatch.setattr(LocalGP, "force_consistency", lambda *_: None)
    assert not force_metrics(step, data, trials)


def test_stresses_in_another_unit_are_told_at_the_first_step(tmp_path):
    space = Crystal("Cu2Au2")

    def kilobar(atoms):
        atoms.calc = EMT()
        return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress() / (0.1 * GPa)

    search = BasinHopping(n_candidates=4, n_rounds=1, max_steps=5)
    gp = LocalGP(max_inducing=40)
    campaign = Campaign(space, Function(kilobar), gp, search=search, stop=stop.Evaluations(3))
    with pytest.warns(UserWarning, match="stresses contradict energies and forces.* in kbar"):
        log = campaign.run(tmp_path / "run")
    assert summarize(log).contradiction == last_contradiction(log.steps()) != ""


@pytest.mark.parametrize(
    ("formula", "calculator", "factor", "is_told"),
    [("Kr4", krypton, 1.0, False), ("Cu2Au2", EMT, 1.0, False), ("Cu2Au2", EMT, -1.0, True)],
)
def test_energies_of_strains_are_no_contradiction(tmp_path, formula, calculator, factor, is_told):
    """Forces say nothing of the cell: of crystals only what a factor reconciles is told."""
    space = Crystal(formula)
    known = images(8, factor, space, calculator)
    campaign = Campaign(space, Calculator(calculator), initial_structures=known)
    with campaign.open(tmp_path / "run"):
        trials = campaign.log.trials()
    step = StepContext(campaign.components, 0, torch.device("cpu"), 1, 1)
    metrics = force_metrics(step, training_data(step, trials), trials)
    assert bool(contradiction_at_step(metrics)) == is_told

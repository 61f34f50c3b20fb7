"""Campaigns under a pressure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from ase.units import GPa

from bostruct.acquisition import LowerConfidenceBound
from bostruct.campaign import stop
from bostruct.campaign.enthalpy import (
    PRESSURE_ENERGY,
    enthalpy_of,
    has_any_cell,
    has_variable_cell,
    is_crystal,
    pressure_energy,
)
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.planning.acquisition_context import acquisition_context, enthalpy_model
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data, with_enthalpies
from bostruct.campaign.progress import result_text
from bostruct.campaign.report.assessment import Assessment
from bostruct.campaign.report.export import images_to_export
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.errors import InputError
from bostruct.evaluators import Calculator, Evaluation, Function
from bostruct.runtime.executors import Workers
from bostruct.spaces import Cluster, Crystal
from bostruct.surrogates import fit_surrogate
from tests.campaign import crystals

PRESSURE = 100 * GPa


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pressure") / "run"
    campaign = crystals.campaign(PRESSURE)
    campaign.run(folder)
    return campaign.read(folder)


def enthalpy(trial):
    return trial.energy + PRESSURE * trial.atoms.get_volume()


def test_the_log_keeps_energies_and_the_enthalpy_is_known_without_a_space(log):
    trials = log.trials("done")
    assert [t.enthalpy for t in trials] == pytest.approx([enthalpy(t) for t in trials])
    bare = type(log)(log.folder).trials("done")
    assert [t.enthalpy for t in bare] == [t.enthalpy for t in trials]
    energies = log.structures().energy.tolist()
    assert energies == [t.energy for t in trials]
    assert verify_log(log).is_valid


def test_the_best_structure_is_that_of_the_lowest_enthalpy(log):
    trials = log.trials("done")
    best = min(trials, key=enthalpy)
    assert best.number != min(trials, key=lambda trial: trial.energy).number
    summary = summarize(log)
    assert summary.energy.best.trial == best.number
    assert summary.energy.best.energy == best.energy
    assert summary.energy.best.enthalpy == pytest.approx(enthalpy(best))
    ranked = summary.energy.assessment.best
    assert [each.trial for each in ranked] == [t.number for t in sorted(trials, key=enthalpy)][:5]
    assert ranked[1].energy_above_best == pytest.approx(
        sorted(map(enthalpy, trials))[1] - enthalpy(best)
    )
    crystal = summary.energy.crystals[best.number]
    assert crystal.volume_per_atom == pytest.approx(best.atoms.get_volume() / 2)
    assert f"{best.number:5d}  {crystal.space_group} (" in summary_text(summary)
    (image,) = images_to_export(log)
    assert image.info["trial"] == best.number
    assert image.info["enthalpy"] == pytest.approx(enthalpy(best))
    assert f"enthalpy {best.enthalpy:.6f} eV, energy {best.energy:.6f} eV" in summary_text(summary)
    assert f"Best enthalpy {best.enthalpy:.6f} eV" in final_text(summary)


def test_unevaluated_candidates_are_ranked_by_enthalpy(log):
    step = next(s for s in reversed(log.steps()) if s.file)
    tensors = log.posterior_tensors(step.number)
    found = Assessment.from_log(log).unevaluated
    expected = tensors["candidates.mean"] + pressure_energy(log.space, tensors["candidates.X"])
    for candidate in found:
        assert candidate.prediction.mean == pytest.approx(
            float(expected[candidate.candidate_index])
        )


def test_progress_counts_enthalpies(log):
    campaign = crystals.campaign(PRESSURE)
    lowest = min(trial.enthalpy for trial in log.trials("done"))
    with campaign.open(log.folder):
        progress = campaign._open_session.progress(0.0)
    assert min(progress.energies) == lowest
    assert stop.EnergyReached(lowest + 1e-9).reason(progress)
    assert not stop.EnergyReached(lowest - 1e-9).reason(progress)


def planned_context(log, pressure):
    components = crystals.campaign(pressure).components
    step = StepContext(components, seed=0, device=torch.device("cpu"), number=9, q=1)
    known = [t for t in log.trial_records() if t.is_known]
    data = training_data(step, known)
    model = fit_surrogate(components.surrogate, data, components.space)
    context = acquisition_context(step, model, with_enthalpies(step, data), known)
    return step, model, data, context


def test_the_surrogate_learns_energies_and_acquisitions_see_enthalpies(log):
    step, model, data, context = planned_context(log, PRESSURE)
    trials = log.trials("done")
    assert data.structures.energy.tolist() == [t.energy for t in trials]
    assert context.Y.tolist() == pytest.approx([enthalpy(t) for t in trials])
    assert context.best_f == pytest.approx(min(map(enthalpy, trials)))
    X = step.components.space.sample(4, torch.Generator().manual_seed(5))
    volumes = np.array([np.linalg.det(c) for c in step.components.space.decode(X).cell.numpy()])
    unshrunk = replace(context, model=context.model.model)
    bound = LowerConfidenceBound(kappa=1.3).build(unshrunk)(X.unsqueeze(-2))
    own = model.posterior(X.unsqueeze(-2))
    expected = 1.3 * own.variance.sqrt() - own.mean
    assert bound.detach().numpy() == pytest.approx(
        expected.flatten().detach().numpy() - PRESSURE * volumes
    )


def test_without_a_pressure_nothing_changes(log):
    step, model, data, context = planned_context(log, 0.0)
    assert enthalpy_model(step, model) is model
    assert with_enthalpies(step, data) is data
    assert torch.equal(context.Y, data.Y.squeeze(-1))


def test_a_campaign_without_a_pressure_keeps_no_volume(tmp_path):
    campaign = crystals.campaign()
    campaign.run(tmp_path / "run")
    for trial in campaign.read(tmp_path / "run").trials("done"):
        assert trial.properties == {}
        assert trial.enthalpy == trial.energy
    assert "nthalpy" not in summary_text(summarize(campaign.read(tmp_path / "run")))


def test_enthalpies_of_results():
    assert enthalpy_of(Evaluation(None)) is None
    assert enthalpy_of(Evaluation(2.0)) == 2.0
    assert enthalpy_of(Evaluation(2.0, properties={PRESSURE_ENERGY: 3.0})) == 5.0


def test_lines_of_results_tell_both(log):
    trial = log.trials("done")[0]
    result = Evaluation(2.0, properties={PRESSURE_ENERGY: 3.0})
    text = result_text(trial, result, lowest_energy=4.5)
    assert text == "trial 0, 2.000000 eV, enthalpy 5.000000 eV; best 4.500000 eV"


def test_interrupted_runs_under_a_pressure_go_on_as_one(tmp_path, log):
    folder = tmp_path / "run"
    crystals.campaign(PRESSURE, n=5).run(folder)
    crystals.campaign(PRESSURE).run(folder)
    assert crystals.campaign(PRESSURE).read(folder).fingerprint() == log.fingerprint()


class NoStress(EMT):
    implemented_properties = ("energy", "forces")


@pytest.mark.parametrize("evaluator", [Calculator(NoStress), Calculator(EMT, with_stress=False)])
def test_refuses_a_pressure_without_stress(evaluator):
    message = "`evaluator` must return stresses where the space has a pressure, got one without"
    with pytest.raises(InputError, match=message):
        crystals.campaign(PRESSURE, evaluator=evaluator)
    assert crystals.campaign(0.0, evaluator=evaluator)


def test_the_first_energy_without_a_stress_ends_a_run_under_a_pressure(tmp_path):
    calls = []

    def energy(atoms):
        calls.append(1)
        return float(len(calls))

    campaign = crystals.campaign(PRESSURE, evaluator=Function(energy))
    for _ in range(2):
        with pytest.raises(InputError, match=r"must return stresses .* got none for trial 0"):
            campaign.run(tmp_path / "run")
    assert len(calls) == 1


def test_show_warns_where_there_are_no_stresses(tmp_path, log):
    campaign = crystals.campaign(n=5, evaluator=Calculator(NoStress))
    campaign.run(tmp_path / "run")
    sentence = "the evaluator returned no stress: the cell is learnt from energies and forces alone"
    assert sentence in summary_text(summarize(campaign.read(tmp_path / "run")))
    assert "no stress" not in summary_text(summarize(log))


def test_workers_return_stresses(tmp_path):
    campaign = crystals.campaign(PRESSURE, n=4, executor=Workers(2))
    campaign.run(tmp_path / "run")
    trials = campaign.read(tmp_path / "run").trials("done")
    assert len(trials) == 4
    assert all(trial.stress is not None for trial in trials)


def test_what_varies_of_a_cell():
    cell = [4.0, 4.0, 4.0]
    layer, given = Crystal("Cu4", periodic=(True, True, False)), Crystal("Cu4", cell=cell)
    swelling = Crystal("Cu4", cell=cell, variable="volume")
    spaces = (Crystal("Cu4"), crystals.Cells(), layer, swelling, given, Cluster("Cu4"))
    assert [is_crystal(space) for space in spaces] == [True] * 5 + [False]
    assert [has_variable_cell(space) for space in spaces] == [True] * 4 + [False] * 2
    assert [has_any_cell(space) for space in spaces] == [True] * 2 + [False] * 4

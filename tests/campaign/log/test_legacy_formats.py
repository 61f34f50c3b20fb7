"""Stored folders of log formats 1 to 4 are shown, verified and exported; 1 to 3 never written."""

import pytest
import torch
from ase.calculators.emt import EMT

import bostruct as bo
from bostruct.campaign import FinalRelaxation
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.legacy_formats import upgrade_description
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import retract_trial
from bostruct.campaign.log.verify import verify_log
from bostruct.campaign.report import export
from bostruct.campaign.report.export_front import write_front_files
from bostruct.campaign.report.summary import summarize
from bostruct.campaign.report.text import final_text, summary_text
from bostruct.errors import LogError
from tests.campaign import alloys
from tests.campaign.standin import GP, Box, Draw, campaign, start


def local_gp_campaign():
    """Return the campaign of the stored folders, with the surrogate and tolerances of that time."""
    wall = bo.surrogates.PairRepulsion(strength=20.0)
    alone = {"pair_term": None, "embedding_term": None, "species_constants": None}
    tolerances = {"fmax": 0.05, "max_step": 0.2, "min_improvement": 1e-3}
    return bo.Campaign(
        space=bo.spaces.Cluster("Cu3"),
        evaluator=bo.evaluators.Calculator(EMT),
        surrogate=bo.surrogates.LocalGP(
            n_max=2, l_max=1, max_inducing=4, pair_repulsion=wall, **alone
        ),
        search=bo.candidates.BasinHopping(
            n_rounds=1, max_time_fraction=1e-9, n_candidates=4, **tolerances
        ),
        stop=bo.stop.Evaluations(4),
        final_relaxation=FinalRelaxation(n_structures=1, fmax=0.05, max_steps=1),
    )


def alloy_campaign():
    return alloys.campaign(
        space=alloys.space(step=1 / 4),
        n_initial=3,
        evaluator=alloys.Alloy(broken=(2,), absurd=(4,), mixing=True),
    )


def test_format_1(stored):
    """It was written before structures could be given and relaxed."""
    log = Log(stored("format1"), Box(), GP())
    assert log.format == 1
    assert len(log.trials("done")) == 5
    assert [step.kind for step in log.steps()] == ["random", "model", "model", "model"]
    assert not any(trial.is_initial_data for trial in log.trials())
    assert log.relaxations() == []
    assert "finished, 5 evaluations" in summary_text(summarize(log))
    assert all("could not read" in problem for problem in verify_log(log).problems), "no posteriors"


def test_format_2(stored):
    """A given structure with its energy, one without, a model, and a final relaxation."""
    folder = stored("format2")
    log = Log(folder, Box(), GP())
    kinds = ["initial_data", "initial_structures", *["model"] * 4, "relaxation"]
    assert [step.kind for step in log.steps()] == kinds
    trials = log.trials()
    generators = ["initial_structures"] * 2 + ["random"] + ["drawn"] * 4 + ["relaxation"]
    assert [trial.generator for trial in trials] == generators
    assert [trial.is_initial_data for trial in trials] == [True] + [False] * 7
    (report,) = log.relaxations()
    assert report.n_evaluations == 1
    assert report.relaxed_energy == trials[report.relaxed_trial].energy
    found = verify_log(log)
    assert found.is_valid, found
    assert (found.n_trials, found.n_rebuilt) == (8, 4)
    tensors = log.posterior_tensors(3)
    assert tensors["training_trials"].tolist() == list(log.steps()[3].training_trials)
    (trial,) = [trial for trial in trials if trial.step == 3]
    i = trial.candidate_index
    assert tensors["candidates.latent_variance"][i] == trial.latent_variance
    assert tensors["candidates.predictive_variance"][i] == trial.predictive_variance
    assert log.candidate_generators(3) == ["drawn"] * 3
    assert final_text(summarize(log)).startswith("Best energy ")
    assert "1 given" in summary_text(summarize(log))
    mine = campaign(
        n_initial=1,
        initial_structures=start(True, None),
        search=Draw(3),
        final_relaxation=FinalRelaxation(n_structures=1, max_steps=2, fmax=0.01),
        acquisition=bo.acquisition.LowerConfidenceBound(kappa=1.0),
    )
    assert len(mine.read(folder).trials()) == 8


@pytest.mark.parametrize("name", ["format3", "format4"])
def test_format_3_and_4_with_a_local_gp(stored, name):
    folder = stored(name)
    log = open_log(folder)
    found = verify_log(log)
    assert found.is_valid, found
    assert found.n_rebuilt == 1
    assert local_gp_campaign().read(folder).fingerprint() == log.fingerprint()
    structures = summarize(log).energy.final_relaxation.structures
    assert [report.n_evaluations for report in structures] == [1]
    (image,) = export.images_to_export(log)
    assert image.get_potential_energy() == summarize(log).energy.best.energy
    assert log.structures().energy.shape == (4,)


@pytest.mark.parametrize("name", ["format3_objectives", "format4_objectives"])
def test_format_3_and_4_with_objectives(stored, tmp_path, name):
    log = alloy_campaign().read(stored(name))
    assert log.optimization_config.outcome_names == ("enthalpy", "modulus", "price")
    assert log.optimization_config.valid_ranges["modulus"] == (1.0, 600.0)
    found = verify_log(log)
    assert found.is_valid, found
    assert (found.n_trials, found.n_rebuilt) == (6, 3)
    states = ["done", "failed", "done", "done", "retracted", "done"]
    assert [trial.state for trial in log.trials()] == states
    assert {outcome.name: outcome.is_exact for outcome in log.trials()[5].outcome_predictions} == {
        "enthalpy": False,
        "modulus": False,
        "price": True,
    }
    summary = summarize(open_log(log.folder))
    assert [structure.point.trial for structure in summary.pareto.structures] == [
        point.trial for point in log.pareto_front().points
    ]
    assert "not trusted  " in summary_text(summary)
    written = write_front_files(log, tmp_path / "front")
    assert {"front.csv", "front.extxyz", "entries.json"} <= set(written)


@pytest.mark.parametrize("name", ["format1", "format2", "format3", "format3_objectives"])
def test_folders_are_not_written(stored, name):
    folder = stored(name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    message = (
        r"has log format \d, which is read and not written\. Start in a new folder, with its "
        r"energies: `initial_structures='.*campaign\.db'`"
    )
    with pytest.raises(LogError, match=message):
        local_gp_campaign().run(folder, seed=3)
    with pytest.raises(LogError, match=message):
        retract_trial(folder, 0, "no")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    after.pop(folder / "campaign.lock", None)
    assert after == before


def test_energies_start_a_new_campaign(stored):
    old = stored("format3")
    space = bo.spaces.Cluster("Cu3")
    new = bo.Campaign(space, bo.evaluators.Calculator(EMT), initial_structures=old / "campaign.db")
    results = new.components.initial_data.results
    energies = [trial.energy for trial in Log(old).trials("done")]
    assert sorted(result.energy for result in results) == pytest.approx(sorted(energies))
    X = torch.stack([trial.X for trial in Log(old, space).trials("done")])
    assert space.is_duplicate(X, new.components.initial_data.X_evaluated).all()


def test_classes_of_the_user_stay_as_they_were_stored():
    description = {
        "space": {"kind": "Box", "edge": 6.0, "radii": 1},
        "surrogate": {"kind": "GP"},
        "evaluator": {"kind": "Function", "function": "f", "arguments": {"steps": 3}},
        "start": {"given": 1, "evaluated": 0, "sha256": "x"},
        "batch": 2,
    }
    assert upgrade_description(description) == {
        "space": {"kind": "Box", "edge": 6.0, "radii": 1},
        "surrogate": {"kind": "GP"},
        "evaluator": {"type": "Function", "function": "f", "arguments": {"steps": 3}},
        "initial_data": {"n_with_energy": 1, "n_without_energy": 0, "sha256": "x"},
        "batch_size": 2,
    }

"""What `show` tells of a convex hull."""

from dataclasses import replace

import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from bostruct.campaign import stop
from bostruct.campaign.report.export import images_to_export, trial_energies_above_hull
from bostruct.campaign.report.hull_summary import HullSummary
from bostruct.campaign.report.summary import summarize
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL
from tests.campaign import chemical_systems

REFERENCES = {"Cu3Au": -0.5, "CuAu": 0.4}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary") / "run"
    campaign = chemical_systems.campaign(references=REFERENCES)
    campaign.run(folder, stop=stop.Evaluations(6), progress=False)
    return campaign.read(folder)


@pytest.fixture(scope="module")
def diagram(log):
    trials = log.trials("done")
    entries = [PDEntry(Composition(str(t.atoms.symbols)), t.energy) for t in trials]
    given = [
        PDEntry(Composition(formula), e * Composition(formula).num_atoms)
        for formula, e in REFERENCES.items()
    ]
    return PhaseDiagram([*entries, *given])


def test_phases_are_those_of_pymatgen(log, diagram):
    hull = HullSummary.from_log(log)
    stable = {Composition(phase.formula).reduced_formula for phase in hull.stable}
    assert stable == {entry.composition.reduced_formula for entry in diagram.stable_entries}
    assert "Cu3Au" in {phase.formula for phase in hull.stable}
    for phase in hull.phases:
        composition = Composition(phase.formula)
        energies = [
            e.energy_per_atom
            for e in diagram.all_entries
            if e.composition.reduced_formula == composition.reduced_formula
        ]
        above = min(energies) - diagram.get_hull_energy_per_atom(composition)
        assert phase.energy_above_hull == pytest.approx(above, abs=1e-9)
        given = [e for name, e in REFERENCES.items() if Composition(name) == composition]
        assert (phase.trial is None) == (given == [min(energies)])
        assert bool(phase.space_group) == (phase.trial is not None)
    above = [phase.energy_above_hull for phase in hull.phases]
    assert above == sorted(above)
    assert hull.elements == ("Cu", "Au")
    assert len(hull.points) == len(log.trials("done"))


def test_the_summary_names_formulas_and_the_best(log):
    summary = summarize(log)
    assert summary.names[0] in ("Cu", "Au")
    assert summary.energy.best.energy_above_hull == 0
    best = summary.energy.assessment.best
    assert [each.energy_above_best for each in best] == sorted(e.energy_above_best for e in best)
    assert summary.energy.assessment.differences == ()
    assert summary.to_json()["energy"]["hull"]["elements"] == ["Cu", "Au"]


def test_the_last_trial_that_lowered_the_hull(log):
    lowered = HullSummary.from_log(log).last_lowered
    trials = log.trials("done")
    assert 0 <= lowered <= trials[-1].number


def test_exports_carry_the_energy_above_the_hull(log):
    above = trial_energies_above_hull(log)
    images = images_to_export(log, include_all=True)
    assert len(images) == len(log.trials("done"))
    for image in images:
        assert image.info[ENERGY_ABOVE_HULL] == above[image.info["trial"]]
    stable = images_to_export(log)
    assert {image.info["trial"] for image in stable} == {n for n, e in above.items() if e == 0}
    bare = type(log)(log.folder)
    assert trial_energies_above_hull(bare) == above


def test_references_may_come_after_the_fact(log, tmp_path):
    """What `show` and `export` say is what they say of a campaign that had them; nothing stays."""
    before = log.fingerprint()
    added = log.with_references({"CuAu": -0.9, "Cu": -0.6})
    hull = HullSummary.from_log(added)
    given = {phase.formula: phase for phase in hull.phases if phase.trial is None}
    assert given["CuAu"].is_stable
    assert given["Cu"].is_stable
    lowest = next(phase for phase in hull.phases if phase.formula == "CuAu")
    assert lowest.trial is None
    above = trial_energies_above_hull(added)
    assert all(above[n] >= e for n, e in trial_energies_above_hull(log).items())
    stable = images_to_export(added)
    assert {str(image.symbols) for image in stable} == {"Au"}
    assert summarize(added).energy.hull == hull
    everything = added.with_references({"Au": -0.7})
    assert len(images_to_export(everything)) == 1  # the nearest to the hull
    assert log.references.entries == tuple(REFERENCES.items())
    assert log.fingerprint() == type(log)(log.folder).fingerprint() == before


def test_without_an_end_there_is_no_hull(tmp_path):
    campaign = chemical_systems.campaign()
    campaign.run(tmp_path / "run", stop=stop.Evaluations(1), progress=False)
    log = campaign.read(tmp_path / "run")
    hull = HullSummary.from_log(log)
    assert len(hull.missing) == 1
    assert hull.phases == hull.points == ()
    assert len(images_to_export(log)) == 1
    assert replace(hull, missing=()).stable == ()


def test_formulas_are_spelt_as_those_of_the_space(log):
    hull, formulas = HullSummary.from_log(log), log.space.formulas
    for phase in hull.phases:
        if phase.trial is not None:
            trial = next(t for t in log.trials("done") if t.number == phase.trial)
            assert phase.formula == formulas[int(log.space.member_index(trial.X))]
    assert {"Cu3Au", "CuAu"} <= {*formulas, *(phase.formula for phase in hull.phases)}


def test_a_reference_entry_takes_the_spelling_of_the_space(tmp_path):
    references = {"AuCu": -0.5, "Au1Cu2": -0.4}
    campaign = chemical_systems.campaign(references=references)
    campaign.run(tmp_path / "run", stop=stop.Evaluations(2), progress=False)
    hull = HullSummary.from_log(campaign.read(tmp_path / "run"))
    given = {phase.formula for phase in hull.phases if phase.trial is None}
    assert given == {"CuAu", "Au1Cu2"}

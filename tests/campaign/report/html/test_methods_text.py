import re
from dataclasses import replace

import pytest
from ase.calculators.emt import EMT

import bostruct as bo
from bostruct import acquisition, candidates, spaces, surrogates
from bostruct.campaign.report.html import methods_text as module
from bostruct.campaign.report.html.methods_text import methods_text, subject_text
from bostruct.campaign.report.summary import FinalRelaxationSummary, summarize
from bostruct.evaluators import Calculator


def written(log, **parts):
    summary = summarize(log)
    campaign = bo.Campaign(spaces.Cluster("Cu15"), Calculator(EMT), **parts)
    return methods_text(replace(summary, description=campaign.description()), n_without_model=4)


@pytest.mark.parametrize(
    ("table", "package"),
    [
        (module.ACQUISITIONS, acquisition),
        (module.SEARCHES, candidates),
        (module.SPACES, spaces),
        (module.NAMED_COORDINATES, spaces),
        (module.SURROGATES, surrogates),
    ],
)
def test_what_is_named_exists(table, package):
    assert all(hasattr(package, name) for name in table)


def test_it_says_what_was_used(log):
    found = written(log, acquisition=acquisition.LogExpectedImprovement())
    text = " ".join(found.sentences)
    assert "Cu15, in 8 evaluations, 4 of them chosen without a model, with seed 0." in text
    assert "Cu15" in text
    assert "the logarithm of expected improvement" in text
    assert "lower confidence bound" not in text
    cited = {int(n) for part in re.findall(r"\[([\d, ]+)\]", text) for n in part.split(",")}
    assert cited == set(range(1, len(found.references) + 1))
    assert any("Jones" in citation.text for citation in found.references)
    assert not any("Srinivas" in citation.text for citation in found.references)


def test_the_default_names_kappa_and_the_search(log):
    text = " ".join(written(log).sentences)
    assert "the lower confidence bound (κ = 1.3, adapted to" in text
    assert "basin hopping" in text
    assert "effective medium theory" in text


def test_of_parts_that_are_not_known_nothing_is_claimed(log):
    found = methods_text(summarize(log))
    text = " ".join(found.sentences)
    assert "The surrogate model was `GP`" not in text or "Rasmussen" not in text
    assert "the search `Draw`" in text
    assert "unnamed" not in text


def test_a_model_that_has_chosen_nothing_is_not_claimed(log):
    found = methods_text(summarize(log), n_without_model=8)
    text = " ".join(found.sentences)
    assert "8 of them chosen without a model" in text
    assert "surrogate" not in text
    assert "selected" not in text


def test_relaxations_that_converged_are_told(log):
    summary = summarize(log)
    relaxed = FinalRelaxationSummary(0.05, 2, ())
    energy = replace(summary.energy, final_relaxation=relaxed)
    text = " ".join(methods_text(replace(summary, energy=energy)).sentences)
    assert "At the end 2 of the best structures were relaxed until no force exceeded 0.05" in text
    coordinates = {**summary.description, "space": {"type": "Coordinates"}}
    text = " ".join(
        methods_text(replace(summary, energy=energy, description=coordinates)).sentences
    )
    assert "by a coordinate exceeded 0.05 eV per radian" in text
    assert "eV/Å" not in text
    energy = replace(energy, final_relaxation=replace(relaxed, n_converged=0))
    text = " ".join(methods_text(replace(summary, energy=energy)).sentences)
    assert "relaxed" not in text


def test_objectives_are_told(screened):
    (first, *_) = methods_text(summarize(screened)).sentences
    assert "to minimize enthalpy, maximize modulus and minimize price in 15 evaluations" in first


def test_subjects():
    member = {"atomic_radii": {"Cu": 1.3, "Au": 1.4}}
    space = {"type": "ChemicalSystem", "members": [member]}
    assert subject_text({"space": space}) == "ChemicalSystem Cu-Au"
    assert subject_text({"space": {"type": "Composition", "elements": ["Cu", "Pd"]}}) == (
        "Composition Cu-Pd"
    )
    assert subject_text({"space": {"type": "Surface", "formula": ""}}, "COPt4") == "Surface COPt4"

import pytest

from bostruct.bench.uncertainty.method_predictions import measure
from bostruct.bench.uncertainty.score_rows import row, verdict
from bostruct.bench.uncertainty.split import split
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def sets():
    return split(dimers(1000), train=10, calibrate=300)


def test_a_row_says_it_all(sets):
    outcome = measure("mine", Fake(claim=0.2), sets)
    found = row(outcome, "test", "energy", outcome.predict / 2)
    assert found.verdict == "honest"
    assert found.unit == "meV/atom"
    assert found.cost == pytest.approx(2.0)
    assert found.predict_ms == pytest.approx(1000 * outcome.predict)
    assert found.rmse == found.scores.rmse
    assert not found.shifted
    assert row(outcome, "high energy", "energy", 1.0).shifted
    forces = row(outcome, "test", "forces", 1.0, seed=3)
    assert (found.seed, forces.seed) == (0, 3)
    assert found.scored
    assert forces.unit == "eV/Å"
    assert forces.cost == pytest.approx(outcome.force_predict / outcome.predict)


def test_every_number_is_in_the_flat_row(sets):
    shy = measure("shy", Fake(forces=False), sets)
    bare = row(shy, "test", "forces", 1.0)
    full = row(shy, "test", "energy", 1.0)
    assert bare.scores is None
    assert bare.verdict == ""
    assert not bare.scored
    assert list(bare.flat()) == list(full.flat())
    assert bare.flat()["rmse"] == bare.rmse
    assert bare.flat()["z2"] is None
    assert full.flat()["z2"] == full.scores.z2


def test_nothing_to_say(sets):
    assert row(measure("m", Fake(species=()), sets), "test", "energy", 1.0) is None
    assert row(measure("m", Fake(), sets), "elsewhere", "energy", 1.0) is None


@pytest.mark.parametrize(
    ("z2", "place", "word"),
    [
        (1.0, "test", "honest"),
        (1.3, "test", "overconfident"),
        (1.3, "hot", "honest"),
        (2.1, "hot", "overconfident"),
        (0.7, "test", "cautious"),
        (0.4, "hot", "cautious"),
    ],
)
def test_verdicts(z2, place, word):
    assert verdict(z2, place) == word

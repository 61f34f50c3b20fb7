import pytest

from bostruct.bench.uncertainty.method_predictions import evaluate_method
from bostruct.bench.uncertainty.score_rows import calibration_verdict, score_row
from bostruct.bench.uncertainty.split import split_structures
from tests.bench.uncertainty.fakes import Fake, dimers


@pytest.fixture(scope="module")
def sets():
    return split_structures(dimers(1000), n_train=10, n_calibrate=300)


def test_a_row_says_it_all(sets):
    outcome = evaluate_method("mine", Fake(claim=0.2), sets)
    found = score_row(outcome, "test", "energy", outcome.predict_seconds / 2)
    assert found.verdict == "calibrated"
    assert found.unit == "meV/atom"
    assert found.cost == pytest.approx(2.0)
    assert found.predict_ms == pytest.approx(1000 * outcome.predict_seconds)
    assert found.rmse == found.scores.rmse
    assert not found.is_shifted
    assert score_row(outcome, "high energy", "energy", 1.0).is_shifted
    forces = score_row(outcome, "test", "forces", 1.0, seed=3)
    assert (found.seed, forces.seed) == (0, 3)
    assert found.has_scores
    assert forces.unit == "eV/Å"
    assert forces.cost == pytest.approx(outcome.force_predict_seconds / outcome.predict_seconds)


def test_every_number_is_in_the_flat_row(sets):
    shy = evaluate_method("shy", Fake(forces=False), sets)
    bare = score_row(shy, "test", "forces", 1.0)
    full = score_row(shy, "test", "energy", 1.0)
    assert bare.scores is None
    assert bare.verdict == ""
    assert not bare.has_scores
    assert list(bare.to_dict()) == list(full.to_dict())
    assert bare.to_dict()["rmse"] == bare.rmse
    assert bare.to_dict()["z2"] is None
    assert full.to_dict()["z2"] == full.scores.z2


def test_nothing_to_say(sets):
    assert score_row(evaluate_method("m", Fake(species=()), sets), "test", "energy", 1.0) is None
    assert score_row(evaluate_method("m", Fake(), sets), "elsewhere", "energy", 1.0) is None


@pytest.mark.parametrize(
    ("z2", "place", "word"),
    [
        (1.0, "test", "calibrated"),
        (1.3, "test", "overconfident"),
        (1.3, "hot", "calibrated"),
        (2.1, "hot", "overconfident"),
        (0.7, "test", "underconfident"),
        (0.4, "hot", "underconfident"),
    ],
)
def test_verdicts(z2, place, word):
    assert calibration_verdict(z2, place) == word

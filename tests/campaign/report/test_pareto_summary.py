import json

import pytest

from bostruct.campaign.report.pareto_summary import summarize_front as described
from bostruct.campaign.report.pareto_summary import summarize_step
from bostruct.evaluators.alloys.convex_hull import ENERGY_ABOVE_HULL


@pytest.fixture
def points(screened):
    return {point.trial: point for point in screened.pareto_front().evaluated}


def test_what_was_wanted_and_found(screened):
    front = screened.pareto_front()
    best = front.points[0].trial
    found = json.loads(json.dumps(described(front, {best: "AuCu"}, {}), allow_nan=False))
    assert found["goals"] == front.optimization_config.description()
    assert found["units"] == {"enthalpy": "eV/atom", "modulus": "GPa", "price": "$/kg"}
    assert found["front"]["points"][0]["formula"] == "AuCu"
    assert found["front"]["points"][1]["formula"] == ""
    assert found["feasible"] == front.history.n_feasible[-1]
    assert found["feasible_share"] == found["feasible"] / 15
    (doubt,) = found["doubted"]
    assert doubt["trial"] == 5
    assert "outside its valid range" in doubt["reason"]


def test_points_have_energies_above_the_hull_where_some_are_known(screened):
    front = screened.pareto_front()
    best = front.points[0].trial
    points = described(front, {}, {best: 0.02})["front"]["points"]
    assert [each[ENERGY_ABOVE_HULL] for each in points] == [0.02] + [None] * (len(points) - 1)
    assert all(ENERGY_ABOVE_HULL not in p for p in described(front, {}, {})["front"]["points"])


def test_a_step_has_predictions_and_what_was_found_of_each_outcome(screened, points):
    step, trials = screened.steps()[-1], screened.trial_records()
    (found,) = summarize_step(step, trials, screened.pareto_front(), points)
    trial = trials[-1]
    assert (found["trial"], found["state"]) == (14, "done")
    told = screened.predictions(outcome="modulus")[-1].prediction
    modulus = found["outcomes"]["modulus"]
    assert (modulus["mean"], modulus["calibrated"]) == (told.mean, told.calibrated)
    assert modulus["found"] == trial.properties["modulus"]
    price = found["outcomes"]["price"]
    assert (price["exact"], price["mean"]) == (True, None)
    (sure,) = [each.mean for each in trial.said if each.exact]
    assert price["found"] == pytest.approx(sure)


def test_what_failed_or_is_doubted_has_nothing_found(screened, points):
    trials, steps = screened.trial_records(), screened.steps()
    front = screened.pareto_front()
    first = summarize_step(steps[0], trials, front, points)
    assert first[2]["reason"] == "it broke"
    assert first[2]["outcomes"]["enthalpy"]["found"] is None
    (absurd,) = summarize_step(steps[trials[5].step], trials, front, points)
    assert absurd["outcomes"]["modulus"]["found"] is None
    assert absurd["outcomes"]["modulus"]["mean"] is not None
    assert absurd["outcomes"]["enthalpy"]["found"] is not None


def test_what_is_pending_has_its_prediction(screened, points):
    del points[14]  # as if it were not evaluated yet
    trials = screened.trial_records()
    (found,) = summarize_step(screened.steps()[-1], trials, screened.pareto_front(), points)
    said = {each.name: each for each in trials[14].outcome_predictions}
    modulus = found["outcomes"]["modulus"]
    assert modulus["found"] is None
    assert modulus["mean"] == said["modulus"].mean
    assert modulus["sigma"] == pytest.approx(said["modulus"].predictive_variance ** 0.5)

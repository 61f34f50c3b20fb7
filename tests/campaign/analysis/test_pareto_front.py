import math
from dataclasses import replace

import pytest
import torch

from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.analysis.pareto_front import ParetoFront, resolve_reference_point
from bostruct.campaign.records import OutcomePrediction, Step
from bostruct.errors import InputError
from bostruct.objectives import Objective, OptimizationConfig, hypervolume
from tests.campaign.analysis.test_hypervolume_history import GOALS, made, random_trials


def read(trials, steps=(), goals=GOALS, **options):
    return ParetoFront.from_trials(trials, trials, steps, goals, **options)


def test_of_a_log(screened):
    found = screened.pareto_front()
    assert [point.evaluation for point in found.evaluated] == list(range(1, 16))
    assert found.evaluated[2].state == "failed"
    assert set(found.evaluated[2].raw_outcomes) == {"enthalpy", "modulus", "price"}
    assert found.evaluated[2].raw_outcomes["modulus"] is None
    assert found.evaluated[5].raw_outcomes["modulus"] is None, "-2992 is not believed"
    assert found.evaluated[5].raw_outcomes["enthalpy"] is not None
    assert found.evaluated[5].exact_names == {"price"}
    assert found.learned_names == ("enthalpy", "modulus")
    (doubt,) = found.quarantined
    assert (doubt.trial, doubt.name, doubt.value) == (5, "modulus", -2992.0)
    assert found.points
    assert {5, 2}.isdisjoint(point.trial for point in found.points)
    enthalpies = [point.raw_outcomes["enthalpy"] for point in found.points]
    assert enthalpies == sorted(enthalpies)
    assert max(enthalpies) <= -0.01
    assert found.hypervolume == found.history.hypervolume[-1] > 0


def test_nothing_that_is_bettered_infeasible_doubted_or_taken_back_is_on_it():
    trials = [
        *random_trials(60),
        *made((5.0, -20.0), "retracted", "failed", "running"),
        *made((0.19, -0.9)),
    ]
    found = read(trials)
    best = {(p.raw_outcomes["a"], p.raw_outcomes["b"]) for p in found.points}
    good = [
        (t.properties["a"], t.properties["b"])
        for t in trials
        if t.state == "done" and t.properties["a"] >= 0.2 and t.properties["b"] > -10
    ]
    bettered = {y for y in good for z in good if z != y and z[0] >= y[0] and z[1] <= y[1]}
    assert best == set(good) - bettered
    assert [p.trial for p in found.evaluated if p.is_non_dominated] == sorted(
        p.trial for p in found.points
    )


def test_what_was_predicted_is_from_before(screened):
    found = screened.pareto_front()
    told = {each.trial: each for each in screened.predictions(outcome="modulus")}
    assert not found.evaluated[0].predictions
    for point in found.evaluated[4:]:
        assert point.predictions.get("modulus") == told[point.trial].prediction
        assert "price" not in point.predictions


def test_raw_values_of_what_is_judged_as_a_logarithm(screened):
    point = screened.pareto_front().points[0]
    trial = screened.trial_records()[point.trial]
    (said,) = [each for each in trial.outcome_predictions if each.is_exact]
    assert point.raw_outcomes["price"] == pytest.approx(10.0**said.mean)


def test_reference_of_the_last_step_or_of_the_user(screened):
    found = screened.pareto_front()
    logged = screened.steps()[-1].hyperparameters
    assert found.reference_source == "step"
    assert found.reference_point["enthalpy"] == logged["reference_of_enthalpy"]
    assert math.log10(found.reference_point["price"]) == pytest.approx(logged["reference_of_price"])
    wanted = {"enthalpy": 0.0, "modulus": 140.0, "price": 40000.0}
    other = screened.pareto_front(wanted)
    assert other.reference_source == "user"
    assert other.reference_point == pytest.approx(wanted)
    Y = outcome_matrix(screened.trial_records(), screened.optimization_config)
    reference = torch.tensor([0.0, 140.0, -math.log10(40000.0)], dtype=torch.float64)
    assert other.hypervolume == pytest.approx(
        hypervolume(Y, screened.optimization_config, reference)
    )
    assert {p.trial for p in other.points} == {p.trial for p in found.points}


def test_reference_from_the_data_before_there_is_a_model():
    found = read(made((0.5, 0.5), (0.9, 0.7)))
    assert found.reference_source == "data"
    assert found.reference_point == pytest.approx({"a": 0.46, "b": 0.72})
    nothing = read(made("failed", "running"))
    assert (nothing.reference_point, nothing.reference_source) == ({}, "")
    assert (nothing.hypervolume, nothing.points) == (0.0, ())
    assert nothing.history.hypervolume == (0.0,)


def test_the_users_reference_counts_without_data():
    goals = OptimizationConfig((Objective("a", "maximize", reference=1.0),))
    Y = torch.full((1, 1), torch.nan, dtype=torch.float64)
    assert resolve_reference_point(Y, (), goals)[0].tolist() == [1.0]


def test_the_last_step_with_a_reference_counts():
    numbers = {"reference_of_a": 0.1, "reference_of_b": 2.0}
    steps = [
        Step(0, "model", (), {"reference_of_a": 9.0, "reference_of_b": 9.0}, {}),
        Step(1, "model", (), numbers, {}),
        Step(2, "random", (), {}, {}),
    ]
    found = read(made((0.5, 0.5)), steps)
    assert found.reference_point == {"a": 0.1, "b": 2.0}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"enthalpy": 0.0}, "reference` must name every objective, got enthalpy"),
        ({}, "got none"),
        (
            {"enthalpy": 0.0, "modulus": 1.0, "price": -1.0},
            "reference` must have a place on the scale of 'price', got -1.0",
        ),
    ],
)
def test_references_that_are_refused(screened, wanted, message):
    with pytest.raises(InputError, match=message):
        screened.pareto_front(wanted)


def test_a_campaign_without_goals_has_no_front(log):
    with pytest.raises(InputError, match="log` must be one of a campaign with obj"):
        log.pareto_front()


def test_a_retracted_trial_leaves_the_front(screened):
    trials = screened.trial_records()
    best = screened.pareto_front().points[0].trial
    taken = [
        replace(t, state="retracted", energy=None, reason="no") if t.number == best else t
        for t in trials
    ]
    found = ParetoFront.from_trials(taken, trials, screened.steps(), screened.optimization_config)
    assert best not in {point.trial for point in found.points}
    assert ("all", "no") in {(each.name, each.reason) for each in found.quarantined}
    assert len(found.history) == len(screened.pareto_front().history)


def test_an_exact_outcome_of_a_failed_trial_is_known_and_not_on_a_front():
    (trial,) = made("failed")
    trial = replace(trial, outcome_predictions=(OutcomePrediction("b", 0.5, is_exact=True),))
    found = read([trial])
    assert found.evaluated[0].raw_outcomes == {"a": None, "b": 0.5}
    assert not found.points

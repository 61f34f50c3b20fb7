import pytest

from bostruct.campaign.report.pareto_summary import ParetoSummary, summarize_outcomes


@pytest.fixture
def points(screened):
    return {point.trial: point for point in screened.pareto_front().evaluated}


def test_what_was_wanted_and_found(screened):
    front = screened.pareto_front()
    best = front.points[0].trial
    found = ParetoSummary.from_front(front, {best: "AuCu"}, {})
    assert found.optimization_config == screened.optimization_config
    assert found.optimization_config.units == {
        "enthalpy": "eV/atom",
        "modulus": "GPa",
        "price": "$/kg",
    }
    assert tuple(structure.point for structure in found.structures) == front.points
    assert [structure.formula for structure in found.structures[:2]] == ["AuCu", ""]
    assert found.n_feasible == front.history.n_feasible[-1]
    assert found.feasible_fraction == found.n_feasible / 15
    (value,) = found.quarantined
    assert value.trial == 5
    assert "outside its valid range" in value.reason


def test_points_have_energies_above_the_hull_where_some_are_known(screened):
    front = screened.pareto_front()
    best = front.points[0].trial
    structures = ParetoSummary.from_front(front, {}, {best: 0.02}).structures
    expected = [0.02] + [None] * (len(structures) - 1)
    assert [structure.energy_above_hull for structure in structures] == expected


def summary(screened, number, points):
    trial = screened.trial_records()[number]
    return summarize_outcomes(trial, screened.optimization_config, points.get(number))


def test_a_trial_has_predictions_and_what_was_found_of_each_outcome(screened, points):
    trial = screened.trial_records()[-1]
    outcomes = summary(screened, trial.number, points)
    modulus = outcomes["modulus"]
    assert modulus.prediction == screened.predictions(outcome="modulus")[-1].prediction
    assert modulus.value == trial.properties["modulus"]
    price = outcomes["price"]
    assert (price.is_exact, price.prediction) == (True, None)
    (exact,) = [outcome.mean for outcome in trial.outcome_predictions if outcome.is_exact]
    assert price.value == pytest.approx(exact)


def test_what_failed_or_is_not_trusted_has_nothing_found(screened, points):
    assert screened.trial_records()[2].reason == "it broke"
    assert summary(screened, 2, points)["enthalpy"].value is None
    assert summary(screened, 5, points)["modulus"].value is None


def test_what_is_pending_has_its_prediction(screened, points):
    trial = screened.trial_records()[-1]
    modulus = summarize_outcomes(trial, screened.optimization_config, None)["modulus"]
    (logged,) = [outcome for outcome in trial.outcome_predictions if outcome.name == "modulus"]
    assert modulus.prediction.mean == logged.mean
    assert modulus.prediction.sigma == pytest.approx(logged.predictive_variance**0.5)
    assert (modulus.prediction.low, modulus.value) == (None, None)

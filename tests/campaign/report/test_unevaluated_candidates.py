import pytest

from bostruct.campaign.log.reader import Log
from bostruct.campaign.report.unevaluated_candidates import predict_front_candidates
from bostruct.errors import InputError
from tests.campaign import alloys


def test_the_best_of_the_last_search_that_nobody_asked_for(screened):
    found = predict_front_candidates(screened, 5)
    assert len(found) == 5
    tensors = screened.posterior_tensors(screened.steps()[-1].number)
    seen = [trial.X for trial in screened.trial_records()]
    worth = [float(tensors["candidates.acquisition"][each.candidate_index]) for each in found]
    assert sorted(worth, reverse=True) == worth
    for each in found:
        assert each.trial is None
        assert (
            each.generator
            == screened.candidate_generators(screened.steps()[-1].number)[each.candidate_index]
        )
        assert not any(bool(screened.space.is_duplicate(each.X, x)) for x in seen)
        assert set(each.predictions) == {"enthalpy", "modulus", "price"}


def test_numbers_are_those_of_the_posterior_file_calibrated(screened):
    each = predict_front_candidates(screened, 1)[0]
    tensors = screened.posterior_tensors(screened.steps()[-1].number)
    said = each.predictions["modulus"]
    assert said.mean == float(tensors["candidates.mean"][each.candidate_index, 1])
    variance = float(tensors["candidates.predictive_variance"][each.candidate_index, 1])
    assert said.sigma == pytest.approx(variance**0.5)
    factor = screened.calibration(outcome="modulus").sigma_factor
    assert said.calibrated_sigma == pytest.approx(factor * said.sigma)
    price = screened.space.exact_properties(each.X)["price"].log10()
    assert each.predictions["price"].mean == pytest.approx(float(price))
    assert each.predictions["price"].sigma == 0.0


def test_what_was_asked_for_comes_first(screened):
    with alloys.campaign().open(screened.folder) as campaign:
        (trial,) = campaign.ask()
        first, second = predict_front_candidates(campaign.log, 1)
    assert (first.trial, first.candidate_index) == (trial.number, None)
    said = {each.name: each.mean for each in trial.outcome_predictions}
    assert {name: each.mean for name, each in first.predictions.items()} == said
    assert second.candidate_index is not None


def test_without_the_space_only_that_is_known(screened):
    bare = Log(screened.folder)
    assert predict_front_candidates(bare) == []
    with alloys.campaign().open(screened.folder) as campaign:
        campaign.ask()
    assert [each.candidate_index for each in predict_front_candidates(bare)] == [None]


def test_a_damaged_file_takes_its_candidates_with_it(screened):
    screened.posterior_path(screened.steps()[-1].number).write_bytes(b"")
    assert predict_front_candidates(screened) == []


def test_a_campaign_without_goals_has_none(log):
    assert predict_front_candidates(log) == []


def test_a_count_is_one_at_least(screened):
    with pytest.raises(InputError, match="count"):
        predict_front_candidates(screened, 0)

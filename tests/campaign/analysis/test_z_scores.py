"""z scores of trials written by hand."""

import pytest
import torch

from bostruct.campaign.analysis.z_scores import z_score
from bostruct.campaign.records import Trial


def trial(energy, mean=1.0, observed=4.0):
    return Trial(
        number=0,
        step=0,
        key="0",
        attempt=1,
        state="done",
        generator="rattle",
        X=torch.zeros(3),
        mean=mean,
        predictive_variance=observed,
        energy=energy,
    )


def test_error_over_the_observed_standard_deviation():
    assert z_score(trial(4.0)) == 1.5
    assert z_score(trial(-3.0)) == -2.0


@pytest.mark.parametrize("missing", [{"mean": None}, {"observed": None}])
def test_no_score_without_a_prediction_or_an_energy(missing):
    assert z_score(trial(4.0, **missing)) is None
    assert z_score(trial(None)) is None

import pytest
import torch

from bostruct.surrogates.botorch_models.low_rank_prediction import LowRankPrediction


def test_what_there_is_not_is_missing():
    zero = torch.zeros(2)
    belief = LowRankPrediction(zero, zero.view(2, 1), zero, zero)
    assert belief.atomic_energies is None
    assert belief.members is None
    with pytest.raises(AttributeError, match="cannot assign"):
        belief.mean = zero

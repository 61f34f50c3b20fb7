"""What all models of energies share, on the two that exist."""

import pytest
import torch

from bostruct.surrogates import Committee, ConditionedModel, LocalGP
from bostruct.surrogates.botorch_models.conditioned_model import ConditionableModel
from tests.surrogates.small import SMALL


@pytest.mark.parametrize("surrogate", [LocalGP(max_inducing=5), Committee(SMALL)])
def test_one_outcome_that_can_be_conditioned(surrogate, data, space):
    model = surrogate.fit(data[:3], space)
    assert isinstance(model, ConditionableModel)
    assert model.num_outputs == 1
    assert model.batch_shape == torch.Size()
    X = space.encode(data[3:5])
    conditioned = model.condition_on_observations(X, data[3:5].energy.unsqueeze(-1))
    assert isinstance(conditioned, ConditionedModel)
    assert conditioned.posterior(X).variance.sum() < model.posterior(X).variance.sum()

import pytest
import torch

from bostruct.acquisition import qLowerConfidenceBound
from bostruct.campaign.planning.acquisition_context import acquisition_context
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.training_data import training_data
from bostruct.surrogates import fit_surrogate
from tests.campaign.standin import campaign


def acquisition_of(step, known):
    """Return the acquisition function of a step that knows some trials."""
    data = training_data(step, known)
    model = fit_surrogate(step.components.surrogate, data, step.components.space)
    return BatchAcquisition(step.acquisition, acquisition_context(step, model, data, known))


@pytest.fixture(params=["one", "joint"])
def made(request, log):
    """A step, its acquisition function, and the evaluated structures."""
    arguments = {}
    if request.param == "joint":
        arguments["acquisition"] = qLowerConfidenceBound(n_samples=64)
    step = StepContext(campaign(**arguments).components, 0, torch.device("cpu"), 5, 3)
    return step, acquisition_of(step, log.trials()), torch.stack([t.X for t in log.trials()])

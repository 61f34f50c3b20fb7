import torch

from bostruct.acquisition import AcquisitionContext, ExpectedImprovement
from bostruct.campaign.analysis.calibration import online_calibration
from bostruct.campaign.analysis.recalibration import Recalibration
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.planning.step_metrics import step_metrics
from tests.campaign.standin import campaign

CORRECTION = Recalibration(0.4, 1.7)


class Fitted:
    num_outputs = 1

    def hyperparameters(self):
        return {"noise": 0.1, "log_marginal_likelihood": -3.0}


def metrics(log, **arguments):
    step = StepContext(
        campaign(**arguments).components,
        0,
        torch.device("cpu"),
        9,
        1,
        kappa_factor=0.7,
        recalibrations={"energy": CORRECTION},
    )
    return step_metrics(step, Fitted(), AcquisitionContext(Fitted()), log.trials())


def test_of_one_energy(log):
    """Those of objectives are tested with a whole campaign, in `test_learned_objectives`."""
    found = metrics(log)
    assert list(found) == sorted(found)
    values = online_calibration(log.trials()).logged_values()
    expected = {"noise": 0.1, "log_marginal_likelihood": -3.0, "kappa_factor": 0.7}
    assert found == expected | values | CORRECTION.logged_values()
    assert values


def test_a_kappa_factor_is_that_of_an_adaptive_acquisition(log):
    assert "kappa_factor" not in metrics(log, acquisition=ExpectedImprovement())

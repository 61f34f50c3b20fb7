"""Every acquisition meets the contract."""

from dataclasses import replace

import pytest
import torch

from bostruct import acquisition as acquisitions
from bostruct.testing import AcquisitionContract
from bostruct.testing.acquisition_contract import energy_context

SETTINGS = {"qProbabilityOfImprovement": {"tau": 0.02}}  # a step that differences resolve
CLASSES = [
    kind
    for name, kind in vars(acquisitions).items()
    if isinstance(kind, type) and hasattr(kind, "build") and name != "Acquisition"
]


class TestAcquisitions(AcquisitionContract):
    @pytest.fixture(params=CLASSES, ids=lambda kind: kind.__name__)
    def acquisition(self, request):
        return request.param(**SETTINGS.get(request.param.__name__, {}))


def test_all_are_there():
    assert len(CLASSES) == 19


class Wrong:
    """An acquisition function whose gradient or shape is wrong, and that takes anything."""

    supports_q_batch = supports_multi_objective = False

    def __init__(self, wrong="nothing"):
        self.wrong = wrong

    def build(self, context):
        function = acquisitions.LowerConfidenceBound(1.0).build(replace(context, X_pending=None))
        return {
            "gradient": lambda X: function(X.detach()) + 0 * X.sum(),
            "shape": lambda X: function(X).unsqueeze(-1),
        }.get(self.wrong, function)


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        ("gradient", "gradient_agrees_with_central_differences"),
        ("shape", "values_are_finite"),
    ],
)
def test_faults_are_seen(wrong, test):
    X = torch.rand(5, 1, 2, dtype=torch.float64)
    test = getattr(AcquisitionContract(), f"test_{test}")
    test(Wrong(), energy_context(), X)
    with pytest.raises(AssertionError):
        test(Wrong(wrong), energy_context(), X)


def test_pending_candidates_must_be_refused():
    X = torch.rand(5, 1, 2, dtype=torch.float64)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        AcquisitionContract().test_pending_candidates(Wrong(), energy_context(), X)

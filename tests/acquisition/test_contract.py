"""Every acquisition meets the contract."""

import pytest

from bostruct import acquisition as acquisitions
from bostruct.testing import AcquisitionContract

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

import json

import pytest
import torch

from bostruct.errors import InputError
from bostruct.uncertainty import Calibration, MonotonicCalibration
from bostruct.uncertainty.calibration.serialization import JsonSerializable

CALIBRATION = Calibration(torch.tensor([1.0, 2.0]).double(), "likelihood", 9, upper=None)


def test_all_fields_are_stored_and_restored():
    stored = json.loads(CALIBRATION.to_json())
    assert (stored["type"], stored["alpha2"], stored["upper"]) == ("Calibration", [1.0, 2.0], None)
    restored = Calibration.from_json(CALIBRATION.to_json())
    assert isinstance(restored, JsonSerializable)
    assert torch.equal(restored.alpha2, CALIBRATION.alpha2)
    assert (restored.method, restored.n_points, restored.upper) == ("likelihood", 9, None)


@pytest.mark.parametrize("text", ['{"type": "Calibration"}', "3", '["Calibration"]'])
def test_other_contents_are_refused(text):
    with pytest.raises(InputError, match="`text` must be a stored Calibration, got"):
        Calibration.from_json(text)
    with pytest.raises(InputError, match="`text` must be a stored MonotonicCalibration, got"):
        MonotonicCalibration.from_json(CALIBRATION.to_json())

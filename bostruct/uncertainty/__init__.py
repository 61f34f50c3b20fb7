"""What a belief is worth.

Means, variances and data enter; calibrated predictions and scores leave. Plain
functions and frozen classes on tensors that know no campaign.
"""

from bostruct.uncertainty.calibration import Calibration as Calibration
from bostruct.uncertainty.calibration import MonotoneMap as MonotoneMap
from bostruct.uncertainty.calibration import calibrate as calibrate
from bostruct.uncertainty.calibration import isotonic as isotonic
from bostruct.uncertainty.prediction import Prediction as Prediction
from bostruct.uncertainty.residuals import Residuals as Residuals

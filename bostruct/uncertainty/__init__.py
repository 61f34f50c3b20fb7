"""What a belief is worth.

Means, variances and data enter; calibrated predictions and scores leave. Plain
functions and frozen classes on tensors that know no campaign.
"""

from bostruct.uncertainty.calibration import Calibration as Calibration
from bostruct.uncertainty.calibration import MonotoneMap as MonotoneMap
from bostruct.uncertainty.calibration import calibrate as calibrate
from bostruct.uncertainty.calibration import isotonic as isotonic
from bostruct.uncertainty.prediction import Prediction as Prediction
from bostruct.uncertainty.reliability import BinnedError as BinnedError
from bostruct.uncertainty.reliability import Reliability as Reliability
from bostruct.uncertainty.reliability import ence as ence
from bostruct.uncertainty.reliability import ence_intercept as ence_intercept
from bostruct.uncertainty.reliability import reliability as reliability
from bostruct.uncertainty.residuals import Residuals as Residuals
from bostruct.uncertainty.scores import Miscalibration as Miscalibration
from bostruct.uncertainty.scores import coverage as coverage
from bostruct.uncertainty.scores import crps as crps
from bostruct.uncertainty.scores import dispersion as dispersion
from bostruct.uncertainty.scores import miscalibration as miscalibration
from bostruct.uncertainty.scores import nll as nll
from bostruct.uncertainty.scores import observed as observed
from bostruct.uncertainty.scores import sharpness as sharpness
from bostruct.uncertainty.scores import sparsification as sparsification
from bostruct.uncertainty.scores import spearman as spearman

"""What a belief is worth.

Means, variances and data enter; calibrated predictions and scores leave. Plain
functions and frozen classes on tensors that know no campaign.
"""

from bostruct.uncertainty.prediction import Prediction as Prediction

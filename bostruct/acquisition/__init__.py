"""What a look is worth.

A frozen description and a fitted BoTorch model enter; BoTorch's own acquisition
function leaves, to be maximised. Energies (lower is better) become utilities (larger
is better) here and nowhere else.
"""

from bostruct.acquisition.acquisition import Acquisition
from bostruct.acquisition.bound import LowerConfidenceBound, qLowerConfidenceBound
from bostruct.acquisition.deviation import StandardDeviation, qStandardDeviation
from bostruct.acquisition.improvement import (
    ExpectedImprovement,
    LogExpectedImprovement,
    qExpectedImprovement,
    qLogExpectedImprovement,
    qLogNoisyExpectedImprovement,
    qNoisyExpectedImprovement,
)
from bostruct.acquisition.probability import (
    LogProbabilityOfImprovement,
    ProbabilityOfImprovement,
    qProbabilityOfImprovement,
)

__all__ = [
    "Acquisition",
    "ExpectedImprovement",
    "LogExpectedImprovement",
    "LogProbabilityOfImprovement",
    "LowerConfidenceBound",
    "ProbabilityOfImprovement",
    "StandardDeviation",
    "qExpectedImprovement",
    "qLogExpectedImprovement",
    "qLogNoisyExpectedImprovement",
    "qLowerConfidenceBound",
    "qNoisyExpectedImprovement",
    "qProbabilityOfImprovement",
    "qStandardDeviation",
]

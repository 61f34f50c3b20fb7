"""What a look is worth.

A frozen description and a fitted BoTorch model enter; BoTorch's own acquisition
function leaves, to be maximised. Energies (lower is better) become utilities (larger
is better) here and nowhere else. For several objectives the description gets a `Case`:
model, goals, data and reference point.
"""

from bostruct.acquisition.acquisition import Acquisition
from bostruct.acquisition.bound import LowerConfidenceBound, qLowerConfidenceBound
from bostruct.acquisition.deviation import StandardDeviation, qStandardDeviation
from bostruct.acquisition.entry import EntryProbability
from bostruct.acquisition.gain import (
    ExpectedHypervolumeImprovement,
    qLogExpectedHypervolumeImprovement,
    qLogNoisyExpectedHypervolumeImprovement,
)
from bostruct.acquisition.goals import Constraint, Goals, Objective
from bostruct.acquisition.improvement import (
    ExpectedImprovement,
    LogExpectedImprovement,
    qExpectedImprovement,
    qLogExpectedImprovement,
    qLogNoisyExpectedImprovement,
    qNoisyExpectedImprovement,
)
from bostruct.acquisition.parego import qLogNParEGO
from bostruct.acquisition.pareto import (
    Case,
    Pareto,
    front,
    hypervolume,
    reference_point,
)
from bostruct.acquisition.probability import (
    LogProbabilityOfImprovement,
    ProbabilityOfImprovement,
    qProbabilityOfImprovement,
)
from bostruct.acquisition.satisfaction import qLogProbabilityOfFeasibility

__all__ = [
    "Acquisition",
    "Case",
    "Constraint",
    "EntryProbability",
    "ExpectedHypervolumeImprovement",
    "ExpectedImprovement",
    "Goals",
    "LogExpectedImprovement",
    "LogProbabilityOfImprovement",
    "LowerConfidenceBound",
    "Objective",
    "Pareto",
    "ProbabilityOfImprovement",
    "StandardDeviation",
    "front",
    "hypervolume",
    "qExpectedImprovement",
    "qLogExpectedHypervolumeImprovement",
    "qLogExpectedImprovement",
    "qLogNParEGO",
    "qLogNoisyExpectedHypervolumeImprovement",
    "qLogNoisyExpectedImprovement",
    "qLogProbabilityOfFeasibility",
    "qLowerConfidenceBound",
    "qNoisyExpectedImprovement",
    "qProbabilityOfImprovement",
    "qStandardDeviation",
    "reference_point",
]

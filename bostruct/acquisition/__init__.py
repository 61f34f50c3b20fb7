"""What a look is worth.

A frozen description and a fitted BoTorch model enter; BoTorch's own acquisition
function leaves, to be maximised. Energies (lower is better) become utilities (larger
is better) here and nowhere else. For several objectives the description gets a `Case`:
model, goals, data and reference point.
"""

from bostruct.acquisition.base import Acquisition
from bostruct.acquisition.multi_objective.acquisition_context import (
    AcquisitionContext,
    MultiObjectiveAcquisition,
)
from bostruct.acquisition.multi_objective.feasibility import (
    qLogProbabilityOfFeasibility,
)
from bostruct.acquisition.multi_objective.hypervolume_improvement import (
    ExpectedHypervolumeImprovement,
    qLogExpectedHypervolumeImprovement,
    qLogNoisyExpectedHypervolumeImprovement,
)
from bostruct.acquisition.multi_objective.parego import qLogNParEGO
from bostruct.acquisition.multi_objective.pareto_probability import (
    ParetoProbabilityOfImprovement,
)
from bostruct.acquisition.single_objective.confidence_bound import (
    LowerConfidenceBound,
    qLowerConfidenceBound,
)
from bostruct.acquisition.single_objective.expected_improvement import (
    ExpectedImprovement,
    LogExpectedImprovement,
    qExpectedImprovement,
    qLogExpectedImprovement,
    qLogNoisyExpectedImprovement,
    qNoisyExpectedImprovement,
)
from bostruct.acquisition.single_objective.probability_of_improvement import (
    LogProbabilityOfImprovement,
    ProbabilityOfImprovement,
    qProbabilityOfImprovement,
)
from bostruct.acquisition.single_objective.standard_deviation import (
    StandardDeviation,
    qStandardDeviation,
)

__all__ = [
    "Acquisition",
    "AcquisitionContext",
    "ParetoProbabilityOfImprovement",
    "ExpectedHypervolumeImprovement",
    "ExpectedImprovement",
    "LogExpectedImprovement",
    "LogProbabilityOfImprovement",
    "LowerConfidenceBound",
    "MultiObjectiveAcquisition",
    "ProbabilityOfImprovement",
    "StandardDeviation",
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
]

"""Acquisition functions of one energy, and of several objectives and constraints.

A frozen description and an `AcquisitionContext` (fitted BoTorch model, data, pending candidates;
for several objectives also the objectives and a reference point) enter; BoTorch's own acquisition
function leaves, to be maximized. Energies (lower is better) become utilities (larger
is better) here and nowhere else.
"""

from bostruct.runtime import botorch_import as botorch_import

# isort: split

from bostruct.acquisition.acquisition_context import AcquisitionContext
from bostruct.acquisition.base import Acquisition
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
    "ExpectedHypervolumeImprovement",
    "ExpectedImprovement",
    "LogExpectedImprovement",
    "LogProbabilityOfImprovement",
    "LowerConfidenceBound",
    "ParetoProbabilityOfImprovement",
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

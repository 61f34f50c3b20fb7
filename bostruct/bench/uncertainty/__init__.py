"""Benchmark of uncertainty estimates: several methods on the same structures.

Accuracy, calibration before and after a scaling of σ, in domain and on shifted sets, and cost.
"""

from bostruct.bench.uncertainty.comparison import Comparison as Comparison
from bostruct.bench.uncertainty.comparison import compare as compare
from bostruct.bench.uncertainty.method_predictions import MethodPredictions as MethodPredictions
from bostruct.bench.uncertainty.method_predictions import SupportsFit as SupportsFit
from bostruct.bench.uncertainty.methods import METHODS as METHODS
from bostruct.bench.uncertainty.score_rows import ScoreRow as ScoreRow
from bostruct.bench.uncertainty.scores import Scores as Scores
from bostruct.bench.uncertainty.scores import compute_scores as compute_scores
from bostruct.bench.uncertainty.split import DataSplit as DataSplit
from bostruct.bench.uncertainty.split import split_structures as split_structures
from bostruct.bench.uncertainty.split_run import SplitRun as SplitRun
from bostruct.bench.uncertainty.split_statistics import SplitStatistics as SplitStatistics

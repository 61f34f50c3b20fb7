"""Which error bars to believe.

Structures with energies and several methods enter; one table leaves that says of each
how large its errors are, what its uncertainties are worth before and after
calibration, in domain and away from the training data, and what they cost.
"""

from bostruct.bench.uncertainty.comparison import Comparison as Comparison
from bostruct.bench.uncertainty.comparison import compare as compare
from bostruct.bench.uncertainty.method_predictions import Fits as Fits
from bostruct.bench.uncertainty.method_predictions import Outcome as Outcome
from bostruct.bench.uncertainty.methods import METHODS as METHODS
from bostruct.bench.uncertainty.score_rows import Row as Row
from bostruct.bench.uncertainty.scores import Scores as Scores
from bostruct.bench.uncertainty.scores import score as score
from bostruct.bench.uncertainty.split import Split as Split
from bostruct.bench.uncertainty.split import split as split
from bostruct.bench.uncertainty.split_run import Division as Division
from bostruct.bench.uncertainty.split_statistics import Spread as Spread

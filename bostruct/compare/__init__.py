"""Which error bars to believe.

Structures with energies and several methods enter; one table leaves that says of each
how large its errors are, what its uncertainties are worth before and after
calibration, in domain and away from the training data, and what they cost.
"""

from bostruct.compare.comparison import Comparison as Comparison
from bostruct.compare.comparison import compare as compare
from bostruct.compare.division import Division as Division
from bostruct.compare.methods import METHODS as METHODS
from bostruct.compare.outcome import Fits as Fits
from bostruct.compare.outcome import Outcome as Outcome
from bostruct.compare.row import Row as Row
from bostruct.compare.score import Scores as Scores
from bostruct.compare.score import score as score
from bostruct.compare.split import Split as Split
from bostruct.compare.split import split as split
from bostruct.compare.spread import Spread as Spread

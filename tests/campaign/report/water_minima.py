"""Two minima of water, of which one was evaluated."""

import torch
from ase.build import molecule

from bostruct.campaign.analysis.minima import Minimum
from bostruct.campaign.records import Trial
from bostruct.structures import from_ase

WATER = from_ase(molecule("H2O"))
X = torch.zeros(2, dtype=torch.float64)
TRIAL = Trial(
    3, 3, "k", 1, "done", "x", X, energy=-1.0, forces=torch.zeros(3, 3).double(), structures=WATER
)
EVALUATED = Minimum(3, X, -1.0, 0.0, True, 0.01, TRIAL, None, WATER, 0.0, 0.8)
PREDICTED = Minimum(None, X, -0.9, 0.02, False, None, None, None, WATER, 0.1, 0.2)

"""What is believed.

Structures with energies and forces enter; a BoTorch model over the coordinates of a
space leaves, with a mean, a variance that says what is not known, and their gradients.
"""

from bostruct.surrogates.belief import Belief as Belief
from bostruct.surrogates.belief import Believer as Believer
from bostruct.surrogates.believed import BelievedModel as BelievedModel
from bostruct.surrogates.believing import Believing as Believing
from bostruct.surrogates.committee import Committee as Committee
from bostruct.surrogates.conditioned import Conditioned as Conditioned
from bostruct.surrogates.conditioned import condition as condition
from bostruct.surrogates.correlated import Correlated as Correlated
from bostruct.surrogates.crowd import Crowd as Crowd
from bostruct.surrogates.deep import DeepEnsemble as DeepEnsemble
from bostruct.surrogates.deep import MeanVariance as MeanVariance
from bostruct.surrogates.dropout import Dropout as Dropout
from bostruct.surrogates.gp import GP as GP
from bostruct.surrogates.lastlayer import LastLayer as LastLayer
from bostruct.surrogates.local import LocalGP as LocalGP
from bostruct.surrogates.mixture import Mixture as Mixture
from bostruct.surrogates.model import LocalModel as LocalModel
from bostruct.surrogates.network import Network as Network
from bostruct.surrogates.pairs import Repulsion as Repulsion
from bostruct.surrogates.peratom import PerAtom as PerAtom
from bostruct.surrogates.properties import Learner as Learner
from bostruct.surrogates.properties import Learnt as Learnt
from bostruct.surrogates.properties import Properties as Properties
from bostruct.surrogates.properties import PropertyModel as PropertyModel
from bostruct.surrogates.shallow import ShallowEnsemble as ShallowEnsemble
from bostruct.surrogates.surrogate import FittedModel as FittedModel
from bostruct.surrogates.surrogate import Surrogate as Surrogate

"""What is believed.

Structures with energies and forces enter; a BoTorch model over the coordinates of a
space leaves, with a mean, a variance that says what is not known, and their gradients.
"""

from bostruct.surrogates.belief import Belief as Belief
from bostruct.surrogates.belief import Believer as Believer
from bostruct.surrogates.believed import BelievedModel as BelievedModel
from bostruct.surrogates.conditioned import Conditioned as Conditioned
from bostruct.surrogates.conditioned import condition as condition
from bostruct.surrogates.local import LocalGP as LocalGP
from bostruct.surrogates.model import LocalModel as LocalModel
from bostruct.surrogates.pairs import Repulsion as Repulsion
from bostruct.surrogates.surrogate import FittedModel as FittedModel
from bostruct.surrogates.surrogate import Surrogate as Surrogate

"""What is believed.

Structures with energies and forces enter; a BoTorch model over the coordinates of a
space leaves, with a mean, a variance that says what is not known, and their gradients.
"""

from bostruct.surrogates.base import FittedModel as FittedModel
from bostruct.surrogates.base import Surrogate as Surrogate
from bostruct.surrogates.botorch_models.conditioned_model import Believing as Believing
from bostruct.surrogates.botorch_models.conditioned_model import (
    Conditioned as Conditioned,
)
from bostruct.surrogates.botorch_models.conditioned_model import condition as condition
from bostruct.surrogates.botorch_models.low_rank_model import (
    BelievedModel as BelievedModel,
)
from bostruct.surrogates.botorch_models.low_rank_prediction import Belief as Belief
from bostruct.surrogates.botorch_models.low_rank_prediction import Believer as Believer
from bostruct.surrogates.local_gp.local_gp import LocalGP as LocalGP
from bostruct.surrogates.local_gp.model import LocalModel as LocalModel
from bostruct.surrogates.networks.committee import Committee as Committee
from bostruct.surrogates.networks.deep_ensemble import DeepEnsemble as DeepEnsemble
from bostruct.surrogates.networks.deep_ensemble import MeanVariance as MeanVariance
from bostruct.surrogates.networks.dropout import Dropout as Dropout
from bostruct.surrogates.networks.ensemble import Crowd as Crowd
from bostruct.surrogates.networks.last_layer import LastLayer as LastLayer
from bostruct.surrogates.networks.mixture_of_experts import Mixture as Mixture
from bostruct.surrogates.networks.network import Network as Network
from bostruct.surrogates.networks.shallow_ensemble import (
    ShallowEnsemble as ShallowEnsemble,
)
from bostruct.surrogates.pair_repulsion import Repulsion as Repulsion
from bostruct.surrogates.pretrained import Pretrained as Pretrained
from bostruct.surrogates.pretrained import committee as committee
from bostruct.surrogates.pretrained import read as read
from bostruct.surrogates.properties.gp import GP as GP
from bostruct.surrogates.properties.intensive_property import PerAtom as PerAtom
from bostruct.surrogates.properties.multitask_gp import Correlated as Correlated
from bostruct.surrogates.properties.properties import Learner as Learner
from bostruct.surrogates.properties.properties import Learnt as Learnt
from bostruct.surrogates.properties.properties import Properties as Properties
from bostruct.surrogates.properties.properties import PropertyModel as PropertyModel

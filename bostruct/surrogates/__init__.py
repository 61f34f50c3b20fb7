"""Surrogates: models of energies and of properties, fitted to the evaluations so far.

A surrogate is fitted to structures with energies and forces, or to values of properties, and gives
a BoTorch model over the coordinates of a space, with means, variances and their gradients.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.surrogates.base import FittedEnergyModel as FittedEnergyModel
    from bostruct.surrogates.base import FittedModel as FittedModel
    from bostruct.surrogates.base import Surrogate as Surrogate
    from bostruct.surrogates.base import fit_surrogate as fit_surrogate
    from bostruct.surrogates.botorch_models.conditioned_model import (
        ConditionedModel as ConditionedModel,
    )
    from bostruct.surrogates.botorch_models.conditioned_model import (
        condition_on_observations as condition_on_observations,
    )
    from bostruct.surrogates.botorch_models.low_rank_model import (
        LowRankModel as LowRankModel,
    )
    from bostruct.surrogates.botorch_models.low_rank_prediction import (
        LowRankPrediction as LowRankPrediction,
    )
    from bostruct.surrogates.botorch_models.low_rank_prediction import (
        LowRankPredictor as LowRankPredictor,
    )
    from bostruct.surrogates.coordinate_gp import CoordinateGP as CoordinateGP
    from bostruct.surrogates.local_gp.dot_product_kernel import (
        ExponentialKernel as ExponentialKernel,
    )
    from bostruct.surrogates.local_gp.dot_product_kernel import PowerKernel as PowerKernel
    from bostruct.surrogates.local_gp.embedding_term import EmbeddingTerm as EmbeddingTerm
    from bostruct.surrogates.local_gp.kernel_selection import (
        KernelSelection as KernelSelection,
    )
    from bostruct.surrogates.local_gp.local_gp import LocalGP as LocalGP
    from bostruct.surrogates.local_gp.model import LocalGPModel as LocalGPModel
    from bostruct.surrogates.local_gp.pair_term import PairTerm as PairTerm
    from bostruct.surrogates.local_gp.species_constants import SpeciesConstants as SpeciesConstants
    from bostruct.surrogates.networks.committee import Committee as Committee
    from bostruct.surrogates.networks.deep_ensemble import DeepEnsemble as DeepEnsemble
    from bostruct.surrogates.networks.deep_ensemble import MeanVariance as MeanVariance
    from bostruct.surrogates.networks.dropout import Dropout as Dropout
    from bostruct.surrogates.networks.ensemble import NetworkEnsemble as NetworkEnsemble
    from bostruct.surrogates.networks.last_layer import LastLayer as LastLayer
    from bostruct.surrogates.networks.mixture_of_experts import (
        MixtureOfExperts as MixtureOfExperts,
    )
    from bostruct.surrogates.networks.network import NetworkConfig as NetworkConfig
    from bostruct.surrogates.networks.shallow_ensemble import (
        ShallowEnsemble as ShallowEnsemble,
    )
    from bostruct.surrogates.pair_repulsion import PairRepulsion as PairRepulsion
    from bostruct.surrogates.pretrained import PretrainedPotential as PretrainedPotential
    from bostruct.surrogates.pretrained import committee_prediction as committee_prediction
    from bostruct.surrogates.pretrained import read_uncertainty as read_uncertainty
    from bostruct.surrogates.properties.gp import GP as GP
    from bostruct.surrogates.properties.intensive_property import (
        IntensiveProperty as IntensiveProperty,
    )
    from bostruct.surrogates.properties.multitask_gp import MultitaskGP as MultitaskGP
    from bostruct.surrogates.properties.properties import FittedProperty as FittedProperty
    from bostruct.surrogates.properties.properties import (
        IndependentProperties as IndependentProperties,
    )
    from bostruct.surrogates.properties.properties import PropertyModel as PropertyModel
    from bostruct.surrogates.properties.properties import (
        PropertySurrogate as PropertySurrogate,
    )
    from bostruct.surrogates.training_data import TrainingData as TrainingData
else:
    __getattr__, __dir__ = lazy_exports(__name__)

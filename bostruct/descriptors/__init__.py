"""Descriptors of atomic environments and of whole structures.

Structures enter; one row of features for each atom leaves, smooth in the positions and invariant
under rotation, translation and permutation; or one row of features for each structure.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.descriptors.soap.descriptor_gradients import (
        DescriptorGradients as DescriptorGradients,
    )
    from bostruct.descriptors.soap.neighbor_vectors import FixedEnvironment as FixedEnvironment
    from bostruct.descriptors.soap.neighbor_vectors import NeighborVectors as NeighborVectors
    from bostruct.descriptors.soap.power_spectra import PowerSpectra as PowerSpectra
    from bostruct.descriptors.soap.radial_basis import RadialBasis as RadialBasis
    from bostruct.descriptors.soap.soap import SOAP as SOAP
    from bostruct.descriptors.soap.spherical_harmonics import (
        SphericalHarmonics as SphericalHarmonics,
    )
    from bostruct.descriptors.structure.cluster_vectors import ClusterVectors as ClusterVectors
    from bostruct.descriptors.structure.features import ElementFractions as ElementFractions
    from bostruct.descriptors.structure.features import FeatureMap as FeatureMap
    from bostruct.descriptors.structure.features import StructureFeatures as StructureFeatures
    from bostruct.descriptors.structure.features import SupportsComposition as SupportsComposition
    from bostruct.descriptors.structure.mean_soap import MeanSOAP as MeanSOAP
else:
    __getattr__, __dir__ = lazy_exports(__name__)

"""What a structure looks like to a model.

Structures enter; one row of features for each atom leaves, smooth in the positions and
unchanged by rotation, translation and the order of the atoms; or one row for each
structure, for what is a property of the whole.
"""

from bostruct.descriptors.soap.neighbor_vectors import Base as Base
from bostruct.descriptors.soap.neighbor_vectors import Near as Near
from bostruct.descriptors.soap.radial_basis import Radial as Radial
from bostruct.descriptors.soap.soap import SOAP as SOAP
from bostruct.descriptors.soap.soap import Slopes as Slopes
from bostruct.descriptors.soap.spherical_harmonics import Harmonics as Harmonics
from bostruct.descriptors.structure.cluster_vectors import Clusters as Clusters
from bostruct.descriptors.structure.features import Features as Features
from bostruct.descriptors.structure.features import Fractions as Fractions
from bostruct.descriptors.structure.features import Map as Map
from bostruct.descriptors.structure.features import Source as Source
from bostruct.descriptors.structure.mean_soap import Averaged as Averaged

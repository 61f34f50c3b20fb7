"""What a structure looks like to a model.

Structures enter; one row of features for each atom leaves, smooth in the positions and
unchanged by rotation, translation and the order of the atoms; or one row for each
structure, for what is a property of the whole.
"""

from bostruct.descriptors.averaged import Averaged as Averaged
from bostruct.descriptors.clusters import Clusters as Clusters
from bostruct.descriptors.features import Features as Features
from bostruct.descriptors.features import Fractions as Fractions
from bostruct.descriptors.features import Map as Map
from bostruct.descriptors.features import Source as Source
from bostruct.descriptors.harmonics import Harmonics as Harmonics
from bostruct.descriptors.near import Base as Base
from bostruct.descriptors.near import Near as Near
from bostruct.descriptors.radial import Radial as Radial
from bostruct.descriptors.soap import SOAP as SOAP
from bostruct.descriptors.soap import Slopes as Slopes

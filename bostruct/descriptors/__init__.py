"""What a structure looks like to a model.

Structures enter; one row of features for each atom leaves, smooth in the positions and
unchanged by rotation, translation and the order of the atoms.
"""

from bostruct.descriptors.harmonics import Harmonics as Harmonics
from bostruct.descriptors.near import Base as Base
from bostruct.descriptors.near import Near as Near
from bostruct.descriptors.radial import Radial as Radial
from bostruct.descriptors.soap import SOAP as SOAP
from bostruct.descriptors.soap import Slopes as Slopes

"""What may be proposed.

A space gives structures coordinates X: it samples them, decodes them into `Structures`
(differentiably) and back, says which lie inside and which are the same, and knows the
random changes that suit them.
"""

from bostruct.spaces.alloys.composition import Composition as Composition
from bostruct.spaces.alloys.lattice import Lattice as Lattice
from bostruct.spaces.alloys.orderings import Orderings as Orderings
from bostruct.spaces.clusters.cluster import Cluster as Cluster
from bostruct.spaces.composition_properties import atomic_volumes as atomic_volumes
from bostruct.spaces.pools.pool import Pool as Pool
from bostruct.spaces.space import ContinuousSpace as ContinuousSpace
from bostruct.spaces.space import DiscreteSpace as DiscreteSpace
from bostruct.spaces.space import Move as Move
from bostruct.spaces.space import Sampler as Sampler
from bostruct.spaces.space import Space as Space
from bostruct.spaces.space import SupportsGenerators as SupportsGenerators
from bostruct.spaces.space import SupportsNeighbors as SupportsNeighbors
from bostruct.spaces.surfaces.surface import Surface as Surface

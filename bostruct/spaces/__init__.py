"""What may be proposed.

A space gives structures coordinates X: it samples them, decodes them into `Structures`
(differentiably) and back, says which lie inside and which are the same, and knows the
random changes that suit them.
"""

from bostruct.spaces.cluster import Cluster as Cluster
from bostruct.spaces.composition import Composition as Composition
from bostruct.spaces.discrete import Connected as Connected
from bostruct.spaces.discrete import Discrete as Discrete
from bostruct.spaces.known import atomic_volumes as atomic_volumes
from bostruct.spaces.lattice import Lattice as Lattice
from bostruct.spaces.orderings import Orderings as Orderings
from bostruct.spaces.pool import Pool as Pool
from bostruct.spaces.space import Move as Move
from bostruct.spaces.space import Sampler as Sampler
from bostruct.spaces.space import Space as Space
from bostruct.spaces.surface import Surface as Surface

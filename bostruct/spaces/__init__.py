"""What may be proposed.

A space gives structures coordinates X: it samples them, decodes them into `Structures`
(differentiably) and back, says which lie inside and which are the same, and knows the
random changes that suit them.
"""

from bostruct.spaces.cluster import Cluster as Cluster
from bostruct.spaces.space import Move as Move
from bostruct.spaces.space import Sampler as Sampler
from bostruct.spaces.space import Space as Space
from bostruct.spaces.surface import Surface as Surface

"""Search spaces: the structures that may be proposed, and coordinates X that encode them.

A space samples X, decodes them into `Structures` (differentiably where atoms move continuously)
and encodes structures again, tells which X lie inside and which are duplicates, and has the random
changes, called moves, that suit its structures.
"""

from typing import TYPE_CHECKING

from bostruct.runtime.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bostruct.spaces.alloys import Composition as Composition
    from bostruct.spaces.alloys import Lattice as Lattice
    from bostruct.spaces.alloys import Orderings as Orderings
    from bostruct.spaces.clusters import Cluster as Cluster
    from bostruct.spaces.composition_properties import atomic_volumes as atomic_volumes
    from bostruct.spaces.coordinates import Coordinates as Coordinates
    from bostruct.spaces.crystals import ChemicalSystem as ChemicalSystem
    from bostruct.spaces.crystals import Crystal as Crystal
    from bostruct.spaces.molecules import Conformers as Conformers
    from bostruct.spaces.molecules import Molecule as Molecule
    from bostruct.spaces.pools import Pool as Pool
    from bostruct.spaces.space import ContinuousSpace as ContinuousSpace
    from bostruct.spaces.space import DiscreteSpace as DiscreteSpace
    from bostruct.spaces.space import EnumerableMembers as EnumerableMembers
    from bostruct.spaces.space import Move as Move
    from bostruct.spaces.space import Sampler as Sampler
    from bostruct.spaces.space import Space as Space
    from bostruct.spaces.space import SupportsGenerators as SupportsGenerators
    from bostruct.spaces.space import SupportsNeighbors as SupportsNeighbors
    from bostruct.spaces.space import SupportsRadii as SupportsRadii
    from bostruct.spaces.space import SupportsRegion as SupportsRegion
    from bostruct.spaces.surfaces import Pose as Pose
    from bostruct.spaces.surfaces import Surface as Surface
else:
    __getattr__, __dir__ = lazy_exports(__name__)

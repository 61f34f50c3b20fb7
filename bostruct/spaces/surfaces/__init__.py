"""Continuous spaces of atoms on slabs that are periodic in a plane.

A slab (ASE), a formula and a range of heights enter; structures with deposited atoms, and the
moves of basin hopping leave. Fixed atoms of the slab never move.
"""

from bostruct.spaces.surfaces.pose import Pose as Pose
from bostruct.spaces.surfaces.surface import Surface as Surface

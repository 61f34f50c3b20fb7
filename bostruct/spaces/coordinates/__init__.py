"""Spaces of a few named coordinates, such as dihedral angles, distances and strains.

Bounds and periods of coordinates enter, with a function from them to a structure; structures,
samples and distances on the domain leave.
"""

from bostruct.spaces.coordinates.coordinates import Coordinates as Coordinates

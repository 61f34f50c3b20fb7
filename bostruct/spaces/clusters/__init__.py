"""Continuous spaces of free clusters and molecules.

A chemical formula, radii and a sphere enter; compact random structures, symmetric ones, and the
moves of basin hopping leave. Structures are compared by their sorted interatomic distances.
"""

from bostruct.spaces.clusters.cluster import Cluster as Cluster

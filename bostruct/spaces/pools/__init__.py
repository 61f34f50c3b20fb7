"""Discrete spaces of given structures.

Structures from lists, files and ASE databases enter; indices into the list leave. Duplicates are
found once, by fingerprints and pymatgen's StructureMatcher.
"""

from bostruct.spaces.pools.pool import Pool as Pool

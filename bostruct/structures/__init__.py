"""Structures as tensors.

Atoms of ASE or pymatgen enter; frozen ragged batches of positions, species, cells and
labels leave, with the neighbor lists and the same-structure test that others build on.
"""

from bostruct.structures.convert import covalent_radii as covalent_radii
from bostruct.structures.convert import from_ase as from_ase
from bostruct.structures.convert import from_pymatgen as from_pymatgen
from bostruct.structures.convert import to_ase as to_ase
from bostruct.structures.convert import to_pymatgen as to_pymatgen
from bostruct.structures.elements import SYMBOLS as SYMBOLS
from bostruct.structures.fingerprints import fingerprint as fingerprint
from bostruct.structures.fingerprints import profile as profile
from bostruct.structures.fingerprints import same as same
from bostruct.structures.fixed_atoms import Ground as Ground
from bostruct.structures.fixed_atoms import ground as ground
from bostruct.structures.neighbor_lists.neighbor_list import Neighbors as Neighbors
from bostruct.structures.neighbor_lists.neighbor_list import all_pairs as all_pairs
from bostruct.structures.neighbor_lists.neighbor_list import neighbors as neighbors
from bostruct.structures.neighbor_lists.table_numba import LARGEST as LARGEST
from bostruct.structures.neighbor_lists.table_numba import periods as periods
from bostruct.structures.neighbor_lists.table_numba import table as table
from bostruct.structures.structures import Structures as Structures

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
from bostruct.structures.ground import Ground as Ground
from bostruct.structures.ground import ground as ground
from bostruct.structures.neighbors import Neighbors as Neighbors
from bostruct.structures.neighbors import all_pairs as all_pairs
from bostruct.structures.neighbors import neighbors as neighbors
from bostruct.structures.same import fingerprint as fingerprint
from bostruct.structures.same import profile as profile
from bostruct.structures.same import same as same
from bostruct.structures.structures import Structures as Structures
from bostruct.structures.table import LARGEST as LARGEST
from bostruct.structures.table import periods as periods
from bostruct.structures.table import table as table

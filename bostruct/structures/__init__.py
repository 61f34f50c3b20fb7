"""Batches of structures as tensors.

Atoms of ASE or pymatgen enter; frozen ragged batches of positions, species, cells and labels leave.
Neighbor lists and the comparison of structures are here too.
"""

from bostruct.structures.convert import covalent_radii as covalent_radii
from bostruct.structures.convert import from_ase as from_ase
from bostruct.structures.convert import from_pymatgen as from_pymatgen
from bostruct.structures.convert import to_ase as to_ase
from bostruct.structures.convert import to_pymatgen as to_pymatgen
from bostruct.structures.convert import van_der_waals_radii as van_der_waals_radii
from bostruct.structures.elements import SYMBOLS as SYMBOLS
from bostruct.structures.fingerprints import distance_fingerprint as distance_fingerprint
from bostruct.structures.fingerprints import is_same_structure as is_same_structure
from bostruct.structures.fingerprints import structure_fingerprint as structure_fingerprint
from bostruct.structures.fixed_atoms import FixedAtoms as FixedAtoms
from bostruct.structures.fixed_atoms import shared_fixed_atoms as shared_fixed_atoms
from bostruct.structures.neighbor_lists.neighbor_list import NeighborList as NeighborList
from bostruct.structures.neighbor_lists.neighbor_list import all_pairs as all_pairs
from bostruct.structures.neighbor_lists.neighbor_list import (
    build_neighbor_list as build_neighbor_list,
)
from bostruct.structures.neighbor_lists.table_numba import (
    MAX_ATOMS_BRUTE_FORCE as MAX_ATOMS_BRUTE_FORCE,
)
from bostruct.structures.neighbor_lists.table_numba import (
    changed_neighbor_table as changed_neighbor_table,
)
from bostruct.structures.neighbor_lists.table_numba import neighbor_table as neighbor_table
from bostruct.structures.neighbor_lists.table_numba import (
    periodic_image_arrays as periodic_image_arrays,
)
from bostruct.structures.structures import Structures as Structures

"""Discrete spaces of alloys: compositions, decorated lattices and orderings.

Elements, bounds and a parent lattice (ASE or pymatgen) enter; decorated crystals leave, with the
properties that composition alone determines. Symmetry-equivalent decorations are one member.
"""

from bostruct.spaces.alloys.composition import Composition as Composition
from bostruct.spaces.alloys.lattice import Lattice as Lattice
from bostruct.spaces.alloys.orderings import Orderings as Orderings

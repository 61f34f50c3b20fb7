"""Molecules that stay whole: atoms with bonds, and the torsions by which they bend.

A name, atoms, a file or a SMILES enters; a `Molecule` leaves, of which spaces of clusters and
surfaces are made.
"""

from bostruct.spaces.molecules.conformers import Conformers as Conformers
from bostruct.spaces.molecules.molecule import Molecule as Molecule

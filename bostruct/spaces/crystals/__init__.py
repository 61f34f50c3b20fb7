"""Continuous spaces of crystals: atoms in a cell that varies.

A chemical formula enters, or several; random crystals, with and without a space group, and the
moves of a search leave. Crystals are compared by distances that do not depend on the choice of the
cell.
"""

from bostruct.spaces.crystals.chemical_system import ChemicalSystem as ChemicalSystem
from bostruct.spaces.crystals.crystal import Crystal as Crystal

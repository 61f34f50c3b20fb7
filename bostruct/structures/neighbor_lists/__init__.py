"""Neighbor lists of batches of structures.

Structures and a cutoff enter; pairs of atoms with the lattice translations of their images leave,
as a list for structures of any size and device, or as a padded table for small structures on a CPU.
"""

"""Space in which all atoms of a structure move, where its own coordinates are fewer."""

from __future__ import annotations

from bostruct.spaces import Cluster, Conformers, Space


def all_atoms_space(space: Space) -> Space:
    """Return the space in which structures of another are relaxed, of the positions of all atoms.

    Of `Conformers` it is that of the one molecule, whose bonds stay whole; others are returned.
    """
    if isinstance(space, Conformers):
        return Cluster.of([(space.molecule, 1)])
    return space


def relaxes_in_other_space(space: Space) -> bool:
    """Return whether structures of a space are relaxed in the coordinates of another one."""
    return isinstance(space, Conformers)

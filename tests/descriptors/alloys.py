"""A small space of binary cells, with all that features ask of a space."""

from dataclasses import replace

import torch
from ase.build import bulk

from bostruct.spaces import Pool
from bostruct.structures import from_ase


def cells(elements=("Cu", "Au"), size=4, seed=0, n=12):
    """Return n different fcc cells of these elements, each with its own volume."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i in range(n):
        atoms = bulk("Cu", "fcc", a=3.7 + 0.02 * i).repeat((size, 1, 1))
        kinds = torch.randint(len(elements), (size,), generator=generator).tolist()
        atoms.set_chemical_symbols([elements[kind] for kind in kinds])
        found.append(atoms)
    return from_ase(found)


def pool(**arguments):
    """Return the space of these cells."""
    return Pool(cells(**arguments), min_distance_factor=0.1)


def turned(structures):
    """Return the structures with their atoms in reverse order."""
    parts = []
    for one in structures:
        order = torch.arange(len(one.numbers) - 1, -1, -1)
        parts.append(
            replace(
                one,
                positions=one.positions[order],
                numbers=one.numbers[order],
                fixed=one.fixed[order],
            )
        )
    return type(structures).cat(parts)

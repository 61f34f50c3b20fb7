"""Alignment of one crystal with another description of it: axes, lattice vectors and origin.

A space with a variable cell has a cell of its own for each lattice, turned and perhaps of other
lattice vectors. Energies do not change with it; forces and stresses turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from bostruct.campaign.atom_matching import match_atoms, minimum_image
from bostruct.structures import Structures
from bostruct.structures.strain import VOIGT_COLUMNS, VOIGT_ROWS, from_voigt

LENGTH_TOLERANCE, ANGLE_TOLERANCE = 1e-4, 1e-3
"""Largest relative difference of lengths, and of cosines of angles, of equal lattices."""


def align_cell(structure: Structures, reference: Structures) -> Structures:
    """Return a crystal with the axes, lattice vectors and origin of a reference.

    Of all that bring the lattices together, those under which the atoms are closest count. A
    structure that is no description of the reference is returned as it is.

    Args:
        structure: One periodic structure, with forces and stress or without.
        reference: One structure of the same atoms, in any order.
    """
    if torch.allclose(structure.cell, reference.cell) and (
        _largest_distance(structure, reference) < LENGTH_TOLERANCE
    ):
        return structure
    best, distance = structure, torch.inf
    for R in _rotations(structure, reference):
        for candidate in _shifted(_turned(structure, R, reference.cell), reference):
            found = _largest_distance(candidate, reference)
            if found < distance - LENGTH_TOLERANCE:
                best, distance = candidate, found
    return best


def _rotations(structure: Structures, reference: Structures) -> Iterator[Tensor]:
    """Yield the orthogonal matrices that bring the lattice of a structure to the reference."""
    cell, other = structure.cell[0], reference.cell[0]
    gram = other @ other.T
    lengths = gram.diagonal().sqrt()
    # A vector of length r has coordinates of at most r over the distance of lattice planes.
    most = (lengths.max() * torch.linalg.inv(cell).norm(dim=0) + 1e-9).floor().int().tolist()
    ranges = [torch.arange(-n, n + 1, dtype=cell.dtype) for n in most]
    vectors = torch.cartesian_prod(*ranges) @ cell
    tolerance = LENGTH_TOLERANCE * lengths
    shells = [
        vectors[(vectors.norm(dim=-1) - r).abs() < t]
        for r, t in zip(lengths, tolerance, strict=True)
    ]
    for rows in itertools.product(*shells):
        found = torch.stack(rows)
        difference = (found @ found.T - gram).abs() / (lengths.unsqueeze(0) * lengths.unsqueeze(1))
        if bool((difference < ANGLE_TOLERANCE).all()):
            yield torch.linalg.solve(found, other)


def _turned(structure: Structures, R: Tensor, cell: Tensor) -> Structures:
    """Return a structure with rows turned by x -> x R, and other vectors of its lattice."""
    forces, stress = structure.forces, structure.stress
    if stress is not None:
        stress = (R.T @ from_voigt(stress) @ R)[:, VOIGT_ROWS, VOIGT_COLUMNS]
    return replace(
        structure,
        positions=structure.positions @ R,
        cell=cell,
        forces=None if forces is None else forces @ R,
        stress=stress,
    )


def _shifted(structure: Structures, reference: Structures) -> Iterator[Structures]:
    """Yield the structure with its first atom at each atom of its kind of the reference."""
    for target in reference.positions[reference.numbers == structure.numbers[0]]:
        yield replace(structure, positions=structure.positions + target - structure.positions[0])


def _largest_distance(structure: Structures, reference: Structures) -> float:
    """Return the largest distance of equal atoms, Å; infinite where they do not match."""
    order = match_atoms(structure, reference)
    if order is None:
        return torch.inf
    V = structure.positions[order] - reference.positions
    image = minimum_image(V, reference.cell[0], reference.pbc[0])
    return float(torch.linalg.vector_norm(image, dim=-1).max())

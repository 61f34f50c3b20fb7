"""Sampling of random crystals.

As in ab initio random structure searching [P11]: a random cell of about the expected volume, atoms
at random positions, pushed apart until none overlap.

    [P11] Pickard, Needs, J. Phys.: Condens. Matter 23, 053201 (2011),
          doi:10.1088/0953-8984/23/5/053201
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.spaces.crystals.cell_freedom import CellFreedom
from bostruct.spaces.crystals.layer import sample_layers, within_thickness
from bostruct.spaces.crystals.log_strain import cell_of_log_strain, log_strain_components
from bostruct.spaces.crystals.packing import reduced
from bostruct.spaces.random_tensors import log_uniform_between, normal, uniform

SAMPLING_VOLUME_RANGE = (0.8, 1.3)
"""Range of the volumes of random crystals, relative to the expected one."""

CELL_STRAIN_STD = 0.35
"""Standard deviation of the components of the log strain of random cells."""

MAX_CONTACT_FRACTION = 0.55
"""Largest fraction of the volume that spheres of the contact distances of equal atoms fill."""

ACCEPTED_CONTACT_RATIO = 0.9
"""Least distance of atoms of a random crystal, in contact distances."""


def random_volumes(
    n: int, volume: float, limits: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return volumes around the expected one, `[n]` Å³.

    Args:
        n: number of crystals.
        volume: expected volume of the cell, Å³.
        limits: smallest and largest volume allowed, relative to it.
        generator: random number generator.
    """
    low, high = (min(max(bound, limits[0]), limits[1]) for bound in SAMPLING_VOLUME_RANGE)
    return volume * log_uniform_between((low, high), (n,), generator)


def sample_cells(volumes: Tensor, generator: torch.Generator) -> Tensor:
    """Return random cells of volumes `[n]` Å³, `[n, 3, 3]` Å."""
    S = CELL_STRAIN_STD * normal((len(volumes), 3, 3), generator)
    s = log_strain_components((S + S.mT) / math.sqrt(2))
    s[:, :3] -= s[:, :3].mean(-1, keepdim=True)
    return volumes.pow(1 / 3).reshape(-1, 1, 1) * cell_of_log_strain(s, 1.0)


def sample_random(
    volumes: Tensor, a: int, freedom: CellFreedom, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random crystals of a atoms in reduced cells.

    Args:
        volumes: `[n]` Å³, volumes of the cells.
        a: number of atoms.
        freedom: strains by which cells may vary.
        generator: random number generator.

    Returns:
        fractional coordinates `[n, a, 3]`, and cells `[n, 3, 3]` Å.
    """
    n = len(volumes)
    if not freedom.varies_shape:
        edges = (volumes / freedom.volume).pow(1 / 3).reshape(-1, 1, 1)
        F, H = uniform((n, a, 3), generator), freedom.cell.to(volumes) * edges
        if freedom.is_layer:
            F = within_thickness(freedom, F, uniform((n,), generator))
        return F, H
    if freedom.is_layer:
        areas = volumes / float(freedom.cell[2, 2])
        strains = CELL_STRAIN_STD * normal((n, 2, 2), generator)
        points, u = uniform((n, a, 3), generator), uniform((n,), generator)
        return freedom.reduced(*sample_layers(freedom, areas, strains, points, u))
    H = sample_cells(volumes, generator)
    return reduced(uniform((n, a, 3), generator), H)


def contact_distances(lengths: Tensor, min_distances: Tensor, volume: float) -> Tensor:
    """Return the distances to which atoms of random crystals are pushed apart, `[a, a]` Å.

    They are smaller than `lengths` where spheres of that size would not fit into the cell.

    Args:
        lengths: `[a, a]` Å, distances of atoms in contact.
        min_distances: `[a, a]` Å, minimum distances.
        volume: volume of the cell, Å³.
    """
    filled = float((math.pi / 6 * lengths.diagonal().pow(3)).sum()) / volume
    shrinkage = min(1.0, (MAX_CONTACT_FRACTION / filled) ** (1 / 3))
    return torch.maximum(shrinkage * lengths, 1.02 * min_distances)

"""Consistency of forces with energies: whether one function can have both.

Forces in a wrong unit, with the wrong sign, a wrong factor or their atoms in another order make a
model of both bad, and no one is told. So energies are predicted from the forces alone.

Notation
    y  [b]      energies less those of the composition
    p  [b]      their means given the forces
    C  [b, b]   their covariance given the forces, noise included
    <a, b>      a^T C^-1 b, less what a common constant explains

    misfit      sqrt(<y - p, y - p> / <y, y>), 0 where forces say all, 1 where they say nothing
    z           sqrt(<y - p, y - p> / (b - 1)), about 1 where C is right
    factor      <p, y> / <p, p>, 1 for right forces

The noise of the energies is that of a fit to them alone, that of the forces one to them alone:
fitted together, each would take the contradiction for noise. Where structures are far from each
other, as relaxed ones are, C is wide, and forces close to zero contradict nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.surrogates.force_consistency import ForceConsistency
from bostruct.surrogates.local_gp.marginal_likelihood import (
    Rows,
    RowStatistics,
    StandardDeviations,
    weight_posterior,
)
from bostruct.surrogates.local_gp.outliers import in_units_of_spread
from bostruct.surrogates.training_data import species_counts

MIN_STRUCTURES, MAX_STRUCTURES = 5, 20
"""Numbers of structures whose forces are compared with their energies."""


def comparable_structures(structures: Structures) -> Structures | None:
    """Return structures with energies and forces in units of the energies' spread.

    At most `MAX_STRUCTURES` of those with forces, evenly spaced, the last one among them. None
    where there are too few or all energies are equal.

    Args:
        structures: Structures, with `energy` and `forces` where there are any.
    """
    if structures.forces is None or structures.energy is None:
        return None
    rows = structures.index[structures.forces.isfinite().all(-1)].unique()
    rows = rows[(len(rows) - 1) % max(-(-len(rows) // MAX_STRUCTURES), 1) :]
    rows = rows[:: max(-(-len(rows) // MAX_STRUCTURES), 1)]
    if len(rows) < MIN_STRUCTURES:
        return None
    structures = structures[rows.tolist()]
    species, index = structures.numbers.unique(return_inverse=True)
    scaled = in_units_of_spread(structures, species_counts(structures, index, len(species)))
    assert scaled.energy is not None
    return scaled if bool(scaled.energy.isfinite().all()) else None


def compare_energies(
    phi: Tensor,
    energies: Tensor,
    energy_noise: Tensor,
    forces: RowStatistics,
    s: Tensor,
    f: Tensor,
) -> ForceConsistency:
    """Return the consistency of b energies with forces.

    Args:
        phi: `[b, m]`, Nyström features of the energies.
        energies: `[b]` eV, less those of the composition.
        energy_noise: `[b]` eV, noise of each.
        forces: Statistics of the force rows.
        s: Signal, eV.
        f: Force noise, eV/Å.
    """
    none = RowStatistics.empty(phi.shape[1], phi)
    std = StandardDeviations(s, torch.ones_like(s), f)
    factor, weights = weight_posterior(Rows(none, forces), std)
    p = phi @ weights
    root = torch.linalg.solve_triangular(factor, phi.T, upper=False)
    C_inv = torch.linalg.inv(root.T @ root + energy_noise.square().diag())
    ones = C_inv.sum(-1)
    P = C_inv - torch.outer(ones, ones) / ones.sum()
    pp, py, yy = (float(a @ P @ b) for a, b in ((p, p), (p, energies), (energies, energies)))
    rest = max(yy - 2 * py + pp, 0.0)
    says_nothing = not pp > 0 or not yy > 0
    return ForceConsistency(
        misfit=math.sqrt(rest / yy) if yy > 0 else 0.0,
        z=math.sqrt(rest / (len(energies) - 1)),
        factor=0.0 if says_nothing else py / pp,
        scaled_misfit=1.0 if says_nothing else math.sqrt(max(1 - py**2 / (pp * yy), 0.0)),
        spread=0.0 if says_nothing else math.sqrt(pp / yy),
    )

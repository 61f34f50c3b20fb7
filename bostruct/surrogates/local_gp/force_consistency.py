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
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.surrogates.local_gp.marginal_likelihood import RowStatistics, weight_posterior
from bostruct.surrogates.local_gp.outliers import in_units_of_spread
from bostruct.surrogates.training_data import species_counts

MAX_MISFIT, MAX_Z = 0.15, 2.0
"""Largest misfit and z of consistent forces, where a factor would reconcile them. Half the misfit
of a factor of 1.3, and well above the 0.09 of a stiff potential that the model describes worst."""

MIN_IMPROVEMENT = 3.0
"""Ratio of the misfits without and with a factor from which on it reconciles them."""

MAX_MISFIT_OF_ANY_FACTOR, MAX_Z_OF_ANY_FACTOR = 0.5, 4.0
"""Largest misfit and z where no factor would: the model may be the one that is wrong, as for alloys
of few structures close to minima, which have misfits up to 0.8 and z up to 3.5."""

MIN_SPREAD, MAX_Z_OF_SMALL_FORCES = 0.1, 8.0
"""Spread of what forces say, below which they are small, and the largest z of small ones that are
consistent: minima are no random structures, and their forces vanish by choice."""

MIN_STRUCTURES, MAX_STRUCTURES = 5, 20
"""Numbers of structures whose forces are compared with their energies."""

FACTOR_TOLERANCE = 0.1
"""Relative difference of two factors that are taken for one."""

UNITS = {51.422: "Hartree/Bohr", 25.711: "Rydberg/Bohr", 27.211: "Hartree/Å", 13.606: "Rydberg/Å"}
"""Units of forces by their value in eV/Å."""


@final
@dataclass(frozen=True)
class ForceConsistency:
    """Comparison of energies with what the forces say of them.

    Attributes:
        misfit: Deviation of the energies from what the forces say, in units of their own spread.
        z: Root mean square of the deviation in standard deviations.
        factor: Factor on the forces with which they would agree best; 0 where they say nothing.
        scaled_misfit: Misfit that this factor leaves.
        spread: Spread of what the forces say of the energies, in units of the energies' own.
    """

    misfit: float
    z: float
    factor: float
    scaled_misfit: float
    spread: float

    @property
    def is_contradiction(self) -> bool:
        """True if one function cannot have these energies and forces."""
        limits = MAX_MISFIT_OF_ANY_FACTOR, MAX_Z_OF_ANY_FACTOR
        max_misfit, max_z = (MAX_MISFIT, MAX_Z) if self._is_reconcilable else limits
        if self.spread <= MIN_SPREAD:
            max_z = MAX_Z_OF_SMALL_FORCES
        return self.misfit > max_misfit and self.z > max_z

    @property
    def _is_reconcilable(self) -> bool:
        return MIN_IMPROVEMENT * self.scaled_misfit < self.misfit

    def sentence(self) -> str:
        """Return one sentence on a contradiction, with the likely cause; "" without one."""
        if not self.is_contradiction:
            return ""
        return (
            "the forces contradict the energies: the energies deviate from what the forces say by "
            f"{100 * self.misfit:.0f} % of their own spread; {self._cause()}"
        )

    def _cause(self) -> str:
        if not self._is_reconcilable:
            return "are the forces zero, of other structures, or their atoms in another order?"
        unit = _unit_of(self.factor)
        if unit:
            return f"they would agree times {self.factor:.4g}: are the forces in {unit}?"
        if abs(self.factor + 1) < FACTOR_TOLERANCE:
            return "they would agree with the other sign: are they gradients?"
        return f"they would agree times {self.factor:.4g}: is a unit or a conversion wrong?"


def _unit_of(factor: float) -> str:
    """Return the unit that a factor on forces converts to eV/Å, as text; "" if none is near."""
    value = min(UNITS, key=lambda value: abs(math.log(abs(factor) / value)))
    if abs(abs(factor) / value - 1) > FACTOR_TOLERANCE:
        return ""
    return UNITS[value] + (", and gradients" if factor < 0 else "")


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
    factor, weights = weight_posterior(none, forces, s, torch.ones_like(s), f)
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

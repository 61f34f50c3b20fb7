"""Contradiction of forces and energies: its limits, and the sentence on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

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
        max_misfit, max_z = (MAX_MISFIT, MAX_Z) if self.is_reconcilable else limits
        if self.spread <= MIN_SPREAD:
            max_z = MAX_Z_OF_SMALL_FORCES
        return self.misfit > max_misfit and self.z > max_z

    @property
    def is_reconcilable(self) -> bool:
        """True if a factor on the forces would make most of the misfit vanish."""
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
        if not self.is_reconcilable:
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

"""Contradiction of stresses and energies: its limits, and the sentence on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

MIN_CORRELATION = 0.9
"""Least correlation of stresses with those that energies and forces tell, from which on a factor
between them is known: 0.98 to 1 for two and more random crystals of metals, ions, silicon and
Lennard-Jones atoms."""

FACTOR_RANGE = (2 / 3, 3 / 2)
"""Factors that are taken for one: of two random crystals they are 0.93 to 1.06."""

UNIT_TOLERANCE = 0.25
"""Relative difference of a factor from a unit that is taken for it."""

UNITS = {
    0.0062415: "GPa",
    0.00062415: "kbar",
    6.2415e-6: "MPa",
    6.2415e-12: "Pa",
    183.63: "Hartree/Bohr³",
    91.82: "Rydberg/Bohr³",
}
"""Units of stresses by their value in eV/Å³."""


@final
@dataclass(frozen=True)
class StressConsistency:
    """Comparison of stresses with what energies and forces say of them.

    Attributes:
        correlation: Correlation of stresses with what energies and forces say of them, about zero,
            from -1 to 1; 0 where one of them vanishes.
        factor: Factor on the stresses with which they would agree best.
    """

    correlation: float
    factor: float

    @property
    def is_contradiction(self) -> bool:
        """True if one function cannot have these energies, forces and stresses."""
        low, high = FACTOR_RANGE
        return abs(self.correlation) >= MIN_CORRELATION and not low <= self.factor <= high

    def sentence(self) -> str:
        """Return one sentence on a contradiction, with the likely cause; "" without one."""
        if not self.is_contradiction:
            return ""
        return (
            "the stresses contradict energies and forces: they would agree times "
            f"{self.factor:.3g}; {self._cause()}"
        )

    def _cause(self) -> str:
        if abs(math.log(abs(self.factor))) < UNIT_TOLERANCE:
            return "are they positive under compression? Tension is positive."
        value = min(UNITS, key=lambda value: abs(math.log(abs(self.factor) / value)))
        if abs(math.log(abs(self.factor) / value)) < UNIT_TOLERANCE:
            signs = ", and positive under compression" if self.factor < 0 else ""
            return f"are they in {UNITS[value]}{signs}? They are to be in eV/Å³."
        if self.factor < 0:
            return "are they virials, not stresses? Those are in eV/Å³, positive under tension."
        return "is a unit or a conversion wrong? They are to be in eV/Å³."

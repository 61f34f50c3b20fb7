"""Forces under constraints: components that a constraint has removed are unknown, not zero.

ASE's `get_forces` removes the components along which atoms cannot move, and files keep what is
left. As data these zeros would be false.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

RELATIVE_TOLERANCE = 1e-6
"""Largest change, relative to the largest force, of forces that a constraint leaves as they are;
files hold eight digits."""

NET_FORCE_CONSTRAINTS = ("FixCom", "FixSubsetCom", "FixSymmetry")
"""Constraints that remove only what the forces on a whole structure do not have."""


def mask_constrained_forces(atoms: Atoms, forces: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Return forces `[a, 3]` in eV/Å with NaN where a constraint may have removed a component.

    A constraint has been applied if applying it again changes nothing. Then every component that it
    acts on is unknown; else all forces are those of the potential.
    """
    masked = np.array(forces, dtype=np.float64)
    for constraint in atoms.constraints:
        if type(constraint).__name__ in NET_FORCE_CONSTRAINTS:
            continue
        try:
            again = np.array(forces, dtype=np.float64)
            # No constraint leaves a component of random forces by chance.
            probe = np.random.default_rng(0).normal(size=(len(atoms), 3))
            projected = probe.copy()
            constraint.adjust_forces(atoms, again)
            constraint.adjust_forces(atoms, projected)
        except Exception:  # noqa: BLE001 - foreign code; the forces may be anything
            return np.full_like(masked, np.nan)
        largest = float(np.nanmax(np.abs(masked), initial=0.0))
        if np.allclose(again, forces, rtol=0, atol=RELATIVE_TOLERANCE * largest):
            masked[~np.isclose(projected, probe, rtol=0, atol=RELATIVE_TOLERANCE)] = np.nan
    return masked


def changes_energy(atoms: Atoms) -> str:
    """Return the name of a constraint that adds an energy of its own, "" for none."""
    for constraint in atoms.constraints:
        if hasattr(constraint, "adjust_potential_energy"):
            return type(constraint).__name__
    return ""

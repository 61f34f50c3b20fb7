"""An equation of state: volume at rest and bulk modulus, with the error of the fit.

Third-order Birch-Murnaghan, as ASE's `EquationOfState` fits it; F. Birch, Phys. Rev.
71, 809 (1947), doi:10.1103/PhysRev.71.809.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from bostruct.evaluators.alloys.relaxation import settle, strained

if TYPE_CHECKING:
    from ase import Atoms

POINTS = 7
LARGEST = 0.02
"""Largest linear strain, so 6 % of the volume."""


@final
@dataclass(frozen=True)
class Curve:
    """What a fit says; NaN where it says nothing.

    Attributes:
        volume: At rest, Å³.
        energy: At rest, eV.
        modulus: Bulk modulus, eV/Å³.
        error: Standard error of the modulus by the residuals of the fit, eV/Å³.
        reason: Why this is no equation of state; nothing where it is.
    """

    volume: float = np.nan
    energy: float = np.nan
    modulus: float = np.nan
    error: float = np.nan
    reason: str = ""


def fit(volumes: np.ndarray, energies: np.ndarray) -> Curve:
    """Return the equation of state through energies.

    Args:
        volumes: `[m]` Å³, at least five.
        energies: `[m]` eV.
    """
    from ase.eos import EquationOfState, birchmurnaghan
    from scipy.optimize import curve_fit

    volumes, energies = np.asarray(volumes), np.asarray(energies)
    if not np.isfinite(energies).all():
        return Curve(reason="an energy of the equation of state is not finite")
    least = energies.min()
    state = EquationOfState(volumes, energies - least, eos="birchmurnaghan")
    try:
        # scipy and numpy warn of garbage; what it leads to is judged below.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            volume, energy, modulus = state.fit(warn=False)
            start = state.eos_parameters
            _, covariance = curve_fit(
                birchmurnaghan, volumes, energies - least, p0=start
            )
    except (RuntimeError, ValueError, FloatingPointError) as cause:
        return Curve(reason=f"the equation of state cannot be fitted: {cause}")
    error = float(np.sqrt(max(covariance[1, 1], 0.0)))
    reason = ""
    if not volumes.min() < volume < volumes.max():
        reason = (
            f"the least energy is at {volume:.4g} Å³, not between the volumes "
            f"{volumes.min():.4g} and {volumes.max():.4g} Å³ of the fit"
        )
    return Curve(float(volume), float(energy + least), float(modulus), error, reason)


def curve(atoms: Atoms, *, force: float | None = None, steps: int = 0) -> Curve:
    """Return the equation of state of a crystal around its volume.

    Args:
        atoms: With a calculator, at rest; not changed.
        force: Where the atoms are to come to rest in each strained cell, what may be
            left on one, eV/Å; None keeps their fractional coordinates.
        steps: Most steps for it.
    """
    volumes, energies = [], []
    for strain in np.linspace(-LARGEST, LARGEST, POINTS):
        moved = strained(atoms, strain * np.eye(3))
        if force is not None and (reason := settle(moved, force, steps)):
            return Curve(reason=reason)
        volumes.append(moved.get_volume())
        energies.append(float(moved.get_potential_energy()))
    return fit(np.array(volumes), np.array(energies))

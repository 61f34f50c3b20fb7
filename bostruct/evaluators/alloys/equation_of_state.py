"""Equation of state: equilibrium volume and bulk modulus, with the error of the fit.

Third-order Birch-Murnaghan, as ASE's `EquationOfState` fits it; F. Birch, Phys. Rev. 71, 809
(1947), doi:10.1103/PhysRev.71.809.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from bostruct.evaluators.alloys.relaxation import apply_strain, relax_ions

if TYPE_CHECKING:
    from ase import Atoms

N_VOLUMES = 7
MAX_LINEAR_STRAIN = 0.02
"""Largest linear strain, so 6 % of the volume."""

MAX_VOLUME_MISMATCH = 0.02
"""Largest relative difference of the volumes of a relaxation and of its equation of state."""

MAX_ENERGY_MISMATCH = 0.001
"""Largest difference of their energies, eV per atom, and largest rise in a relaxation: beyond it,
a wrong energy misled one of them."""


@final
@dataclass(frozen=True)
class EquationOfStateFit:
    """Result of a fit; NaN where it failed.

    Attributes:
        volume: Equilibrium volume, Å³.
        energy: Energy at the equilibrium volume, eV.
        bulk_modulus: Bulk modulus, eV/Å³.
        bulk_modulus_error: Standard error of the modulus by the residuals of the fit, eV/Å³.
        reason: Explanation why the fit is not valid; empty where it is.
    """

    volume: float = np.nan
    energy: float = np.nan
    bulk_modulus: float = np.nan
    bulk_modulus_error: float = np.nan
    reason: str = ""


def fit_birch_murnaghan(volumes: np.ndarray, energies: np.ndarray) -> EquationOfStateFit:
    """Return the equation of state fitted to energies.

    Args:
        volumes: `[m]` Å³, at least five.
        energies: `[m]` eV.
    """
    from ase.eos import EquationOfState, birchmurnaghan
    from scipy.optimize import curve_fit

    volumes, energies = np.asarray(volumes), np.asarray(energies)
    if not np.isfinite(energies).all():
        return EquationOfStateFit(reason="an energy of the equation of state is not finite")
    lowest = energies.min()
    eos = EquationOfState(volumes, energies - lowest, eos="birchmurnaghan")
    try:
        # scipy and numpy warn of garbage; the result is checked below.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            volume, energy, modulus = eos.fit(warn=False)
            start = eos.eos_parameters
            _, covariance = curve_fit(birchmurnaghan, volumes, energies - lowest, p0=start)
    except (RuntimeError, ValueError, FloatingPointError) as error:
        return EquationOfStateFit(reason=f"the equation of state cannot be fitted: {error}")
    modulus_error = float(np.sqrt(max(covariance[1, 1], 0.0)))
    reason = ""
    if not volumes.min() < volume < volumes.max():
        reason = (
            f"the least energy is at {volume:.4g} Å³, not between the volumes "
            f"{volumes.min():.4g} and {volumes.max():.4g} Å³ of the fit"
        )
    return EquationOfStateFit(
        float(volume), float(energy + lowest), float(modulus), modulus_error, reason
    )


def compute_equation_of_state(
    atoms: Atoms, *, ion_fmax: float | None = None, max_steps: int = 0
) -> EquationOfStateFit:
    """Return the equation of state of a crystal around its volume.

    Args:
        atoms: Relaxed crystal with a calculator; not changed.
        ion_fmax: Force tolerance of the relaxation of the ions at each volume, eV/Å; None keeps
            their fractional coordinates.
        max_steps: Largest number of steps of that relaxation.
    """
    volumes, energies = [], []
    for strain in np.linspace(-MAX_LINEAR_STRAIN, MAX_LINEAR_STRAIN, N_VOLUMES):
        strained = apply_strain(atoms, strain * np.eye(3))
        if ion_fmax is not None and (reason := relax_ions(strained, ion_fmax, max_steps)):
            return EquationOfStateFit(reason=reason)
        volumes.append(strained.get_volume())
        energies.append(float(strained.get_potential_energy()))
    return fit_birch_murnaghan(np.array(volumes), np.array(energies))

"""Plausibility checks of the properties of an alloy: names, units and valid ranges."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from bostruct.errors import InputError
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.elastic_constants import ElasticConstants
from bostruct.evaluators.alloys.equation_of_state import (
    MAX_ENERGY_MISMATCH,
    MAX_VOLUME_MISMATCH,
    EquationOfStateFit,
)
from bostruct.evaluators.alloys.prices import price_per_kg
from bostruct.evaluators.alloys.relaxation import RelaxedCrystal
from bostruct.evaluators.quarantine import ValidRange

GPA_PER_EV_PER_A3 = 160.21766208
"""GPa in an eV/Å³, by the CODATA values of 2014 that ASE uses."""

G_PER_CM3_PER_AMU_PER_A3 = 1.66053904
"""g/cm³ in an atomic mass unit per Å³, by the same values."""

MIN_FORCE_CONSTANT = 1.0
"""Smallest force constant of a metal, eV/Å²: a relaxation that leaves a force F on an atom, or as
much of the virial, ends at most about F²/`MIN_FORCE_CONSTANT` above the minimum."""

FLOAT32_ENERGY_ERROR = 1e-6
"""Rounding error of energies in single precision, eV per atom."""

ENERGY = "energy_eV_per_atom"
VOLUME = "volume_A3_per_atom"
DENSITY = "density_g_per_cm3"
PRICE = "price_usd_per_kg_2013"
BULK_MODULUS = "bulk_modulus_GPa"
BULK_MODULUS_ERROR = "bulk_modulus_error_GPa"
ELASTIC_ERROR = "elastic_error_GPa"
SHEAR_MODULUS = "shear_modulus_GPa"
PUGH_RATIO = "pugh_ratio"
CAUCHY_PRESSURE = "cauchy_pressure_GPa"
C11, C12, C44 = "C11_GPa", "C12_GPa", "C44_GPa"
ELASTIC_CONSTANTS = (C11, C12, C44)
ELASTIC_PROPERTIES = (*ELASTIC_CONSTANTS, SHEAR_MODULUS, PUGH_RATIO, CAUCHY_PRESSURE)

VALID_RANGES: Mapping[str, ValidRange] = MappingProxyType(
    {
        ENERGY: (None, None),  # as large as a calculator's zero makes it
        MIXING_ENTHALPY: (-2.0, 2.0),
        VOLUME: (4.0, 150.0),  # C 5.7, Cs 116
        DENSITY: (0.3, 25.0),  # Li 0.5, Os 22.6
        PRICE: (0.0, None),
        BULK_MODULUS: (1.0, 600.0),  # Cs 1.6, C 443
        BULK_MODULUS_ERROR: (0.0, None),
        C11: (-500.0, 1500.0),  # C 1079; negative ones are of unstable crystals
        C12: (-500.0, 1500.0),
        C44: (-500.0, 1000.0),
        SHEAR_MODULUS: (0.1, 700.0),
        PUGH_RATIO: (0.1, 50.0),
        CAUCHY_PRESSURE: (-1000.0, 1000.0),
        ELASTIC_ERROR: (0.0, None),
    }
)
"""Valid range of each property, in its own unit, wide enough for metals and hard crystals."""

DERIVED_FROM: Mapping[str, Collection[str]] = MappingProxyType(
    {
        ENERGY: (MIXING_ENTHALPY,),
        DENSITY: (VOLUME,),
        BULK_MODULUS: (VOLUME,),
        BULK_MODULUS_ERROR: (BULK_MODULUS,),
        C11: (VOLUME,),
        C12: (VOLUME,),
        C44: (VOLUME,),
        SHEAR_MODULUS: ELASTIC_CONSTANTS,
        PUGH_RATIO: (SHEAR_MODULUS,),
        CAUCHY_PRESSURE: (C12, C44),
    }
)
"""Properties from which each property is computed."""

ValuesAndDoubts = tuple[dict[str, float], dict[str, str]]
"""Values by name, and the reasons, by name, why some are doubtful or missing."""


def price_property(composition: Mapping[str, float]) -> ValuesAndDoubts:
    """Return the price of a composition, or why there is none."""
    try:
        return {PRICE: price_per_kg(composition)}, {}
    except InputError as error:
        return {}, {PRICE: str(error)}


def relaxed_properties(
    relaxed: RelaxedCrystal,
    initial_energy: float,
    volume: float,
    mass: float,
    n_atoms: int,
    reference_energy: float,
) -> ValuesAndDoubts:
    """Return the properties of the relaxed crystal.

    Args:
        relaxed: Final state of the relaxation.
        initial_energy: Energy before the relaxation, eV.
        volume: Volume of the relaxed cell, Å³.
        mass: Mass of the cell, atomic mass units.
        n_atoms: Number of atoms of the cell.
        reference_energy: Energy of as many atoms of the pure elements, eV.
    """
    values = {
        ENERGY: relaxed.energy / n_atoms,
        MIXING_ENTHALPY: (relaxed.energy - reference_energy) / n_atoms,
        VOLUME: volume / n_atoms,
        DENSITY: G_PER_CM3_PER_AMU_PER_A3 * mass / volume,
    }
    reason, rise = relaxed.reason, relaxed.energy - initial_energy
    if not reason and rise > MAX_ENERGY_MISMATCH * n_atoms:
        reason = f"the relaxation raised the energy by {rise / n_atoms:.3g} eV per atom"
    return values, dict.fromkeys((MIXING_ENTHALPY, VOLUME), reason) if reason else {}


def element_enthalpy(enthalpy: float, fmax: float) -> float:
    """Return the mixing enthalpy of an element, exactly 0 in its reference crystal.

    The difference of two relaxations would be 1e-9 or -1e-9 eV instead, and decide by rounding
    whether a bound at 0 is satisfied. An element in another crystal keeps its energy difference.

    Args:
        enthalpy: Energy of the relaxed crystal minus that of the reference, eV per atom.
        fmax: Force tolerance of the relaxation, eV/Å.

    >>> element_enthalpy(3e-9, 0.002), element_enthalpy(0.005, 0.002)
    (0.0, 0.005)
    """
    tolerance = max(fmax**2 / MIN_FORCE_CONSTANT, FLOAT32_ENERGY_ERROR)
    return 0.0 if abs(enthalpy) <= tolerance else enthalpy


def eos_properties(
    eos: EquationOfStateFit,
    relaxed: RelaxedCrystal,
    volume: float,
    n_atoms: int,
    max_relative_error: float,
) -> ValuesAndDoubts:
    """Return the bulk modulus, and doubts raised by the equation of state.

    Args:
        eos: Equation of state.
        relaxed: Final state of the relaxation.
        volume: Volume of the relaxed cell, Å³.
        n_atoms: Number of atoms of the cell.
        max_relative_error: Largest trusted relative error of the bulk modulus.
    """
    modulus = eos.bulk_modulus * GPA_PER_EV_PER_A3
    error = eos.bulk_modulus_error * GPA_PER_EV_PER_A3
    values = {BULK_MODULUS: modulus, BULK_MODULUS_ERROR: error}
    reason = eos.reason
    if not reason and not abs(eos.volume / volume - 1) < MAX_VOLUME_MISMATCH:
        reason = (
            f"the equation of state is at rest at {eos.volume:.4g} Å³, the crystal "
            f"at {volume:.4g} Å³"
        )
    if not reason and not eos.bulk_modulus_error <= max_relative_error * abs(eos.bulk_modulus):
        reason = (
            f"{modulus:.4g} GPa has a standard error of {error:.3g} "
            "GPa in the fit of the equation of state"
        )
    if not reason and not abs(eos.energy - relaxed.energy) <= MAX_ENERGY_MISMATCH * n_atoms:
        # One of the two is wrong, and nothing tells which.
        reason = (
            f"the crystal at rest is {(relaxed.energy - eos.energy) / n_atoms:.3g} eV per atom "
            "from the least energy of its equation of state"
        )
        return values, {BULK_MODULUS: reason, MIXING_ENTHALPY: reason}
    return values, {BULK_MODULUS: reason} if reason else {}


def elastic_properties(
    constants: ElasticConstants, bulk_modulus: float | None, max_relative_error: float
) -> ValuesAndDoubts:
    """Return the elastic constants and the properties derived from them.

    Args:
        constants: Elastic constants.
        bulk_modulus: Bulk modulus of the equation of state, GPa, or None.
        max_relative_error: Largest trusted relative error of a constant or of the bulk modulus.
    """
    if constants.reason:
        return {}, dict.fromkeys(ELASTIC_PROPERTIES, constants.reason)
    values = {
        C11: constants.c11 * GPA_PER_EV_PER_A3,
        C12: constants.c12 * GPA_PER_EV_PER_A3,
        C44: constants.c44 * GPA_PER_EV_PER_A3,
        ELASTIC_ERROR: constants.symmetry_error * GPA_PER_EV_PER_A3,
        CAUCHY_PRESSURE: (constants.c12 - constants.c44) * GPA_PER_EV_PER_A3,
    }
    doubts: dict[str, str] = {}
    max_error = max_relative_error * abs(constants.c11)
    if not constants.symmetry_error <= max_error:
        reason = f"C violates its symmetry by {values[ELASTIC_ERROR]:.3g} GPa"
        doubts = dict.fromkeys(ELASTIC_CONSTANTS, reason)
    elif not constants.nonlinearity <= max_error:
        nonlinearity = constants.nonlinearity * GPA_PER_EV_PER_A3
        reason = f"opposite strains differ in stress by {nonlinearity:.3g} GPa per strain"
        doubts = dict.fromkeys(ELASTIC_CONSTANTS, reason)
    elastic = constants.bulk_modulus * GPA_PER_EV_PER_A3
    if bulk_modulus is not None and not (
        abs(elastic - bulk_modulus) <= max_relative_error * abs(bulk_modulus)
    ):
        # One of the two is wrong, and nothing tells which.
        reason = (
            f"(C11 + 2 C12) / 3 is {elastic:.4g} GPa, the equation of state says "
            f"{bulk_modulus:.4g} GPa"
        )
        doubts = dict.fromkeys((BULK_MODULUS, C11, C12), reason) | doubts
    if constants.violated_born_criteria:
        # The constants are valid, but a polycrystal of it has no modulus.
        reason = f"the crystal is not stable: it violates {constants.violated_born_criteria}"
        return values, {SHEAR_MODULUS: reason, PUGH_RATIO: reason} | doubts
    values[SHEAR_MODULUS] = constants.shear_modulus * GPA_PER_EV_PER_A3
    values[PUGH_RATIO] = constants.bulk_modulus / constants.shear_modulus
    return values, doubts

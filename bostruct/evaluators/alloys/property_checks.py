"""The properties of an alloy: names, units, windows, and which of them to believe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from bostruct.errors import InputError
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.elastic_constants import ElasticConstants
from bostruct.evaluators.alloys.equation_of_state import EquationOfStateFit
from bostruct.evaluators.alloys.prices import price_per_kg
from bostruct.evaluators.alloys.relaxation import RelaxedCrystal
from bostruct.evaluators.quarantine import ValidRange

GPA_PER_EV_PER_A3 = 160.21766208
"""GPa in an eV/Å³, the CODATA value of 2014 that ASE has."""

G_PER_CM3_PER_AMU_PER_A3 = 1.66053904
"""g/cm³ in an atomic mass unit per Å³; likewise."""

MAX_ENERGY_RISE = 0.001
"""eV per atom. A relaxation that ends higher by more was misled by a wrong energy, and
so was one that ends as far from the least energy of the equation of state."""

MAX_VOLUME_MISMATCH = 0.02
"""Of the volume: relaxation and equation of state must agree that well."""

MIN_FORCE_CONSTANT = 1.0
"""eV/Å². Few metals are softer: a relaxation that leaves a force F on an atom, or that
much of the virial, ends about F²/SOFT above rest at most."""

FLOAT32_ENERGY_ERROR = 1e-6
"""eV per atom. What single precision leaves, however small the forces."""

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
"""What is believed of each property, in its own unit, of metals and hard crystals."""

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
"""What each property is computed from."""

ValuesAndDoubts = tuple[dict[str, float], dict[str, str]]
"""Values by name, and why some are not believed or missing."""


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
    """Return the properties of the crystal at rest.

    Args:
        relaxed: Where the relaxation ended.
        initial_energy: Energy before it, eV.
        volume: Of the cell at rest, Å³.
        mass: Of its atoms, atomic mass units.
        n_atoms: Of its atoms.
        reference_energy: Energy of the elements by themselves, eV.
    """
    values = {
        ENERGY: relaxed.energy / n_atoms,
        MIXING_ENTHALPY: (relaxed.energy - reference_energy) / n_atoms,
        VOLUME: volume / n_atoms,
        DENSITY: G_PER_CM3_PER_AMU_PER_A3 * mass / volume,
    }
    reason = relaxed.reason
    if not reason and relaxed.energy - initial_energy > MAX_ENERGY_RISE * n_atoms:
        raised = (relaxed.energy - initial_energy) / n_atoms
        reason = f"the relaxation raised the energy by {raised:.3g} eV per atom"
    return values, dict.fromkeys((MIXING_ENTHALPY, VOLUME), reason) if reason else {}


def element_enthalpy(enthalpy: float, fmax: float) -> float:
    """Return the mixing enthalpy of an element, exactly 0 where that is its reference.

    An element mixes with nothing. The difference of two relaxations says 1e-9 or -1e-9
    eV instead, and whether a bound at 0 is kept hung on it. An element in another
    crystal keeps what that costs.

    Args:
        enthalpy: The energy at rest against the reference, eV per atom.
        fmax: What a relaxation may leave on an atom, eV/Å.

    >>> element_enthalpy(3e-9, 0.002), element_enthalpy(0.005, 0.002)
    (0.0, 0.005)
    """
    return (
        0.0
        if abs(enthalpy) <= max(fmax**2 / MIN_FORCE_CONSTANT, FLOAT32_ENERGY_ERROR)
        else enthalpy
    )


def eos_properties(
    eos: EquationOfStateFit,
    relaxed: RelaxedCrystal,
    volume: float,
    n_atoms: int,
    max_relative_error: float,
) -> ValuesAndDoubts:
    """Return the bulk modulus, and what the equation of state says of the rest.

    Args:
        eos: The equation of state.
        relaxed: Where the relaxation ended.
        volume: Of the cell at rest, Å³.
        n_atoms: Of its atoms.
        max_relative_error: Largest relative error that is believed.
    """
    values = {
        BULK_MODULUS: eos.bulk_modulus * GPA_PER_EV_PER_A3,
        BULK_MODULUS_ERROR: eos.bulk_modulus_error * GPA_PER_EV_PER_A3,
    }
    reason = eos.reason
    if not reason and not abs(eos.volume / volume - 1) < MAX_VOLUME_MISMATCH:
        reason = (
            f"the equation of state is at rest at {eos.volume:.4g} Å³, the crystal "
            f"at {volume:.4g} Å³"
        )
    if not reason and not eos.bulk_modulus_error <= max_relative_error * abs(eos.bulk_modulus):
        reason = (
            f"{values[BULK_MODULUS]:.4g} GPa has a standard error of {values[BULK_MODULUS_ERROR]:.3g} "
            "GPa in the fit of the equation of state"
        )
    if not reason and not abs(eos.energy - relaxed.energy) <= MAX_ENERGY_RISE * n_atoms:
        apart = (relaxed.energy - eos.energy) / n_atoms
        # One of them is wrong, and nothing says which.
        reason = (
            f"the crystal at rest is {apart:.3g} eV per atom from the least energy of "
            "its equation of state"
        )
        return values, {BULK_MODULUS: reason, MIXING_ENTHALPY: reason}
    return values, {BULK_MODULUS: reason} if reason else {}


def elastic_properties(
    constants: ElasticConstants, bulk_modulus: float | None, max_relative_error: float
) -> ValuesAndDoubts:
    """Return the elastic constants and what is made of them.

    Args:
        constants: The elastic constants.
        bulk_modulus: The bulk modulus of the equation of state, GPa, or None.
        max_relative_error: Largest relative error that is believed.
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
    if not constants.symmetry_error <= max_relative_error * abs(constants.c11):
        reason = f"C violates its symmetry by {values[ELASTIC_ERROR]:.3g} GPa"
        doubts = dict.fromkeys(ELASTIC_CONSTANTS, reason)
    elif not constants.nonlinearity <= max_relative_error * abs(constants.c11):
        bend = constants.nonlinearity * GPA_PER_EV_PER_A3
        reason = f"opposite strains differ in stress by {bend:.3g} GPa per strain"
        doubts = dict.fromkeys(ELASTIC_CONSTANTS, reason)
    own = constants.bulk_modulus * GPA_PER_EV_PER_A3
    if bulk_modulus is not None and not abs(own - bulk_modulus) <= max_relative_error * abs(
        bulk_modulus
    ):
        # One of them is wrong, and nothing says which.
        reason = (
            f"(C11 + 2 C12) / 3 is {own:.4g} GPa, the equation of state says {bulk_modulus:.4g} GPa"
        )
        doubts = dict.fromkeys((BULK_MODULUS, C11, C12), reason) | doubts
    if constants.violated_born_criteria:
        # The constants are as they are; a polycrystal of it has no modulus.
        reason = f"the crystal is not stable: it violates {constants.violated_born_criteria}"
        return values, {SHEAR_MODULUS: reason, PUGH_RATIO: reason} | doubts
    values |= {
        SHEAR_MODULUS: constants.shear_modulus * GPA_PER_EV_PER_A3,
        PUGH_RATIO: constants.bulk_modulus / constants.shear_modulus,
    }
    return values, doubts

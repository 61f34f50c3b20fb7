"""The properties of an alloy: names, units, windows, and which of them to believe."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from bostruct.errors import InputError
from bostruct.evaluators.alloys.convex_hull import ENTHALPY
from bostruct.evaluators.alloys.elastic_constants import Elastic
from bostruct.evaluators.alloys.equation_of_state import Curve
from bostruct.evaluators.alloys.prices import price
from bostruct.evaluators.alloys.relaxation import Rest
from bostruct.evaluators.quarantine import Window

GPA = 160.21766208
"""GPa in an eV/Å³, the CODATA value of 2014 that ASE has."""

GRAM = 1.66053904
"""g/cm³ in an atomic mass unit per Å³; likewise."""

RAISED = 0.001
"""eV per atom. A relaxation that ends higher by more was misled by a wrong energy, and
so was one that ends as far from the least energy of the equation of state."""

DISAGREE = 0.02
"""Of the volume: relaxation and equation of state must agree that well."""

SOFT = 1.0
"""eV/Å². Few metals are softer: a relaxation that leaves a force F on an atom, or that
much of the virial, ends about F²/SOFT above rest at most."""

SINGLE = 1e-6
"""eV per atom. What single precision leaves, however small the forces."""

ENERGY = "energy_eV_per_atom"
VOLUME = "volume_A3_per_atom"
DENSITY = "density_g_per_cm3"
PRICE = "price_usd_per_kg_2013"
BULK = "bulk_modulus_GPa"
BULK_ERROR = "bulk_modulus_error_GPa"
ELASTIC_ERROR = "elastic_error_GPa"
SHEAR = "shear_modulus_GPa"
PUGH = "pugh_ratio"
CAUCHY = "cauchy_pressure_GPa"
C11, C12, C44 = "C11_GPa", "C12_GPa", "C44_GPa"
CONSTANTS = (C11, C12, C44)
MODULI = (*CONSTANTS, SHEAR, PUGH, CAUCHY)

WINDOWS: Mapping[str, Window] = MappingProxyType(
    {
        ENERGY: (None, None),  # as large as a calculator's zero makes it
        ENTHALPY: (-2.0, 2.0),
        VOLUME: (4.0, 150.0),  # C 5.7, Cs 116
        DENSITY: (0.3, 25.0),  # Li 0.5, Os 22.6
        PRICE: (0.0, None),
        BULK: (1.0, 600.0),  # Cs 1.6, C 443
        BULK_ERROR: (0.0, None),
        C11: (-500.0, 1500.0),  # C 1079; negative ones are of unstable crystals
        C12: (-500.0, 1500.0),
        C44: (-500.0, 1000.0),
        SHEAR: (0.1, 700.0),
        PUGH: (0.1, 50.0),
        CAUCHY: (-1000.0, 1000.0),
        ELASTIC_ERROR: (0.0, None),
    }
)
"""What is believed of each property, in its own unit, of metals and hard crystals."""

RESTS: Mapping[str, Collection[str]] = MappingProxyType(
    {
        ENERGY: (ENTHALPY,),
        DENSITY: (VOLUME,),
        BULK: (VOLUME,),
        BULK_ERROR: (BULK,),
        C11: (VOLUME,),
        C12: (VOLUME,),
        C44: (VOLUME,),
        SHEAR: CONSTANTS,
        PUGH: (SHEAR,),
        CAUCHY: (C12, C44),
    }
)
"""What each property is computed from."""

Found = tuple[dict[str, float], dict[str, str]]
"""Values by name, and why some are not believed or missing."""


def priced(composition: Mapping[str, float]) -> Found:
    """Return the price of a composition, or why there is none."""
    try:
        return {PRICE: price(composition)}, {}
    except InputError as error:
        return {}, {PRICE: str(error)}


def rested(
    rest: Rest, given: float, volume: float, mass: float, count: int, zero: float
) -> Found:
    """Return the properties of the crystal at rest.

    Args:
        rest: Where the relaxation ended.
        given: Energy before it, eV.
        volume: Of the cell at rest, Å³.
        mass: Of its atoms, atomic mass units.
        count: Of its atoms.
        zero: Energy of the elements by themselves, eV.
    """
    values = {
        ENERGY: rest.energy / count,
        ENTHALPY: (rest.energy - zero) / count,
        VOLUME: volume / count,
        DENSITY: GRAM * mass / volume,
    }
    reason = rest.reason
    if not reason and rest.energy - given > RAISED * count:
        raised = (rest.energy - given) / count
        reason = f"the relaxation raised the energy by {raised:.3g} eV per atom"
    return values, dict.fromkeys((ENTHALPY, VOLUME), reason) if reason else {}


def own(enthalpy: float, force: float) -> float:
    """Return the mixing enthalpy of an element, exactly 0 where that is its reference.

    An element mixes with nothing. The difference of two relaxations says 1e-9 or -1e-9
    eV instead, and whether a bound at 0 is kept hung on it. An element in another
    crystal keeps what that costs.

    Args:
        enthalpy: The energy at rest against the reference, eV per atom.
        force: What a relaxation may leave on an atom, eV/Å.

    >>> own(3e-9, 0.002), own(0.005, 0.002)
    (0.0, 0.005)
    """
    return 0.0 if abs(enthalpy) <= max(force**2 / SOFT, SINGLE) else enthalpy


def compressed(
    state: Curve, rest: Rest, volume: float, count: int, error: float
) -> Found:
    """Return the bulk modulus, and what the equation of state says of the rest.

    Args:
        state: The equation of state.
        rest: Where the relaxation ended.
        volume: Of the cell at rest, Å³.
        count: Of its atoms.
        error: Largest relative error that is believed.
    """
    values = {BULK: state.modulus * GPA, BULK_ERROR: state.error * GPA}
    reason = state.reason
    if not reason and not abs(state.volume / volume - 1) < DISAGREE:
        reason = (
            f"the equation of state is at rest at {state.volume:.4g} Å³, the crystal "
            f"at {volume:.4g} Å³"
        )
    if not reason and not state.error <= error * abs(state.modulus):
        reason = (
            f"{values[BULK]:.4g} GPa has a standard error of {values[BULK_ERROR]:.3g} "
            "GPa in the fit of the equation of state"
        )
    if not reason and not abs(state.energy - rest.energy) <= RAISED * count:
        apart = (rest.energy - state.energy) / count
        # One of them is wrong, and nothing says which.
        reason = (
            f"the crystal at rest is {apart:.3g} eV per atom from the least energy of "
            "its equation of state"
        )
        return values, {BULK: reason, ENTHALPY: reason}
    return values, {BULK: reason} if reason else {}


def stretched(constants: Elastic, bulk: float | None, error: float) -> Found:
    """Return the elastic constants and what is made of them.

    Args:
        constants: The elastic constants.
        bulk: The bulk modulus of the equation of state, GPa, or None.
        error: Largest relative error that is believed.
    """
    if constants.reason:
        return {}, dict.fromkeys(MODULI, constants.reason)
    values = {
        C11: constants.c11 * GPA,
        C12: constants.c12 * GPA,
        C44: constants.c44 * GPA,
        ELASTIC_ERROR: constants.error * GPA,
        CAUCHY: (constants.c12 - constants.c44) * GPA,
    }
    doubts: dict[str, str] = {}
    if not constants.error <= error * abs(constants.c11):
        reason = f"C violates its symmetry by {values[ELASTIC_ERROR]:.3g} GPa"
        doubts = dict.fromkeys(CONSTANTS, reason)
    elif not constants.bend <= error * abs(constants.c11):
        bend = constants.bend * GPA
        reason = f"opposite strains differ in stress by {bend:.3g} GPa per strain"
        doubts = dict.fromkeys(CONSTANTS, reason)
    own = constants.bulk * GPA
    if bulk is not None and not abs(own - bulk) <= error * abs(bulk):
        # One of them is wrong, and nothing says which.
        reason = (
            f"(C11 + 2 C12) / 3 is {own:.4g} GPa, the equation of state says "
            f"{bulk:.4g} GPa"
        )
        doubts = dict.fromkeys((BULK, C11, C12), reason) | doubts
    if constants.unstable:
        # The constants are as they are; a polycrystal of it has no modulus.
        reason = f"the crystal is not stable: it violates {constants.unstable}"
        return values, {SHEAR: reason, PUGH: reason} | doubts
    values |= {SHEAR: constants.shear * GPA, PUGH: constants.bulk / constants.shear}
    return values, doubts

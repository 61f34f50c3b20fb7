"""Reference energies of the elements: the zero of a mixing enthalpy.

Each element is relaxed once in its crystal at room temperature (ASE's reference state) and cached
for the life of the process, under everything that the energy depends on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import cloudpickle

from bostruct.errors import InputError, error_message
from bostruct.evaluators.alloys.equation_of_state import (
    MAX_ENERGY_MISMATCH,
    MAX_VOLUME_MISMATCH,
    compute_equation_of_state,
)
from bostruct.evaluators.alloys.relaxation import move_off_cell_faces, relax_crystal

if TYPE_CHECKING:
    from ase import Atoms

CRYSTAL_STRUCTURES = ("fcc", "bcc", "hcp", "diamond")

_CACHE: dict[str, ElementReference] = {}


@final
@dataclass(frozen=True)
class ElementReference:
    """Pure element in its reference crystal.

    Attributes:
        energy: Energy, eV per atom.
        volume: Volume, Å³ per atom; None where the user gave the energy.
    """

    energy: float
    volume: float | None


def check_references(references: Mapping[str, float | str]) -> dict[str, float | str]:
    """Return the references of the elements if they are valid.

    Args:
        references: Energy in eV per atom, or name of a crystal, of an element by symbol.

    Raises:
        InputError: a symbol, an energy or a crystal cannot be.
    """
    from ase.data import atomic_numbers

    for symbol, reference in references.items():
        if symbol not in atomic_numbers or symbol == "X":
            raise InputError(error_message("references", "be of elements", symbol))
        if isinstance(reference, str):
            if reference not in CRYSTAL_STRUCTURES:
                condition = f"name a crystal of {', '.join(CRYSTAL_STRUCTURES)}"
                raise InputError(error_message("references", condition, repr(reference)))
        elif not math.isfinite(reference):
            condition = f"hold a finite energy of {symbol}"
            raise InputError(error_message("references", condition, reference))
    return dict(references)


def element_crystal(symbol: str, crystal_structure: str | None = None) -> Atoms:
    """Return an element's crystal, near its equilibrium volume.

    Args:
        symbol: Chemical symbol.
        crystal_structure: Name of the crystal; None takes ASE's reference state.

    Raises:
        InputError: the reference state is none of `CRYSTAL_STRUCTURES`.
    """
    from ase.build import bulk
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers[symbol]
    reference_state = (reference_states[number] or {}).get("symmetry")
    structure = crystal_structure or reference_state
    if structure not in CRYSTAL_STRUCTURES:
        condition = "know the energy of every element"
        way_out = (
            f"ASE's reference state is {structure or 'not a crystal'}: give its energy in "
            f"eV per atom, references={{{symbol!r}: ...}}, or a crystal such as 'fcc'."
        )
        raise InputError(error_message("references", condition, f"none of {symbol}", way_out))
    if reference_state == structure:
        return bulk(symbol)
    # Not the reference state: neighbors at 1.05 times the covalent bond to begin with.
    bond = 2.1 * float(covalent_radii[number])
    edge = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0, "diamond": 4 / 3**0.5}[structure]
    return bulk(symbol, structure, a=bond * edge)


def element_reference(
    symbol: str,
    make_calculator: Callable[[], Any],
    calculator_key: Mapping[str, Any],
    *,
    energy_or_crystal: float | str | None = None,
    fmax: float,
    max_steps: int,
    max_relative_error: float,
    magnetic_moment: float = 0.0,
    info: Mapping[str, Any] | None = None,
) -> ElementReference:
    """Return the reference energy of an element, relaxed at the first call and then cached.

    Args:
        symbol: Chemical symbol.
        make_calculator: Function that returns the calculator; called only for an element that is
            not in the cache.
        calculator_key: Factory and arguments of the calculator, on which its energies depend.
        energy_or_crystal: Energy in eV per atom, or name of a crystal; None takes ASE's reference
            state.
        fmax: Force tolerance of the relaxation, eV/Å.
        max_steps: Largest number of steps of the relaxation.
        max_relative_error: Largest relative error of the bulk modulus in the equation of state.
        magnetic_moment: Initial moment of each atom, μB; the one that the alloy begins with.
        info: Entries of `atoms.info` for the calculator.

    Raises:
        InputError: there is no crystal for the element, or its relaxation did not converge.
    """
    if energy_or_crystal is not None and not isinstance(energy_or_crystal, str):
        return ElementReference(float(energy_or_crystal), None)
    settings = [symbol, energy_or_crystal, fmax, max_steps, max_relative_error, magnetic_moment]
    key = _cache_key(settings, {**calculator_key, "info": dict(info or {})})
    if key in _CACHE:
        return _CACHE[key]
    atoms = move_off_cell_faces(element_crystal(symbol, energy_or_crystal))
    # ASE's crystals of magnetic elements carry moments of their own.
    atoms.set_initial_magnetic_moments([magnetic_moment] * len(atoms) if magnetic_moment else None)
    atoms.info = dict(info or {})
    atoms.calc = make_calculator()
    reference = _relax_element(symbol, atoms, fmax, max_steps, max_relative_error)
    if key:
        _CACHE[key] = reference
    return reference


def clear_cache() -> None:
    """Remove all elements from the cache of this process."""
    _CACHE.clear()


def _relax_element(
    symbol: str, atoms: Atoms, fmax: float, max_steps: int, max_relative_error: float
) -> ElementReference:
    relaxed = relax_crystal(atoms, "cell", fmax, max_steps)
    reason = relaxed.reason
    if not reason:
        # A wrong reference spoils every enthalpy: it has to be the bottom of a well.
        eos, volume = compute_equation_of_state(atoms), atoms.get_volume()
        if eos.reason:
            reason = eos.reason
        elif not 0 < eos.bulk_modulus_error < max_relative_error * eos.bulk_modulus:
            reason = "its equation of state is not smooth"
        elif not (
            abs(eos.volume / volume - 1) < MAX_VOLUME_MISMATCH
            and abs(eos.energy - relaxed.energy) <= MAX_ENERGY_MISMATCH * len(atoms)
        ):
            reason = "its relaxation and its equation of state disagree"
    if reason:
        way_out = f"Give it yourself: references={{{symbol!r}: ...}}, in eV per atom."
        condition = f"relax {symbol} by itself"
        raise InputError(error_message("calculator", condition, reason, way_out))
    return ElementReference(relaxed.energy / len(atoms), atoms.get_volume() / len(atoms))


def _cache_key(settings: list[Any], calculator_key: Mapping[str, Any]) -> str:
    """Return the key of a reference in the cache, or "" for a calculator without a pickle.

    Two closures may have one qualified name; their pickles tell them apart, and are the same for
    every copy that a worker receives.
    """
    try:
        code = hashlib.sha256(cloudpickle.dumps(dict(calculator_key))).hexdigest()
    except Exception:  # noqa: BLE001 - foreign objects; they may refuse with any error
        return ""
    return json.dumps([settings, code])

"""What an element by itself costs: the zero of a mixing enthalpy.

Each element is relaxed once in its crystal at room temperature (ASE's reference state)
and kept for the life of the process, under all that the energy depends on.
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
from bostruct.evaluators.alloys.equation_of_state import compute_equation_of_state
from bostruct.evaluators.alloys.relaxation import move_off_cell_faces, relax_crystal

if TYPE_CHECKING:
    from ase import Atoms

CRYSTAL_STRUCTURES = ("fcc", "bcc", "hcp", "diamond")
MAX_VOLUME_MISMATCH = 0.02
"""Of the volume: relaxation and equation of state must agree that well."""

MAX_ENERGY_MISMATCH = 0.001
"""eV per atom; likewise."""

_CACHE: dict[str, ElementReference] = {}


@final
@dataclass(frozen=True)
class ElementReference:
    """An element by itself.

    Attributes:
        energy: eV per atom.
        volume: Å³ per atom; None where the energy was given.
    """

    energy: float
    volume: float | None


def check_references(
    references: Mapping[str, float | str],
) -> dict[str, float | str]:
    """Return references that can be used.

    Args:
        references: Of an element by symbol: eV per atom, or the name of a crystal.

    Raises:
        InputError: a symbol, an energy or a crystal cannot be.
    """
    from ase.data import atomic_numbers

    for symbol, wanted in references.items():
        if symbol not in atomic_numbers or symbol == "X":
            raise InputError(error_message("references", "be of elements", symbol))
        if isinstance(wanted, str):
            if wanted not in CRYSTAL_STRUCTURES:
                condition = f"name a crystal of {', '.join(CRYSTAL_STRUCTURES)}"
                raise InputError(error_message("references", condition, repr(wanted)))
        elif not math.isfinite(wanted):
            condition = f"hold a finite energy of {symbol}"
            raise InputError(error_message("references", condition, wanted))
    return dict(references)


def element_crystal(symbol: str, crystal_structure: str | None = None) -> Atoms:
    """Return an element's crystal, at a volume near that at rest.

    Args:
        symbol: Of the element.
        crystal_structure: Name of the crystal; None takes ASE's reference state.

    Raises:
        InputError: the reference state is none of `CRYSTALS`.
    """
    from ase.build import bulk
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers[symbol]
    state = reference_states[number] or {}
    kind = crystal_structure or state.get("symmetry")
    if kind not in CRYSTAL_STRUCTURES:
        condition = "know the energy of every element"
        way_out = (
            f"ASE's reference state is {kind or 'not a crystal'}: give its energy in "
            f"eV per atom, references={{{symbol!r}: ...}}, or a crystal such as 'fcc'."
        )
        raise InputError(error_message("references", condition, f"none of {symbol}", way_out))
    if state.get("symmetry") == kind:
        return bulk(symbol)
    # Not the reference state: neighbours at 1.05 times the covalent bond to begin with.
    bond = 2.1 * float(covalent_radii[number])
    edge = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0, "diamond": 4 / 3**0.5}[kind]
    return bulk(symbol, kind, a=bond * edge)


def element_reference(
    symbol: str,
    make_calculator: Callable[[], Any],
    calculator_key: Mapping[str, Any],
    *,
    energy_or_crystal: float | str | None = None,
    fmax: float,
    max_steps: int,
    max_relative_error: float,
) -> ElementReference:
    """Return the energy of an element by itself, from memory where it is known.

    Args:
        symbol: Of the element.
        make_calculator: Returns the calculator; called only where the energy is not known.
        calculator_key: The calculator's factory and arguments: what its energies depend on.
        energy_or_crystal: The energy in eV per atom, or the name of a crystal; None takes ASE's
            reference state.
        fmax: What may be left on an atom, eV/Å.
        max_steps: Most steps of the relaxation.
        max_relative_error: Largest relative error of the equation of state.

    Raises:
        InputError: there is no crystal for the element, or it did not come to rest.
    """
    if energy_or_crystal is not None and not isinstance(energy_or_crystal, str):
        return ElementReference(float(energy_or_crystal), None)
    key = _cache_key(
        [symbol, energy_or_crystal, fmax, max_steps, max_relative_error], calculator_key
    )
    if key in _CACHE:
        return _CACHE[key]
    atoms = move_off_cell_faces(element_crystal(symbol, energy_or_crystal))
    atoms.calc = make_calculator()
    found = _relax_element(symbol, atoms, fmax, max_steps, max_relative_error)
    if key:
        _CACHE[key] = found
    return found


def clear_cache() -> None:
    """Forget the elements that this process knows."""
    _CACHE.clear()


def _relax_element(
    symbol: str, atoms: Atoms, fmax: float, max_steps: int, max_relative_error: float
) -> ElementReference:
    rest = relax_crystal(atoms, "cell", fmax, max_steps)
    reason = rest.reason
    if not reason:
        # A wrong reference spoils every enthalpy: it has to be the bottom of a well.
        state, volume = compute_equation_of_state(atoms), atoms.get_volume()
        reason = state.reason
        if (
            not reason
            and not 0 < state.bulk_modulus_error < max_relative_error * state.bulk_modulus
        ):
            reason = "its equation of state is not smooth"
        elif not reason and not (
            abs(state.volume / volume - 1) < MAX_VOLUME_MISMATCH
            and abs(state.energy - rest.energy) <= MAX_ENERGY_MISMATCH * len(atoms)
        ):
            reason = "its relaxation and its equation of state disagree"
    if reason:
        way_out = f"Give it yourself: references={{{symbol!r}: ...}}, in eV per atom."
        condition = f"relax {symbol} by itself"
        raise InputError(error_message("calculator", condition, reason, way_out))
    count = len(atoms)
    return ElementReference(rest.energy / count, atoms.get_volume() / count)


def _cache_key(settings: list[Any], calculator_key: Mapping[str, Any]) -> str:
    """Return the one name of a reference in this process.

    Two closures may have one qualified name; their pickles tell them apart, and are the
    same for every copy that a worker receives. What has no pickle has no name.
    """
    try:
        code = hashlib.sha256(cloudpickle.dumps(dict(calculator_key))).hexdigest()
    except Exception:  # noqa: BLE001 - foreign objects; they may refuse with any error
        return ""
    return json.dumps([settings, code])

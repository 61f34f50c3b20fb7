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

from bostruct.errors import InputError, must
from bostruct.evaluators.alloys.equation_of_state import curve
from bostruct.evaluators.alloys.relaxation import inside, relax

if TYPE_CHECKING:
    from ase import Atoms

CRYSTALS = ("fcc", "bcc", "hcp", "diamond")
DIFFERENCE = 0.02
"""Of the volume: relaxation and equation of state must agree that well."""

APART = 0.001
"""eV per atom; likewise."""

_KNOWN: dict[str, Reference] = {}


@final
@dataclass(frozen=True)
class Reference:
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
            raise InputError(must("references", "be of elements", symbol))
        if isinstance(wanted, str):
            if wanted not in CRYSTALS:
                condition = f"name a crystal of {', '.join(CRYSTALS)}"
                raise InputError(must("references", condition, repr(wanted)))
        elif not math.isfinite(wanted):
            condition = f"hold a finite energy of {symbol}"
            raise InputError(must("references", condition, wanted))
    return dict(references)


def element(symbol: str, wanted: str | None = None) -> Atoms:
    """Return an element's crystal, at a volume near that at rest.

    Args:
        symbol: Of the element.
        wanted: Name of the crystal; None takes ASE's reference state.

    Raises:
        InputError: the reference state is none of `CRYSTALS`.
    """
    from ase.build import bulk
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers[symbol]
    state = reference_states[number] or {}
    kind = wanted or state.get("symmetry")
    if kind not in CRYSTALS:
        condition = "know the energy of every element"
        way_out = (
            f"ASE's reference state is {kind or 'not a crystal'}: give its energy in "
            f"eV per atom, references={{{symbol!r}: ...}}, or a crystal such as 'fcc'."
        )
        raise InputError(must("references", condition, f"none of {symbol}", way_out))
    if state.get("symmetry") == kind:
        return bulk(symbol)
    # Not the reference state: neighbours at 1.05 times the covalent bond to begin with.
    bond = 2.1 * float(covalent_radii[number])
    edge = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "hcp": 1.0, "diamond": 4 / 3**0.5}[kind]
    return bulk(symbol, kind, a=bond * edge)


def reference(
    symbol: str,
    make: Callable[[], Any],
    identity: Mapping[str, Any],
    *,
    wanted: float | str | None = None,
    force: float,
    steps: int,
    error: float,
) -> Reference:
    """Return the energy of an element by itself, from memory where it is known.

    Args:
        symbol: Of the element.
        make: Returns the calculator; called only where the energy is not known.
        identity: The calculator's factory and arguments: what its energies depend on.
        wanted: The energy in eV per atom, or the name of a crystal; None takes ASE's
            reference state.
        force: What may be left on an atom, eV/Å.
        steps: Most steps of the relaxation.
        error: Largest relative error of the equation of state.

    Raises:
        InputError: there is no crystal for the element, or it did not come to rest.
    """
    if wanted is not None and not isinstance(wanted, str):
        return Reference(float(wanted), None)
    key = _key([symbol, wanted, force, steps, error], identity)
    if key in _KNOWN:
        return _KNOWN[key]
    atoms = inside(element(symbol, wanted))
    atoms.calc = make()
    found = _relaxed(symbol, atoms, force, steps, error)
    if key:
        _KNOWN[key] = found
    return found


def forget() -> None:
    """Forget the elements that this process knows."""
    _KNOWN.clear()


def _relaxed(
    symbol: str, atoms: Atoms, force: float, steps: int, error: float
) -> Reference:
    rest = relax(atoms, "cell", force, steps)
    reason = rest.reason
    if not reason:
        # A wrong reference spoils every enthalpy: it has to be the bottom of a well.
        state, volume = curve(atoms), atoms.get_volume()
        reason = state.reason
        if not reason and not 0 < state.error < error * state.modulus:
            reason = "its equation of state is not smooth"
        elif not reason and not (
            abs(state.volume / volume - 1) < DIFFERENCE
            and abs(state.energy - rest.energy) <= APART * len(atoms)
        ):
            reason = "its relaxation and its equation of state disagree"
    if reason:
        way_out = f"Give it yourself: references={{{symbol!r}: ...}}, in eV per atom."
        condition = f"relax {symbol} by itself"
        raise InputError(must("calculator", condition, reason, way_out))
    count = len(atoms)
    return Reference(rest.energy / count, atoms.get_volume() / count)


def _key(settings: list[Any], identity: Mapping[str, Any]) -> str:
    """Return the one name of a reference in this process.

    Two closures may have one qualified name; their pickles tell them apart, and are the
    same for every copy that a worker receives. What has no pickle has no name.
    """
    try:
        code = hashlib.sha256(cloudpickle.dumps(dict(identity))).hexdigest()
    except Exception:  # noqa: BLE001 - foreign objects; they may refuse with any error
        return ""
    return json.dumps([settings, code])

"""Initial magnetic moments by element, with which a spin-polarized calculation begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from bostruct.errors import InputError, error_message
from bostruct.structures import SYMBOLS, Structures

if TYPE_CHECKING:
    from ase import Atoms


def check_magnetic_moments(moments: Mapping[str, float] | None) -> dict[str, float]:
    """Return initial moments by element in μB, sorted; none for None.

    Raises:
        InputError: it is no mapping, a key is no element, or a moment is not finite.
    """
    if moments is not None and not isinstance(moments, Mapping):
        way_out = 'As in {"Ni": 0.6}.'
        condition = "hold moments by element"
        raise InputError(error_message("magnetic_moments", condition, repr(moments), way_out))
    for symbol, moment in (moments or {}).items():
        if symbol not in SYMBOLS[1:]:
            raise InputError(error_message("magnetic_moments", "be of elements", repr(symbol)))
        if not isinstance(moment, Real) or not math.isfinite(moment):
            condition = f"hold a finite moment of {symbol} in μB"
            raise InputError(error_message("magnetic_moments", condition, repr(moment)))
    return {symbol: float(moment) for symbol, moment in sorted((moments or {}).items())}


def set_magnetic_moments(
    atoms: Atoms, structures: Structures, moments: Mapping[str, float]
) -> None:
    """Set the initial moments of atoms that carry none by element, in place.

    Args:
        atoms: the structure as ASE's atoms, in the same order.
        structures: exactly one structure; its own moments stay.
        moments: initial moment by element, μB; other elements have none.
    """
    if not moments:
        return
    own = structures.value_or_nan("magnetic_moments").detach().cpu().double().numpy()
    by_element = np.array([moments.get(symbol, 0.0) for symbol in atoms.get_chemical_symbols()])
    atoms.set_initial_magnetic_moments(np.where(np.isnan(own), by_element, own))


def element_moment(atoms: Atoms, symbol: str, moments: Mapping[str, float]) -> float:
    """Return the initial moment with which an element's reference crystal begins, μB.

    Args:
        atoms: structure whose energy is compared with that of its elements.
        symbol: one of its elements.
        moments: initial moment by element; empty where the structure alone tells: then it is the
            mean magnitude of the element's moments in it.
    """
    if moments:
        return moments.get(symbol, 0.0)
    selected = atoms.get_initial_magnetic_moments()[atoms.symbols == symbol]
    return round(float(np.abs(selected).mean()), 6)

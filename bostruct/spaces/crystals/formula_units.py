"""Formulas of the cells of a chemical system: its compositions, in one or several formula units."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bostruct.errors import InputError, check_count, error_message
from bostruct.spaces.composition_properties import check_bounds
from bostruct.spaces.formula import parse_formula
from bostruct.structures import SYMBOLS

MAX_MEMBERS = 1000
"""Largest number of formulas of one chemical system."""

ROUNDING = 1e-9
"""Largest difference of fractions that is a rounding error."""

SYSTEM_HINT = (
    "Write elements with dashes and `max_atoms`, 'Cu-Au'; a list of formulas, ['Cu', 'Cu3Au', "
    "'Au']; or one formula with `formula_units`, as 'TiO2' and (1, 4)."
)


def cell_formulas(
    system: str | Sequence[str],
    max_atoms: int | None = None,
    min_atoms: int = 1,
    formula_units: int | Sequence[int] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> list[str]:
    """Return the formulas of the cells of a chemical system, each once.

    Args:
        system: elements joined by dashes, one formula, or several.
        max_atoms: largest number of atoms of a cell; all formulas of the elements have up to that
            many.
        min_atoms: smallest number of atoms.
        formula_units: numbers of formula units; a tuple of two is the smallest and the largest.
        bounds: lowest and highest fraction of an element.

    Raises:
        InputError: the arguments do not make up a chemical system.
    """
    if isinstance(system, str) and "-" in system:
        if formula_units is not None:
            condition = "be left out where elements are given"
            raise InputError(error_message("formula_units", condition, repr(formula_units)))
        if max_atoms is None:
            condition = "be given with elements"
            raise InputError(error_message("max_atoms", condition, repr(system), SYSTEM_HINT))
        check_count("max_atoms", max_atoms)
        return _formulas_of_elements(system, max_atoms, min_atoms, bounds)
    others: dict[str, object] = {"max_atoms": max_atoms, "bounds": bounds}
    others["min_atoms"] = None if min_atoms == 1 else min_atoms
    for name, value in others.items():
        if value is not None:
            condition = "be left out where formulas are given"
            raise InputError(error_message(name, condition, repr(value), SYSTEM_HINT))
    formulas = [system] if isinstance(system, str) else list(_sequence("system", system))
    if not formulas:
        raise InputError(error_message("system", "hold a formula", repr(system), SYSTEM_HINT))
    units = _formula_units(formula_units)
    if len(formulas) * len(units) == 1:
        condition = "hold several formulas, or one with several `formula_units`"
        hint = f"One cell is searched by Crystal({formulas[0]!r}). {SYSTEM_HINT}"
        raise InputError(error_message("system", condition, repr(system), hint))
    every = [f if n == 1 else f"({f}){n}" for n in units for f in formulas]
    atoms = [tuple(sorted(parse_formula(formula, 1, "system").tolist())) for formula in every]
    for i, cell in enumerate(atoms):
        if cell in atoms[:i]:
            value = f"{every[atoms.index(cell)]!r} and {every[i]!r}"
            raise InputError(error_message("system", "hold each formula once", value))
    return every


def _formulas_of_elements(
    system: str,
    max_atoms: int,
    min_atoms: int,
    bounds: Mapping[str, tuple[float, float]] | None,
) -> list[str]:
    symbols = system.split("-")
    unknown = [symbol for symbol in symbols if symbol not in SYMBOLS[1:]]
    if unknown or len(set(symbols)) < len(symbols):
        condition = "be different elements joined by dashes"
        raise InputError(error_message("system", condition, repr(system), SYSTEM_HINT))
    if not 1 <= check_count("min_atoms", min_atoms) <= max_atoms:
        condition = f"be at most `max_atoms`, {max_atoms}"
        raise InputError(error_message("min_atoms", condition, min_atoms))
    limits = [check_bounds(bounds, symbols).get(symbol, (0.0, 1.0)) for symbol in symbols]
    formulas = []
    for n in range(min_atoms, max_atoms + 1):
        for counts in itertools.product(range(n, -1, -1), repeat=len(symbols) - 1):
            every = (*counts, n - sum(counts))
            pairs = zip(every, limits, strict=True)
            if all(k >= 0 and _is_within(k / n, own) for k, own in pairs):
                formulas.append(_formula(symbols, every))
        if len(formulas) > MAX_MEMBERS:
            condition = f"leave at most {MAX_MEMBERS} formulas"
            hint = "Fewer atoms or elements do, or a list of formulas."
            raise InputError(error_message("max_atoms", condition, max_atoms, hint))
    if len(formulas) < 2:
        condition, hint = "leave several formulas", "Widen them, or take a larger `max_atoms`."
        raise InputError(error_message("bounds", condition, repr(bounds), hint))
    return formulas


def _is_within(fraction: float, limits: tuple[float, float]) -> bool:
    return limits[0] - ROUNDING <= fraction <= limits[1] + ROUNDING


def _formula(symbols: Sequence[str], counts: Sequence[int]) -> str:
    """Return a formula, without elements whose count is zero."""
    parts = zip(symbols, counts, strict=True)
    return "".join(symbol + (str(n) if n > 1 else "") for symbol, n in parts if n)


def _formula_units(formula_units: int | Sequence[int] | None) -> list[int]:
    """Return the numbers of formula units in rising order."""
    if formula_units is None:
        return [1]
    if isinstance(formula_units, int):
        return [check_count("formula_units", formula_units)]
    units = [check_count("formula_units", n) for n in _sequence("formula_units", formula_units)]
    if isinstance(formula_units, tuple) and len(units) == 2 and units[0] < units[1]:
        units = list(range(units[0], units[1] + 1))
    if not units or len(set(units)) < len(units):
        condition = "be different numbers"
        hint = "Such as [1, 2, 4], or (1, 4) for one to four."
        raise InputError(error_message("formula_units", condition, repr(formula_units), hint))
    return sorted(units)


def _sequence(name: str, value: Any) -> Sequence[Any]:  # noqa: ANN401
    if not isinstance(value, Sequence):
        raise InputError(error_message(name, "be a list", repr(value), SYSTEM_HINT))
    return value

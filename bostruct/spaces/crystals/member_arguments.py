"""Arguments of the members of a chemical system: each takes those that concern its elements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.spaces.crystals.symmetric_sampling import check_symmetry
from bostruct.spaces.formula import parse_formula
from bostruct.structures import SYMBOLS

CELL_ARGUMENTS = ("cell", "variable", "periodic", "area", "thickness", "vacuum")
"""Arguments of `Crystal` that set its cell, or make it a layer, of one formula."""


def member_arguments(
    formulas: Sequence[str],
    volume: Mapping[str, float] | float | None,
    symmetry: int | Sequence[int] | None,
    atomic_radii: Mapping[str, float] | None,
    min_distance: Mapping[str, float] | float | None,
) -> list[dict[str, Any]]:
    """Return the keyword arguments of `Crystal` that differ between members, for each formula.

    Args:
        formulas: formulas of the members.
        volume: Å³ per atom, of all or by formula.
        symmetry: numbers of space groups.
        atomic_radii: Å, by element.
        min_distance: Å, of all pairs or by pair.

    Raises:
        InputError: an argument names an element that does not occur, or no space group of some
            formula.
    """
    atoms = [parse_formula(formula, min_atoms=1) for formula in formulas]
    present = sorted({symbol for formula in formulas for symbol in _symbols(formula)})
    if isinstance(atomic_radii, Mapping):
        _check_occurring("atomic_radii", atomic_radii, [[name] for name in atomic_radii], present)
    if isinstance(min_distance, Mapping):
        pairs = [str(name).split("-") for name in min_distance]
        _check_occurring("min_distance", min_distance, pairs, present)
    if isinstance(volume, Mapping):
        names = [_symbols(formula, "volume") for formula in volume]
        _check_occurring("volume", volume, names, present)
    volumes = _volumes_by_composition(volume) if isinstance(volume, Mapping) else None
    arguments = []
    for formula, numbers in zip(formulas, atoms, strict=True):
        own = set(_symbols(formula))
        radii: Any = atomic_radii
        if isinstance(atomic_radii, Mapping):
            radii = {name: value for name, value in atomic_radii.items() if name in own}
        distances: Any = min_distance
        if isinstance(min_distance, Mapping):
            distances = {n: d for n, d in min_distance.items() if own.issuperset(n.split("-"))}
        arguments.append(
            {
                "volume": volume if volumes is None else _volume_of(numbers, volumes),
                "symmetry": _fitting_groups(symmetry, numbers, formula),
                "atomic_radii": radii,
                "min_distance": distances,
            }
        )
    return arguments


def refuse_other_arguments(others: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse arguments that a chemical system does not have.

    Args:
        others: names of arguments that were given.
        allowed: names of its arguments.

    Raises:
        InputError: there is one.
    """
    for name in others:
        hint = f"Its arguments are {', '.join(allowed)}."
        if name in CELL_ARGUMENTS:
            hint = f"Crystal('CuAu', {name}=...) searches one formula in a given cell, or layers."
        raise InputError(error_message(name, "be left out of a ChemicalSystem", "one", hint))


def _check_occurring(
    name: str, values: Iterable[str], parts: Sequence[Sequence[str]], present: Sequence[str]
) -> None:
    """Raise an error if a key names an element that does not occur."""
    for key, symbols in zip(values, parts, strict=True):
        if not set(symbols) <= set(present):
            condition = f"name elements that occur ({', '.join(present)})"
            raise InputError(error_message(name, condition, repr(key)))


def _symbols(formula: str, name: str = "formula") -> list[str]:
    """Return the symbols of the atoms of a formula in an argument."""
    return [SYMBOLS[z] for z in parse_formula(formula, 1, name).tolist()]


def _fractions(numbers: Tensor) -> frozenset[tuple[int, float]]:
    """Return a composition: elements with their fractions."""
    return frozenset((z, n / len(numbers)) for z, n in Counter(numbers.tolist()).items())


def _volumes_by_composition(
    volume: Mapping[str, float],
) -> dict[frozenset[tuple[int, float]], float]:
    """Return volumes, Å³ per atom, by composition."""
    return {
        _fractions(parse_formula(formula, min_atoms=1)): check_positive(
            f"volume[{formula!r}]", value, "It is in Å³ per atom."
        )
        for formula, value in volume.items()
    }


def _volume_of(
    numbers: Tensor, volumes: Mapping[frozenset[tuple[int, float]], float]
) -> float | None:
    """Return the volume of a composition, the mean of its elements, or None if neither is given."""
    fractions = _fractions(numbers)
    if fractions in volumes:
        return volumes[fractions]
    elements = [(volumes.get(frozenset({(z, 1.0)})), share) for z, share in sorted(fractions)]
    if any(own is None for own, _ in elements):
        return None
    return sum(own * share for own, share in elements if own is not None)


def _fitting_groups(
    symmetry: int | Sequence[int] | None, numbers: Tensor, formula: str
) -> tuple[int, ...] | None:
    """Return the space groups that hold the atoms of a formula.

    Raises:
        InputError: none does.
    """
    if symmetry is None or not isinstance(symmetry, Iterable):
        return check_symmetry(symmetry, numbers, formula)
    fitting: list[int] = []
    error: InputError | None = None
    for group in symmetry:
        try:
            fitting += check_symmetry(group, numbers, formula) or ()
        except InputError as refusal:
            error = refusal
    if not fitting and error is not None:
        raise error
    return check_symmetry(fitting, numbers, formula)

"""Chemical formulas as ASE reads them, with the radii and minimum distances of their elements."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures import SYMBOLS, covalent_radii

MAX_ATOMS = 1000
"""Largest number of atoms; the distances of all pairs of more would not fit into memory."""


def parse_formula(formula: str, min_atoms: int = 2, name: str = "formula") -> Tensor:
    """Return the atomic numbers of a formula in the order written, `[a]` int64.

    Formulas read as in ASE: "Cu15", "Au5Cu10", "(H2O)3".

    Args:
        formula: chemical formula.
        min_atoms: smallest number of atoms.
        name: argument that an error names.

    Raises:
        InputError: the formula cannot be read, holds fewer than `min_atoms` atoms or too many, or
            names an element that does not exist.
    """
    from ase.formula import Formula

    hint = "Write it as ASE does: 'Cu15', 'Au5Cu10', '(H2O)3'."
    condition = "be a chemical formula"
    if not isinstance(formula, str):
        raise InputError(error_message(name, condition, repr(formula), hint))
    try:
        tree = Formula(formula)
    except ValueError as error:
        raise InputError(error_message(name, condition, repr(formula), hint)) from error
    counts = tree.count()
    unknown = sorted(set(counts).difference(SYMBOLS[1:]))
    if unknown:
        condition = "name elements that exist"
        raise InputError(error_message(name, condition, repr(unknown[0]), hint))
    n_atoms = sum(counts.values())
    if n_atoms < min_atoms:
        condition = f"hold at least {min_atoms} atoms"
        raise InputError(error_message(name, condition, repr(formula), hint))
    if n_atoms > MAX_ATOMS:
        condition = f"hold at most {MAX_ATOMS} atoms"
        raise InputError(error_message(name, condition, f"{n_atoms} in {formula!r}"))
    return torch.tensor([SYMBOLS.index(symbol) for symbol in tree], dtype=torch.int64)


def check_length(name: str, value: float) -> float:
    """Return `value` if it is a length.

    Raises:
        InputError: `value` is no number, or not positive and finite.
    """
    hint = "It is a length in Å."
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(error_message(name, "be a number", repr(value), hint))
    return check_positive(name, value, hint)


def resolve_atomic_radii(numbers: Tensor, custom_radii: Mapping[str, float] | None) -> Tensor:
    """Return the radius of each atom, `[a]` Å: the custom one, else the covalent one.

    Raises:
        InputError: a radius is not positive, is missing and unknown, or its element does not occur.
    """
    name = "atomic_radii"
    if custom_radii is not None and not isinstance(custom_radii, Mapping):
        condition = "be a mapping from elements to lengths in Å"
        raise InputError(error_message(name, condition, repr(custom_radii), "Try {'Ar': 0.56}."))
    custom_radii = dict(custom_radii or {})
    present = sorted({SYMBOLS[number] for number in numbers.tolist()})
    for symbol, radius in custom_radii.items():
        if symbol not in present:
            condition = f"name elements that occur ({', '.join(present)})"
            raise InputError(error_message(name, condition, repr(symbol)))
        check_length(f"{name}[{symbol!r}]", radius)
    radii = torch.empty(numbers.shape, dtype=torch.float64)
    for symbol in present:
        number = torch.tensor(SYMBOLS.index(symbol))
        try:
            radius = custom_radii.get(symbol) or float(covalent_radii(number))
        except InputError as error:
            condition = f"give a radius for {symbol}, which has no known one"
            hint = f"Cluster and Surface take atomic_radii={{{symbol!r}: 1.5}} in Å."
            raise InputError(error_message(name, condition, "none", hint)) from error
        radii[numbers == number] = radius
    return radii


def min_pair_distances(
    numbers: Tensor,
    atomic_radii: Tensor,
    custom_distances: Mapping[str, float] | float | None,
    min_distance_factor: float,
) -> Tensor:
    """Return the minimum distance of each pair of atoms, `[a, a]` Å, zero on the diagonal.

    Args:
        numbers: `[a]` atomic numbers.
        atomic_radii: `[a]` Å.
        custom_distances: one distance in Å for all pairs, or by pair ("Cu-Au") in any order.
        min_distance_factor: minimum distance of all other pairs as a fraction of the sum of the
            radii.

    Raises:
        InputError: a distance is not positive, a pair does not occur or has two distances, or the
            factor is not in (0, 1].
    """
    check_positive(
        "min_distance_factor", min_distance_factor, "It is a fraction of a bond, say 0.7."
    )
    if min_distance_factor > 1:
        condition = "be at most 1, the length of a bond"
        raise InputError(error_message("min_distance_factor", condition, min_distance_factor))
    distances = min_distance_factor * (atomic_radii.unsqueeze(0) + atomic_radii.unsqueeze(1))
    if isinstance(custom_distances, Mapping):
        present = sorted({SYMBOLS[number] for number in numbers.tolist()})
        given: dict[frozenset[int], tuple[str, float]] = {}
        for name, value in custom_distances.items():
            check_length(f"min_distance[{name!r}]", value)
            pair_of = frozenset(_parse_pair(name, present))
            other, distance = given.setdefault(pair_of, (name, value))
            if distance != value:
                condition = f"give the pair {other} one distance"
                text = f"{distance:g} Å, and {value:g} Å as {name}"
                raise InputError(error_message("min_distance", condition, text))
            first, second = (numbers == number for number in _parse_pair(name, present))
            pair = first.unsqueeze(0) & second.unsqueeze(1)
            distances[pair | pair.T] = value
    elif custom_distances is not None:
        distances.fill_(check_length("min_distance", custom_distances))
    return distances.fill_diagonal_(0.0)


def _parse_pair(name: str, present: list[str]) -> list[int]:
    """Return the atomic numbers of a pair such as "Cu-Au"."""
    symbols = name.split("-") if isinstance(name, str) else []
    condition = "name pairs of elements"
    if len(symbols) != 2:
        raise InputError(error_message("min_distance", f"{condition}, such as 'Cu-Au'", repr(name)))
    if not set(symbols) <= set(present):
        condition += f" that occur ({', '.join(present)})"
        raise InputError(error_message("min_distance", condition, repr(name)))
    return [SYMBOLS.index(symbol) for symbol in symbols]

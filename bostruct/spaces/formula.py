"""Reading what a user writes: formulas, radii and distances by element."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bostruct.errors import InputError, check_positive, error_message
from bostruct.structures import SYMBOLS, covalent_radii

MAX_ATOMS = 1000
"""All pairs of atoms are kept at once; beyond this they would fill the memory."""


def parse_formula(formula: str, min_atoms: int = 2) -> Tensor:
    """Return the atomic numbers of a formula in the order written, `[a]` int64.

    Formulas read as in ASE: "Cu15", "Au5Cu10", "(H2O)3".

    Raises:
        InputError: the formula cannot be read, holds less than `min_atoms` atoms or too
            many, or names an element that does not exist.
    """
    from ase.formula import Formula

    way_out = "Write it as ASE does: 'Cu15', 'Au5Cu10', '(H2O)3'."
    condition = "be a chemical formula"
    if not isinstance(formula, str):
        raise InputError(error_message("formula", condition, repr(formula), way_out))
    try:
        tree = Formula(formula)
    except ValueError as error:
        raise InputError(error_message("formula", condition, repr(formula), way_out)) from error
    count = tree.count()
    unknown = sorted(symbol for symbol in count if symbol not in SYMBOLS[1:])
    if unknown:
        condition = "name elements that exist"
        raise InputError(error_message("formula", condition, repr(unknown[0]), way_out))
    total = sum(count.values())
    if total < min_atoms:
        condition = f"hold at least {min_atoms} atoms"
        raise InputError(error_message("formula", condition, repr(formula), way_out))
    if total > MAX_ATOMS:
        condition = f"hold at most {MAX_ATOMS} atoms"
        raise InputError(error_message("formula", condition, f"{total} in {formula!r}"))
    numbers = [SYMBOLS.index(symbol) for symbol in tree]
    return torch.tensor(numbers, dtype=torch.int64)


def check_length(name: str, value: float) -> float:
    """Return `value` if it is a length.

    Raises:
        InputError: it is no number, or not positive and finite.
    """
    way_out = "It is a length in Å."
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(error_message(name, "be a number", repr(value), way_out))
    return check_positive(name, value, way_out)


def resolve_atomic_radii(numbers: Tensor, custom_radii: Mapping[str, float] | None) -> Tensor:
    """Return the radius of each atom, `[a]` Å: the one given, else the covalent one.

    Raises:
        InputError: a radius is given for an element that does not occur, is not
            positive, or is needed and not known.
    """
    if custom_radii is not None and not isinstance(custom_radii, Mapping):
        condition = "be a mapping from elements to lengths in Å"
        raise InputError(error_message("atomic_radii", condition, repr(custom_radii), "Try {'Ar': 0.56}."))
    custom_radii = dict(custom_radii or {})
    present = sorted({SYMBOLS[number] for number in numbers.tolist()})
    for symbol, radius in custom_radii.items():
        if symbol not in present:
            condition = f"name elements that occur ({', '.join(present)})"
            raise InputError(error_message("atomic_radii", condition, repr(symbol)))
        check_length(f"atomic_radii[{symbol!r}]", radius)
    radii = torch.empty(numbers.shape, dtype=torch.float64)
    for symbol in present:
        number = torch.tensor(SYMBOLS.index(symbol))
        known = custom_radii.get(symbol)
        if known is None:
            try:
                known = float(covalent_radii(number))
            except InputError as error:
                condition = f"give a radius for {symbol}, which has no known one"
                way_out = f"Pass atomic_radii={{{symbol!r}: 1.5}} in Å."
                raise InputError(error_message("atomic_radii", condition, "none", way_out)) from error
        radii[numbers == number] = known
    return radii


def min_pair_distances(
    numbers: Tensor,
    atomic_radii: Tensor,
    custom_distances: Mapping[str, float] | float | None,
    min_distance_factor: float,
) -> Tensor:
    """Return the minimum distance of each pair of atoms, `[a, a]` Å, zero for itself.

    Args:
        numbers: `[a]`.
        atomic_radii: `[a]` Å.
        custom_distances: one distance for all pairs, or some by name ("Cu-Au") in any order.
        min_distance_factor: the others are this fraction of the sum of the radii.

    Raises:
        InputError: a distance is not positive, or names a pair that does not occur.
    """
    least = min_distance_factor * (atomic_radii.unsqueeze(0) + atomic_radii.unsqueeze(1))
    if isinstance(custom_distances, Mapping):
        for name, value in custom_distances.items():
            check_length(f"min_distance[{name!r}]", value)
            ends = [_parse_element(symbol, name, numbers) for symbol in _parse_pair(name)]
            one, two = numbers == ends[0], numbers == ends[1]
            pair = one.unsqueeze(0) & two.unsqueeze(1)
            least[pair | pair.T] = value
    elif custom_distances is not None:
        least.fill_(check_length("min_distance", custom_distances))
    return least.fill_diagonal_(0.0)


def _parse_pair(name: str) -> list[str]:
    ends = name.split("-") if isinstance(name, str) else []
    if len(ends) != 2:
        condition = "name pairs of elements, such as 'Cu-Au'"
        raise InputError(error_message("min_distance", condition, repr(name)))
    return ends


def _parse_element(symbol: str, name: str, numbers: Tensor) -> int:
    present = sorted({SYMBOLS[number] for number in numbers.tolist()})
    if symbol not in present:
        condition = f"name pairs of elements that occur ({', '.join(present)})"
        raise InputError(error_message("min_distance", condition, repr(name)))
    return SYMBOLS.index(symbol)

"""Properties that composition alone determines: element fractions, price and mass density."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures import SYMBOLS, Structures

DENSITY_UNIT = 1.66053906660
"""g/cm³ in u/Å³ (CODATA 2018)."""

CLOSE_PACKING_FRACTION = 0.74
"""Fraction of a close-packed crystal that touching spheres fill."""

ATOMS_PER_CUBIC_CELL = {"fcc": 4, "bcc": 2, "diamond": 8, "sc": 1}
"""Number of atoms in a cubic cell."""


@final
@dataclass(frozen=True, eq=False)
class CompositionProperties:
    """Properties that follow exactly from the composition.

    Attributes:
        elements: chemical symbols, in order of the fractions.
        price: price of a kilogram of each element, in any currency, or None.
        volumes: volume of an atom of each element, Å³, additive in alloys, or None.
    """

    elements: tuple[str, ...]
    price: Mapping[str, float] | None = None
    volumes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name, table in (("price", self.price), ("volumes", self.volumes)):
            _check_table(name, table, self.elements)

    def evaluate(self, fractions: Tensor) -> dict[str, Tensor]:
        """Return all properties at compositions `[..., k]`, each `[...]`.

        "x_Cu" and the like, "price" per kilogram, "density" in g/cm³.
        """
        from ase.data import atomic_masses, atomic_numbers

        properties = {f"x_{symbol}": fractions[..., i] for i, symbol in enumerate(self.elements)}
        table = {symbol: atomic_masses[atomic_numbers[symbol]] for symbol in self.elements}
        masses = fractions * self._element_values(table, fractions)  # u
        if self.price is not None:
            price = self._element_values(self.price, fractions)
            properties["price"] = (masses * price).sum(-1) / masses.sum(-1)
        if self.volumes is not None:
            volume = (fractions * self._element_values(self.volumes, fractions)).sum(-1)
            properties["density"] = DENSITY_UNIT * masses.sum(-1) / volume
        return properties

    def description(self) -> dict[str, Any]:
        """Return the tables, as JSON values."""
        return {"price": _to_json(self.price), "volumes": _to_json(self.volumes)}

    def _element_values(self, table: Mapping[str, float], like: Tensor) -> Tensor:
        return like.new_tensor([float(table[symbol]) for symbol in self.elements])


def check_elements(name: str, elements: Sequence[str], *, vacancy: bool = False) -> tuple[str, ...]:
    """Return elements as a tuple.

    Args:
        name: name of the argument.
        elements: chemical symbols.
        vacancy: true if X, a vacancy, may be among them.

    Raises:
        InputError: there are none, one is no element, or one occurs twice.
    """
    hint = "Name elements, as in ['Cu', 'Au']."
    condition, allowed = "be a sequence of different elements", SYMBOLS[1:]
    if vacancy:
        condition, allowed = f"{condition}, or X for a vacancy", SYMBOLS
    if isinstance(elements, str) or not isinstance(elements, Sequence):
        raise InputError(error_message(name, condition, repr(elements), hint))
    for symbol in elements:
        if symbol not in allowed:
            raise InputError(error_message(name, condition, repr(symbol), hint))
    if not elements or len(set(elements)) < len(elements):
        raise InputError(error_message(name, condition, list(elements), hint))
    return tuple(elements)


def check_bounds(
    bounds: Mapping[str, tuple[float, float]] | None, elements: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the lowest and the highest fraction of the elements that are bounded.

    Raises:
        InputError: an element does not occur, or its bounds are no rising pair between 0 and 1.
    """
    checked = {}
    hint = "Give a lowest and a highest fraction, as in {'Cu': (0.1, 0.5)}."
    for symbol, pair in (bounds or {}).items():
        if symbol not in elements:
            condition = f"name elements of the space ({', '.join(elements)})"
            raise InputError(error_message("bounds", condition, repr(symbol)))
        name = f"bounds[{symbol!r}]"
        try:
            least, most = (float(value) for value in pair)
        except (TypeError, ValueError) as error:
            raise InputError(error_message(name, "be a pair", repr(pair), hint)) from error
        if not 0 <= least <= most <= 1:
            raise InputError(error_message(name, "rise between 0 and 1", repr(pair), hint))
        checked[symbol] = (least, most)
    return checked


def atomic_volumes(elements: Sequence[str]) -> dict[str, float]:
    """Return the volume of an atom of each element in its crystal, Å³.

    From ASE's reference states where they are simple crystals, else from spheres of the covalent
    radius: an initial value for relaxations, not an exact volume.
    """
    from ase.data import atomic_numbers, covalent_radii, reference_states

    volumes = {}
    for symbol in elements:
        number = atomic_numbers[symbol]
        state = reference_states[number] or {}
        a = state.get("a")
        n_atoms = ATOMS_PER_CUBIC_CELL.get(str(state.get("symmetry")))
        if a is not None and n_atoms is not None:
            volume = a**3 / n_atoms
        elif a is not None and state.get("symmetry") == "hcp":
            volume = math.sqrt(3) / 4 * a**3 * state["c/a"]
        else:
            volume = 4 / 3 * math.pi * covalent_radii[number] ** 3 / CLOSE_PACKING_FRACTION
        volumes[symbol] = float(volume)
    return volumes


def element_fractions(structures: Structures, elements: Tensor) -> Tensor:
    """Return the fractions of elements `[k]` in each of b structures, `[b, k]`."""
    hits = (structures.numbers.unsqueeze(-1) == elements.to(structures.device)).double()
    counts = hits.new_zeros(len(structures), len(elements))
    counts.index_add_(0, structures.index, hits)
    return counts / structures.counts.clamp(min=1).unsqueeze(-1)


def _check_table(name: str, table: Mapping[str, float] | None, elements: tuple[str, ...]) -> None:
    """Raise an error unless a table holds a positive number for every element."""
    if table is None:
        return
    if not isinstance(table, Mapping):
        raise InputError(error_message(name, "be a mapping from elements to numbers", repr(table)))
    for symbol in elements:
        value = table.get(symbol)
        if value is None:
            condition = f"hold every element ({', '.join(elements)})"
            raise InputError(error_message(name, condition, f"none for {symbol}"))
        if not (math.isfinite(value) and value > 0):
            raise InputError(error_message(f"{name}[{symbol!r}]", "be positive and finite", value))


def _to_json(table: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if table is None else {symbol: float(table[symbol]) for symbol in sorted(table)}

"""What composition alone says exactly: fractions, price and mass density."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, error_message
from bostruct.structures import SYMBOLS

DENSITY_UNIT = 1.66053906660
"""g/cm³ in u/Å³ (CODATA 2018)."""

CLOSE_PACKING_FRACTION = 0.74
"""Share of a close-packed crystal that touching spheres fill."""


ATOMS_PER_CUBIC_CELL = {"fcc": 4, "bcc": 2, "diamond": 8, "sc": 1}
"""Atoms of a cubic cell."""


@final
@dataclass(frozen=True, eq=False)
class CompositionProperties:
    """What is known of a composition at no cost.

    Attributes:
        elements: the elements, in order.
        price: of a kilogram of each, in any currency; or None.
        volumes: Å³ of an atom of each, which add up in an alloy; or None.
    """

    elements: tuple[str, ...]
    price: Mapping[str, float] | None = None
    volumes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name, table in (("price", self.price), ("volumes", self.volumes)):
            _check_table(name, table, self.elements)

    def evaluate(self, fractions: Tensor) -> dict[str, Tensor]:
        """Return all known quantities at compositions `[..., k]`, each `[...]`.

        "x_Cu" and the like, "price" per kilogram, "density" in g/cm³.
        """
        found = {f"x_{symbol}": fractions[..., place] for place, symbol in enumerate(self.elements)}
        masses = fractions * self._element_values(_atomic_masses(self.elements), fractions)  # u
        if self.price is not None:
            price = self._element_values(self.price, fractions)
            found["price"] = (masses * price).sum(-1) / masses.sum(-1)
        if self.volumes is not None:
            volume = (fractions * self._element_values(self.volumes, fractions)).sum(-1)
            found["density"] = DENSITY_UNIT * masses.sum(-1) / volume
        return found

    def description(self) -> dict[str, Any]:
        """Return the tables, as JSON values."""
        return {"price": _to_json(self.price), "volumes": _to_json(self.volumes)}

    def _element_values(self, table: Mapping[str, float], like: Tensor) -> Tensor:
        return like.new_tensor([float(table[symbol]) for symbol in self.elements])


def check_elements(name: str, elements: Sequence[str]) -> tuple[str, ...]:
    """Return elements as a tuple.

    Raises:
        InputError: there are none, one is no element, or one occurs twice.
    """
    way_out = "Name elements, as in ['Cu', 'Au']."
    condition = "be a sequence of different elements"
    if isinstance(elements, str) or not isinstance(elements, Sequence):
        raise InputError(error_message(name, condition, repr(elements), way_out))
    for symbol in elements:
        if symbol not in SYMBOLS[1:]:
            raise InputError(error_message(name, condition, repr(symbol), way_out))
    if not elements or len(set(elements)) < len(elements):
        raise InputError(error_message(name, condition, list(elements), way_out))
    return tuple(elements)


def atomic_volumes(elements: Sequence[str]) -> dict[str, float]:
    """Return the volume of an atom of each element in its crystal, Å³.

    From ASE's reference states where they are simple crystals, else from spheres of
    the covalent radius. It is where a relaxation starts, and not exact.
    """
    from ase.data import atomic_numbers, covalent_radii, reference_states

    found = {}
    for symbol in elements:
        number = atomic_numbers[symbol]
        state = reference_states[number] or {}
        a = state.get("a")
        share = ATOMS_PER_CUBIC_CELL.get(str(state.get("symmetry")))
        if a is not None and share is not None:
            found[symbol] = a**3 / share
        elif a is not None and state.get("symmetry") == "hcp":
            found[symbol] = math.sqrt(3) / 4 * a**3 * state["c/a"]
        else:
            found[symbol] = 4 / 3 * math.pi * covalent_radii[number] ** 3 / CLOSE_PACKING_FRACTION
    return {symbol: float(volume) for symbol, volume in found.items()}


def element_fractions(
    numbers: Tensor, index: Tensor, n_structures: int, elements: Tensor
) -> Tensor:
    """Return the fractions of elements `[k]` in each of b structures, `[b, k]`."""
    hits = (numbers.unsqueeze(-1) == elements.to(numbers.device)).to(torch.float64)
    sums = hits.new_zeros(n_structures, len(elements)).index_add_(0, index, hits)
    return sums / torch.bincount(index, minlength=n_structures).clamp(min=1).unsqueeze(-1)


def _atomic_masses(elements: Sequence[str]) -> dict[str, float]:
    from ase.data import atomic_masses, atomic_numbers

    masses = np.array(atomic_masses)
    return {one: float(masses[atomic_numbers[one]]) for one in elements}


def _check_table(name: str, table: Mapping[str, float] | None, elements: tuple[str, ...]) -> None:
    """Refuse a table that lacks an element or holds what is no positive number."""
    if table is None:
        return
    if not isinstance(table, Mapping):
        condition = "be a mapping from elements to numbers"
        raise InputError(error_message(name, condition, repr(table)))
    for symbol in elements:
        value = table.get(symbol)
        if value is None:
            condition = f"hold every element ({', '.join(elements)})"
            raise InputError(error_message(name, condition, f"none for {symbol}"))
        if not (math.isfinite(value) and value > 0):
            condition = "be positive and finite"
            raise InputError(error_message(f"{name}[{symbol!r}]", condition, value))


def _to_json(table: Mapping[str, float] | None) -> dict[str, float] | None:
    if table is None:
        return None
    return {symbol: float(table[symbol]) for symbol in sorted(table)}

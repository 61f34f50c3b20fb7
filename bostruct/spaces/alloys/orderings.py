"""Orderings: all symmetrically distinct arrangements of elements on a lattice, up to a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, final

from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_count, error_message
from bostruct.spaces.alloys.decoration import require_icet
from bostruct.spaces.alloys.parent_lattice import (
    parent_supercell,
    primitive_cell,
    suppress_spglib_warnings,
)
from bostruct.spaces.composition_properties import (
    CompositionProperties,
    check_bounds,
    check_elements,
)
from bostruct.spaces.pools.pool import Pool
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

MAX_ORDERINGS = 10**6
"""Largest number of orderings, all of which are kept."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Orderings(Pool):
    """All different orderings of elements on a lattice, up to a number of atoms.

    It is the `Pool` of structures that icet enumerates cell by cell (Hart and Forcade, Phys. Rev. B
    77, 224115 (2008)) such that no ordering occurs twice, in a larger cell or rotated. Needs icet:
    pip install 'bostruct[alloys]'.

    Args:
        parent: lattice, from ASE or pymatgen; reduced to its primitive cell.
        species: elements of all its sites; or of the sites on which the parent has one element, by
            that element, as in `{"Ni": ["Ni", "Al"]}`. Other sites keep their element.
        max_atoms: largest number of atoms in a cell.
        bounds: lowest and highest fraction of an element among all atoms, as in
            `{"Cu": (0.0, 0.5)}`.
        volumes: volume of an atom by element, Å³. Where given, cells are scaled to their sum and
            the mass density is known; else the cell is the parent's.
        price: price of a kilogram by element, which makes the price known.

    Attributes:
        max_atoms: largest number of atoms in a cell.

    Raises:
        InputError: an argument is invalid, or icet is not installed.
        SpaceError: there are no orderings, or more than 10⁶.
    """

    max_atoms: int

    def __init__(
        self,
        parent: Atoms | Structure,
        species: Sequence[str] | Mapping[str, Sequence[str]],
        max_atoms: int,
        *,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        require_icet("space", "Orderings")
        cell = primitive_cell(parent_supercell(parent))
        check_count("max_atoms", max_atoms, len(cell), "The primitive cell holds as many.")
        options = _site_options(cell, species)
        elements = sorted({symbol for symbols in options for symbol in symbols})
        check_bounds(bounds, elements)
        CompositionProperties(tuple(elements), price, volumes)  # raises before the enumeration
        super().__init__(
            _enumerate_orderings(cell, options, max_atoms // len(cell), bounds, volumes),
            assume_distinct=True,
            min_distance_factor=0.1,
            volumes=volumes,
            price=price,
        )
        object.__setattr__(self, "max_atoms", max_atoms)

    def __repr__(self) -> str:
        elements = "-".join(self.composition_properties.elements)
        return f"Orderings({elements}, {len(self)} up to {self.max_atoms} atoms)"

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description and the orderings that were stored.

        Raises:
            InputError: nothing was stored.
        """
        self = super().from_description(description, stored)
        object.__setattr__(self, "max_atoms", int(description["max_atoms"]))
        return self

    def names_at(self, X: Tensor) -> list[str]:
        """Return the formulas of the orderings at X `[..., 1]`, row-major."""
        return self.decode(X).formulas()

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        return {**super().description(), "type": "Orderings", "max_atoms": self.max_atoms}


def _site_options(
    cell: Atoms, species: Sequence[str] | Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Return the elements that each site of the primitive cell may hold."""
    symbols = cell.get_chemical_symbols()
    if not isinstance(species, Mapping):
        return [list(check_elements("species", species))] * len(symbols)
    for symbol in species:
        if symbol not in symbols:
            condition = f"name elements of the parent ({', '.join(sorted(set(symbols)))})"
            raise InputError(error_message("species", condition, repr(symbol)))
    table = {
        symbol: list(check_elements(f"species[{symbol!r}]", names))
        for symbol, names in species.items()
    }
    return [table.get(symbol, [symbol]) for symbol in symbols]


def _enumerate_orderings(
    cell: Atoms,
    options: list[list[str]],
    max_cells: int,
    bounds: Mapping[str, tuple[float, float]] | None,
    volumes: Mapping[str, float] | None,
) -> Structures:
    """Return all orderings, scaled to their volumes.

    Raises:
        SpaceError: there are none, or too many.
    """
    from icet.tools import enumerate_structures

    iterator = enumerate_structures(
        cell, range(1, max_cells + 1), options, concentration_restrictions=bounds
    )
    with suppress_spglib_warnings():
        orderings = list(islice(iterator, MAX_ORDERINGS + 1))
    if len(orderings) > MAX_ORDERINGS:
        condition = f"make at most {MAX_ORDERINGS} orderings"
        raise SpaceError(error_message("max_atoms", condition, "more", "Take smaller cells."))
    if not orderings:
        raise SpaceError(error_message("bounds", "leave an ordering", bounds, "Widen them."))
    if volumes is not None:
        for ordering in orderings:
            volume = sum(volumes[symbol] for symbol in ordering.symbols)
            scale = (volume / ordering.get_volume()) ** (1 / 3)
            ordering.set_cell(scale * ordering.cell.array, scale_atoms=True)
    return from_ase(orderings)

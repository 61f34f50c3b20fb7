"""All orderings of elements on a lattice, in cells up to a size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_count, error_message
from bostruct.spaces.alloys.decoration import require_icet
from bostruct.spaces.alloys.parent_lattice import (
    parent_supercell,
    primitive_cell,
    suppress_spglib_warnings,
)
from bostruct.spaces.composition_properties import CompositionProperties, check_elements
from bostruct.spaces.pools.pool import Pool
from bostruct.spaces.space import MEMBERS_PER_CHUNK, Move
from bostruct.structures import Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

MAX_ORDERINGS = 10**6
"""Orderings kept; more would not fit a search that scores each."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Orderings:
    """All different orderings of elements on a lattice, up to a number of atoms.

    A space of `bostruct.spaces.space.Discrete`: X `[..., 1]` is the place in the
    list, which icet enumerates cell by cell (Hart and Forcade, Phys. Rev. B 77, 224115
    (2008)) such that no ordering occurs twice, in a larger cell or turned. Needs icet:
    pip install 'bostruct[alloys]'.

    Args:
        parent: the lattice, from ASE or pymatgen; reduced to its primitive cell.
        species: elements of all its sites; or of the sites on which the parent has one
            element, by that element, as in `{"Ni": ["Ni", "Al"]}`. Other sites keep
            what they have.
        max_atoms: of a cell, at most.
        bounds: lowest and highest fraction of an element among all atoms, as in
            `{"Cu": (0.0, 0.5)}`.
        volumes: Å³ of an atom by element. Where given, cells are scaled to their sum
            and the mass density is known; else the cell is the parent's.
        price: of a kilogram by element, which makes the price known.

    Attributes:
        pool: the list.
        max_atoms: as given.
        numbers: `[k]` int64, elements that occur, in order.
        radii: `[k]` Å.

    Raises:
        InputError: an argument cannot be used, or icet is not installed.
        SpaceError: there are none, or more than 10⁶.
    """

    pool: Pool
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
        elements = sorted({one for names in options for one in names})
        _check_bounds(bounds, elements)
        CompositionProperties(tuple(elements), price, volumes)
        parts = _enumerate_orderings(cell, options, max_atoms // len(cell), bounds, volumes)
        pool = Pool(
            parts,
            assume_distinct=True,
            min_distance_factor=0.1,
            volumes=volumes,
            price=price,
        )
        object.__setattr__(self, "pool", pool)
        object.__setattr__(self, "max_atoms", max_atoms)

    def __len__(self) -> int:
        return len(self.pool)

    def __repr__(self) -> str:
        names = "-".join(self.pool.composition_properties.elements)
        return f"Orderings({names}, {len(self)} up to {self.max_atoms} atoms)"

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers of the elements that occur, `[k]` int64."""
        return self.pool.numbers

    @property
    def atomic_radii(self) -> Tensor:
        """Their radii, `[k]` Å."""
        return self.pool.atomic_radii

    @property
    def dimension(self) -> int:
        """One: the place."""
        return 1

    @property
    def size(self) -> int:
        """How many there are."""
        return self.pool.size

    def members(self, start: int, stop: int) -> Tensor:
        """Return the places of orderings `start` to `stop`, `[stop - start, 1]`."""
        return self.pool.members(start, stop)

    def iter_members(self, chunk_size: int = MEMBERS_PER_CHUNK) -> Iterator[Tensor]:
        """Yield the places of all orderings, at most `chunk_size` at a time, `[·, 1]`."""
        return self.pool.iter_members(chunk_size)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return places of orderings, all as probable, `[n, 1]` float64."""
        return self.pool.sample(n, generator)

    def decode(self, X: Tensor) -> Structures:
        """Return the orderings at X `[..., 1]`, row-major; no gradient flows."""
        return self.pool.decode(X)

    def encode(self, structures: Structures) -> Tensor:
        """Return the places of orderings, turned or in larger cells, `[b, 1]`."""
        return self.pool.encode(structures)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., 1]` is a place of the list, `[...]`."""
        return self.pool.contains(X)

    def project(self, X: Tensor) -> Tensor:
        """Return the place nearest to X `[..., 1]`."""
        return self.pool.project(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the place nearest to X `[..., 1]`, as no ordering occurs twice."""
        return self.pool.canonical(X)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., 1]`, broadcast, are one ordering, `[...]`."""
        return self.pool.is_duplicate(A, B, tolerance_scale)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "jump" goes to any other ordering."""
        return self.pool.moves()

    def composition(self, X: Tensor) -> Tensor:
        """Return the share of each element at X `[..., 1]`, `[..., k]`."""
        return self.pool.composition(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., 1]`, each `[...]`; see `Pool`."""
        return self.pool.exact_properties(X)

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        return {
            **self.pool.description(),
            "type": "Orderings",
            "max_atoms": self.max_atoms,
        }


def _site_options(
    cell: Atoms, species: Sequence[str] | Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Return the elements that each site of the primitive cell may hold."""
    symbols = cell.get_chemical_symbols()
    if not isinstance(species, Mapping):
        return [list(check_elements("species", species))] * len(symbols)
    for symbol in species:
        if symbol not in symbols:
            known = ", ".join(sorted(set(symbols)))
            condition = f"name elements of the parent ({known})"
            raise InputError(error_message("species", condition, repr(symbol)))
    table = {
        symbol: list(check_elements(f"species[{symbol!r}]", names))
        for symbol, names in species.items()
    }
    return [table.get(symbol, [symbol]) for symbol in symbols]


def _check_bounds(bounds: Mapping[str, tuple[float, float]] | None, elements: list[str]) -> None:
    for symbol, pair in (bounds or {}).items():
        if symbol not in elements:
            condition = f"name elements that may occur ({', '.join(elements)})"
            raise InputError(error_message("bounds", condition, repr(symbol)))
        if len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= 1:
            condition = "rise between 0 and 1"
            raise InputError(error_message(f"bounds[{symbol!r}]", condition, pair))


def _enumerate_orderings(
    cell: Atoms,
    options: list[list[str]],
    max_cells: int,
    bounds: Mapping[str, tuple[float, float]] | None,
    volumes: Mapping[str, float] | None,
) -> Structures:
    """Return all orderings.

    Raises:
        SpaceError: there are none, or too many.
    """
    from icet.tools import enumerate_structures

    made = enumerate_structures(
        cell, range(1, max_cells + 1), options, concentration_restrictions=bounds
    )
    with suppress_spglib_warnings():
        found = list(islice(made, MAX_ORDERINGS + 1))
    if len(found) > MAX_ORDERINGS:
        condition = f"make at most {MAX_ORDERINGS} orderings"
        raise SpaceError(error_message("max_atoms", condition, "more", "Take smaller cells."))
    if not found:
        condition = "leave an ordering"
        raise SpaceError(error_message("bounds", condition, bounds, "Widen them."))
    for ordering in found:
        if volumes is not None:
            volume = sum(volumes[one] for one in ordering.symbols)
            scale = (volume / ordering.get_volume()) ** (1 / 3)
            ordering.set_cell(scale * ordering.cell.array, scale_atoms=True)
    return from_ase(found)

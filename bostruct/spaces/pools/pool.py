"""A list of structures to choose from: X are places in the list."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    check_count,
    check_positive,
    check_shape,
    error_message,
)
from bostruct.spaces.composition_properties import (
    CompositionProperties,
    element_fractions,
)
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.pools.duplicates import (
    compute_fingerprints,
    first_duplicate,
    is_duplicate_pair,
    matching_fingerprints,
)
from bostruct.spaces.pools.read_structures import iter_structures
from bostruct.spaces.pools.structure_store import StructureStore
from bostruct.spaces.space import (
    MEMBER_TOLERANCE,
    MEMBERS_PER_CHUNK,
    Move,
    check_member_range,
    chunk_ranges,
    is_same_member,
    no_members,
)
from bostruct.structures import SYMBOLS, Structures, build_neighbor_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bostruct.spaces.pools.read_structures import StructureSource

log = logging.getLogger(__name__)

STRUCTURES_PER_CHUNK = 1024
"""Structures looked at together."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Pool:
    """Any structures, listed.

    A space of `bostruct.spaces.space.Discrete`: X `[..., 1]` is the place in the
    list as given, counted from 0. Of the same structure given twice the first counts;
    the others are told (`duplicates`, and a warning in the log), are never sampled or
    listed, and `canonical` leads from them to the first. Structures are kept in little
    memory and decoded when asked for.

    Args:
        source: ASE's Atoms, pymatgen's structures or entries, in a list; a file that
            ASE reads, as extxyz; an ASE database; or `Structures`.
        assume_distinct: all are known to be different, and the search for duplicates, some
            2 ms a structure, is left out.
        min_distance_factor: atoms may come as near as this share of the sum of their radii.
        volumes: Å³ of an atom by element, where the mass density is to be known.
        price: of a kilogram by element, which makes the price known.

    Attributes:
        store: the structures.
        names: of the structures.
        numbers: `[k]` int64, elements that occur, in order.
        atomic_radii: `[k]` Å.

    Raises:
        InputError: a structure is empty, two of its atoms overlap, or an argument
            cannot be used.
    """

    store: StructureStore
    names: tuple[str, ...]
    numbers: Tensor
    atomic_radii: Tensor
    assume_distinct: bool
    composition_properties: CompositionProperties

    def __init__(
        self,
        source: StructureSource,
        *,
        assume_distinct: bool = False,
        min_distance_factor: float = 0.5,
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        check_positive(
            "min_distance_factor",
            min_distance_factor,
            "It is a fraction of a bond, say 0.5.",
        )
        names: list[str] = []
        parts = []
        for called, part in iter_structures(source):
            _check_overlaps(part, called, min_distance_factor)
            names += called
            parts.append(part)
        if not parts:
            raise InputError(error_message("source", "hold at least one structure", "none"))
        shelf = StructureStore.from_batches(parts)
        numbers = shelf.numbers.unique().long()
        elements = tuple(SYMBOLS[number] for number in numbers.tolist())
        for name, value in {
            "store": shelf,
            "names": tuple(names),
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "assume_distinct": bool(assume_distinct),
            "composition_properties": CompositionProperties(elements, price, volumes),
        }.items():
            object.__setattr__(self, name, value)
        self._warn_about_duplicates()

    def __len__(self) -> int:
        return len(self._distinct_indices)

    def __repr__(self) -> str:
        return f"Pool({len(self)} structures)"

    @property
    def dimension(self) -> int:
        """One: the place."""
        return 1

    @property
    def size(self) -> int:
        """How many different structures there are."""
        return len(self._distinct_indices)

    @property
    def duplicates(self) -> list[tuple[int, int]]:
        """Places that hold what an earlier place holds, with that place."""
        places = (self._first_indices != torch.arange(len(self.store))).nonzero().flatten()
        return [(int(place), int(self._first_indices[place])) for place in places]

    def members(self, start: int, stop: int) -> Tensor:
        """Return the places of structures `start` to `stop`, `[stop - start, 1]`.

        Duplicates are not among them.

        Raises:
            InputError: there are no such structures.
        """
        check_member_range(self.size, start, stop)
        places: Tensor = self._distinct_indices[start:stop].double()
        return places.unsqueeze(-1)

    def iter_members(self, chunk_size: int = MEMBERS_PER_CHUNK) -> Iterator[Tensor]:
        """Yield the places of all structures, at most `chunk_size` at a time, `[·, 1]`."""
        for start, stop in chunk_ranges(self.size, chunk_size):
            yield self.members(start, stop)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return places uniform over what is different, `[n, 1]` float64."""
        check_count("n", n, 0)
        if not n:
            return no_members(1)
        drawn = torch.randint(self.size, (n,), generator=generator)
        places: Tensor = self._distinct_indices[drawn].double()
        return places.unsqueeze(-1)

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., 1]`, row-major; no gradient flows."""
        return self.store.take(self._indices(X)).to(X.device, X.dtype)

    def encode(self, structures: Structures) -> Tensor:
        """Return the places of structures, turned or shifted as may be, `[b, 1]`.

        Raises:
            InputError: one is not in the pool.
        """
        cpu = structures.to("cpu", torch.float64)
        rows = []
        for place, one in enumerate(cpu.split()):
            known = torch.isin(one.numbers, self.numbers).all()
            found = self._find_index(one) if bool(known) else None
            if found is None:
                condition = "be in the pool"
                value = structures.formulas()[place]
                raise InputError(error_message("structures", condition, value))
            rows.append([float(found)])
        return torch.tensor(rows).to(structures.device, structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., 1]` is a place of the list, `[...]`."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X[..., 0].nan_to_num(-1.0)
        whole = (x - x.round()).abs() < MEMBER_TOLERANCE
        inside: Tensor = whole & (x.round() >= 0) & (x.round() < len(self.store))
        return inside

    def project(self, X: Tensor) -> Tensor:
        """Return the place nearest to X `[..., 1]`."""
        return self._indices(X).reshape(X.shape).to(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the first place with the structure at X, `[..., 1]`."""
        return self._first_indices[self._indices(X)].reshape(X.shape).to(X)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., 1]`, broadcast, are one structure, `[...]`.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive(
            "tolerance_scale",
            tolerance_scale,
            "Structures of a pool are the same or not.",
        )
        return is_same_member(self.canonical(A), self.canonical(B))

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "jump" goes to any other structure."""
        return {"jump": self._jump}

    def composition(self, X: Tensor) -> Tensor:
        """Return the share of each element at X `[..., 1]`, `[..., k]`."""
        places = self._indices(X)
        unique, where = places.unique(return_inverse=True)
        found = torch.cat([self._composition_at(part) for part in unique.split(MEMBERS_PER_CHUNK)])
        return found[where].reshape(*X.shape[:-1], -1).to(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., 1]`, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where prices
        and volumes were given.
        """
        return self.composition_properties.evaluate(self.composition(X))

    def names_at(self, X: Tensor) -> list[str]:
        """Return the names of the structures at X `[..., 1]`, row-major."""
        return [self.names[place] for place in self._indices(X).tolist()]

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        digest = hashlib.sha256()
        for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc", "start"):
            digest.update(getattr(self.store, name).contiguous().numpy())
        return {
            "type": "Pool",
            "n_structures": len(self.store),
            "assume_distinct": self.assume_distinct,
            "sha256": digest.hexdigest(),
            **self.composition_properties.description(),
        }

    @cached_property
    def _fingerprints(self) -> Tensor:
        every = torch.arange(len(self.store))
        parts = [
            compute_fingerprints(self.store.take(part), self.numbers)
            for part in every.split(STRUCTURES_PER_CHUNK)
        ]
        return torch.cat(parts)

    @cached_property
    def _first_indices(self) -> Tensor:
        """The first place with the structure of each, `[b]`."""
        if self.assume_distinct:
            return torch.arange(len(self.store))
        return first_duplicate(self._fingerprints, self.store.take)

    @cached_property
    def _distinct_indices(self) -> Tensor:
        """The places of all that is different, `[size]`."""
        found: Tensor = self._first_indices.unique()
        return found

    def _warn_about_duplicates(self) -> None:
        twice = self.duplicates
        if twice:
            later, first = twice[0]
            log.warning(
                "%d of %d structures are in the pool already, as %r, which is %r",
                len(twice),
                len(self.store),
                self.names[later],
                self.names[first],
            )

    def _indices(self, X: Tensor) -> Tensor:
        """Return the places nearest to X `[..., 1]`, `[n]` int64 on the CPU."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X.detach().reshape(-1).double().nan_to_num(0.0).round().cpu()
        return x.clamp(0, len(self.store) - 1).long()

    def _find_index(self, structure: Structures) -> int | None:
        """Return the first place of a structure, or None."""

        def take(_: Tensor) -> Structures:
            return structure

        near = matching_fingerprints(
            compute_fingerprints(structure, self.numbers)[0], self._fingerprints
        )
        for place in near.tolist():
            if is_duplicate_pair(take, 0, self.store.take, place):
                return int(self._first_indices[place])
        return None

    def _composition_at(self, indices: Tensor) -> Tensor:
        taken = self.store.take(indices)
        return element_fractions(taken.numbers, taken.index, len(taken), self.numbers)

    def _jump(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Go to any other structure."""
        here = torch.searchsorted(self._distinct_indices, self._first_indices[self._indices(X)])
        step = torch.randint(1, max(self.size, 2), here.shape, generator=generator)
        places: Tensor = self._distinct_indices[(here + step) % self.size].double()
        return places.unsqueeze(-1).to(X)


def _check_overlaps(
    structures: Structures, names: Sequence[str], min_distance_factor: float
) -> None:
    """Refuse structures in which atoms overlap.

    Raises:
        InputError: one does; the sentence names it.
    """
    kinds = structures.numbers.unique()
    table = torch.zeros(len(SYMBOLS), dtype=torch.float64)
    table[kinds] = resolve_atomic_radii(kinds, None)
    radii = table[structures.numbers]
    near = build_neighbor_list(structures, 2 * min_distance_factor * float(radii.max()))
    d = near.vectors(structures.positions, structures.cell).norm(dim=-1)
    close = d < min_distance_factor * (radii[near.center] + radii[near.neighbor])
    if bool(close.any()):
        pair = int(close.nonzero()[0])
        name = names[int(structures.index[near.center[pair]])]
        condition = "hold no structure with overlapping atoms"
        value = f"{name!r}, where two are {float(d[pair]):.2f} Å apart"
        raise InputError(error_message("source", condition, value))

"""Pools: given lists of structures; X are indices into the list."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from bostruct.errors import InputError, check_count, check_positive, check_shape, error_message
from bostruct.spaces.composition_properties import CompositionProperties, element_fractions
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
    EnumerableMembers,
    Move,
    check_member_range,
)
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import SYMBOLS, Structures, build_neighbor_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bostruct.spaces.pools.read_structures import StructureSource

log = logging.getLogger(__name__)

STRUCTURES_PER_CHUNK = 1024
"""Largest number of structures whose fingerprints are computed at once."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Pool(EnumerableMembers):
    """Any given structures.

    It is a `DiscreteSpace`: X `[..., 1]` is the index into the list as given, from 0. The first of
    several duplicates is the canonical member; the others are reported (`duplicates`, and a warning
    in the log), never sampled or enumerated, and `canonical` maps them to the first. Structures are
    stored compactly and decoded on demand, with tags, fixed atoms, initial magnetic moments and
    charges, and `charge` and `spin` of `atoms.info`; energies are left out.

    Args:
        source: ASE's Atoms, pymatgen's structures or entries, in a list; a file that ASE reads, as
            extxyz; an ASE database; or `Structures`.
        assume_distinct: true if all structures are known to be different, which saves the search
            for duplicates, about 2 ms per structure.
        min_distance_factor: smallest allowed distance of atoms, as a fraction of the sum of their
            radii.
        volumes: volume of an atom by element, Å³, which makes the mass density known.
        price: price of a kilogram by element, which makes the price known.

    Attributes:
        store: structures in compact form.
        names: names of the structures.
        numbers: `[k]` int64, elements that occur, in order.
        atomic_radii: `[k]` Å.
        assume_distinct: true if the search for duplicates is omitted.

    Raises:
        InputError: a structure is empty, two of its atoms overlap, or an argument is invalid.
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
        hint = "It is a fraction of a bond, say 0.5."
        check_positive("min_distance_factor", min_distance_factor, hint)
        names: list[str] = []
        batches = []
        for batch_names, batch in iter_structures(source):
            _check_overlaps(batch, batch_names, min_distance_factor)
            names += batch_names
            batches.append(batch)
        if not batches:
            raise InputError(error_message("source", "hold at least one structure", "none"))
        store = StructureStore.from_batches(batches)
        self._set_structures(store, names, bool(assume_distinct), price, volumes)
        self._warn_about_duplicates()

    def _set_structures(
        self,
        store: StructureStore,
        names: Sequence[str],
        assume_distinct: bool,
        price: Mapping[str, float] | None,
        volumes: Mapping[str, float] | None,
    ) -> None:
        numbers = store.numbers.unique().long()
        elements = tuple(SYMBOLS[number] for number in numbers.tolist())
        for name, value in {
            "store": store,
            "names": tuple(names),
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "assume_distinct": assume_distinct,
            "composition_properties": CompositionProperties(elements, price, volumes),
        }.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self._distinct_indices)

    def __repr__(self) -> str:
        return f"Pool({len(self)} structures)"

    @property
    def dimension(self) -> int:
        """The number of coordinates: one, the index."""
        return 1

    @property
    def size(self) -> int:
        """The number of different structures."""
        return len(self._distinct_indices)

    @property
    def duplicates(self) -> list[tuple[int, int]]:
        """Indices of structures that occur before, with the index of the first occurrence."""
        indices = (self._first_indices != torch.arange(len(self.store))).nonzero().flatten()
        return list(zip(indices.tolist(), self._first_indices[indices].tolist(), strict=True))

    def members(self, start: int, stop: int) -> Tensor:
        """Return the indices of different structures `start` to `stop`, `[stop - start, 1]`.

        Raises:
            InputError: there are no such structures.
        """
        check_member_range(self.size, start, stop)
        return self._distinct_indices[start:stop].double().unsqueeze(-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return indices of different structures, all equally probable, `[n, 1]` float64."""
        drawn = torch.randint(self.size, (check_count("n", n, 0),), generator=generator)
        return self._distinct_indices[drawn].double().unsqueeze(-1)

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., 1]`, row-major; no gradient flows."""
        return self.store.take(self._indices(X)).to(X.device, X.dtype)

    def encode(self, structures: Structures) -> Tensor:
        """Return the indices of structures, however rotated or shifted, `[b, 1]`.

        Raises:
            InputError: a structure is not in the pool.
        """
        rows = []
        for structure in structures.to("cpu", torch.float64).split():
            has_elements = bool(torch.isin(structure.numbers, self.numbers).all())
            index = self._find_index(structure) if has_elements else None
            if index is None:
                formula = structure.formulas()[0]
                raise InputError(error_message("structures", "be in the pool", formula))
            rows.append([float(index)])
        return torch.tensor(rows).to(structures.device, structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., 1]` is an index into the list, `[...]` bool."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X[..., 0].nan_to_num(-1.0)
        is_integer = (x - x.round()).abs() < MEMBER_TOLERANCE
        inside: Tensor = is_integer & (x.round() >= 0) & (x.round() < len(self.store))
        return inside

    def project(self, X: Tensor) -> Tensor:
        """Return the index nearest to X `[..., 1]`."""
        return self._indices(X).reshape(X.shape).to(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the first index of the structure at X, `[..., 1]`."""
        return self._first_indices[self._indices(X)].reshape(X.shape).to(X)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "jump" goes to any other structure."""
        return {"jump": self._jump}

    def composition(self, X: Tensor) -> Tensor:
        """Return the fraction of each element at X `[..., 1]`, `[..., k]`."""
        unique, inverse = self._indices(X).unique(return_inverse=True)
        chunks = [
            element_fractions(part, self.numbers)
            for part in map(self.store.take, unique.split(MEMBERS_PER_CHUNK))
        ]
        return torch.cat(chunks)[inverse].reshape(*X.shape[:-1], -1).to(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return the properties at X `[..., 1]` that need no evaluation, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where the space has prices
        and volumes.
        """
        return self.composition_properties.evaluate(self.composition(X))

    def names_at(self, X: Tensor) -> list[str]:
        """Return the names of the structures at X `[..., 1]`, row-major."""
        return [self.names[index] for index in self._indices(X).tolist()]

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description and the structures that were stored.

        Raises:
            InputError: nothing was stored.
        """
        if stored is None:
            raise InputError(error_message("stored", "hold the structures", "nothing"))
        self = object.__new__(cls)
        tables = description["price"], description["volumes"]
        store = StructureStore.from_batches([stored.structures])
        self._set_structures(store, stored.names, bool(description["assume_distinct"]), *tables)
        return self

    def stored_structures(self) -> StoredStructures:
        """Return the structures, of which the description holds a digest, with their names."""
        return StoredStructures(self.store.take(torch.arange(len(self.store))), self.names)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        digest = hashlib.sha256()
        for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc", "start"):
            digest.update(getattr(self.store, name).contiguous().numpy())
        for name, value in sorted(self.store.electronic_state.items()):
            digest.update(name.encode() + value.numpy().tobytes())
        return {
            "type": "Pool",
            "n_structures": len(self.store),
            "assume_distinct": self.assume_distinct,
            "sha256": digest.hexdigest(),
            **self.composition_properties.description(),
        }

    @cached_property
    def _fingerprints(self) -> Tensor:
        chunks = torch.arange(len(self.store)).split(STRUCTURES_PER_CHUNK)
        return torch.cat([compute_fingerprints(self.store.take(i), self.numbers) for i in chunks])

    @cached_property
    def _first_indices(self) -> Tensor:
        """The first index of each structure, `[b]`."""
        if self.assume_distinct:
            return torch.arange(len(self.store))
        return first_duplicate(self._fingerprints, self.store.take)

    @cached_property
    def _distinct_indices(self) -> Tensor:
        """The indices of all different structures, `[size]`."""
        indices: Tensor = self._first_indices.unique()
        return indices

    def _warn_about_duplicates(self) -> None:
        duplicates = self.duplicates
        if duplicates:
            later, first = duplicates[0]
            log.warning(
                "%d of %d structures are in the pool already, as %r, which is %r",
                len(duplicates),
                len(self.store),
                self.names[later],
                self.names[first],
            )

    def _indices(self, X: Tensor) -> Tensor:
        """Return the indices nearest to X `[..., 1]`, `[n]` int64 on the CPU."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X.detach().reshape(-1).double().nan_to_num(0.0).round().cpu()
        return x.clamp(0, len(self.store) - 1).long()

    def _find_index(self, structure: Structures) -> int | None:
        """Return the first index of a structure, or None.

        A structure without moments and charges is the member that has the same atoms, if there is
        only one; so is one with them, of a member without.
        """
        fingerprint = compute_fingerprints(structure, self.numbers)[0]
        bare, alike = structure.without_electronic_state(), set()
        for index in matching_fingerprints(fingerprint, self._fingerprints).tolist():
            member = self.store.take(torch.tensor([index]))
            if is_duplicate_pair(structure, member):
                return int(self._first_indices[index])
            comparable = not structure.has_electronic_state or not member.has_electronic_state
            if comparable and is_duplicate_pair(bare, member.without_electronic_state()):
                alike.add(int(self._first_indices[index]))
        return alike.pop() if len(alike) == 1 else None

    def _jump(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Go to any other structure."""
        rank = torch.searchsorted(self._distinct_indices, self._first_indices[self._indices(X)])
        step = torch.randint(1, max(self.size, 2), rank.shape, generator=generator)
        return self._distinct_indices[(rank + step) % self.size].double().unsqueeze(-1).to(X)


def _check_overlaps(
    structures: Structures, names: Sequence[str], min_distance_factor: float
) -> None:
    """Raise an error that names a structure in which atoms overlap.

    Raises:
        InputError: atoms of a structure overlap.
    """
    elements = structures.numbers.unique()
    table = torch.zeros(len(SYMBOLS), dtype=torch.float64)
    table[elements] = resolve_atomic_radii(elements, None)
    radii = table[structures.numbers]
    near = build_neighbor_list(structures, 2 * min_distance_factor * float(radii.max()))
    d = near.vectors(structures.positions, structures.cell).norm(dim=-1)
    close = d < min_distance_factor * (radii[near.center] + radii[near.neighbor])
    if bool(close.any()):
        pair = int(close.nonzero()[0])
        name = names[int(structures.index[near.center[pair]])]
        value = f"{name!r}, where two are {float(d[pair]):.2f} Å apart"
        condition = "hold no structure with overlapping atoms"
        hint = "Leave it out, or give a smaller `min_distance_factor`."
        raise InputError(error_message("source", condition, value, hint))

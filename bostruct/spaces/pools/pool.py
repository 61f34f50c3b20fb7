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

from bostruct.errors import InputError, check_count, check_positive, check_shape, must
from bostruct.spaces.composition_properties import Known, composition
from bostruct.spaces.formula import element_radii
from bostruct.spaces.pools.duplicates import equal, find, first_of, signatures
from bostruct.spaces.pools.read_structures import read
from bostruct.spaces.pools.structure_store import Shelf
from bostruct.spaces.space import CHUNK, NEAR, Move, alike, check_range, empty, spans
from bostruct.structures import SYMBOLS, Structures, neighbors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bostruct.spaces.pools.read_structures import Source

log = logging.getLogger(__name__)

BLOCK = 1024
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
        distinct: all are known to be different, and the search for duplicates, some
            2 ms a structure, is left out.
        closeness: atoms may come as near as this share of the sum of their radii.
        volumes: Å³ of an atom by element, where the mass density is to be known.
        price: of a kilogram by element, which makes the price known.

    Attributes:
        shelf: the structures.
        names: of the structures.
        numbers: `[k]` int64, elements that occur, in order.
        radii: `[k]` Å.

    Raises:
        InputError: a structure is empty, two of its atoms overlap, or an argument
            cannot be used.
    """

    shelf: Shelf
    names: tuple[str, ...]
    numbers: Tensor
    radii: Tensor
    distinct: bool
    facts: Known

    def __init__(
        self,
        source: Source,
        *,
        distinct: bool = False,
        closeness: float = 0.5,
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        check_positive("closeness", closeness, "It is a fraction of a bond, say 0.5.")
        names: list[str] = []
        parts = []
        for called, part in read(source):
            _check_apart(part, called, closeness)
            names += called
            parts.append(part)
        if not parts:
            raise InputError(must("source", "hold at least one structure", "none"))
        shelf = Shelf.of(parts)
        numbers = shelf.numbers.unique().long()
        elements = tuple(SYMBOLS[number] for number in numbers.tolist())
        for name, value in {
            "shelf": shelf,
            "names": tuple(names),
            "numbers": numbers,
            "radii": element_radii(numbers, None),
            "distinct": bool(distinct),
            "facts": Known(elements, price, volumes),
        }.items():
            object.__setattr__(self, name, value)
        self._tell()

    def __len__(self) -> int:
        return len(self._list)

    def __repr__(self) -> str:
        return f"Pool({len(self)} structures)"

    @property
    def dimension(self) -> int:
        """One: the place."""
        return 1

    @property
    def size(self) -> int:
        """How many different structures there are."""
        return len(self._list)

    @property
    def duplicates(self) -> list[tuple[int, int]]:
        """Places that hold what an earlier place holds, with that place."""
        places = (self._first != torch.arange(len(self.shelf))).nonzero().flatten()
        return [(int(place), int(self._first[place])) for place in places]

    def rows(self, start: int, stop: int) -> Tensor:
        """Return the places of structures `start` to `stop`, `[stop - start, 1]`.

        Duplicates are not among them.

        Raises:
            InputError: there are no such structures.
        """
        check_range(self.size, start, stop)
        places: Tensor = self._list[start:stop].double()
        return places.unsqueeze(-1)

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """Yield the places of all structures, at most `size` at a time, `[·, 1]`."""
        for start, stop in spans(self.size, size):
            yield self.rows(start, stop)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return places uniform over what is different, `[n, 1]` float64."""
        check_count("n", n, 0)
        if not n:
            return empty(1)
        drawn = torch.randint(self.size, (n,), generator=generator)
        places: Tensor = self._list[drawn].double()
        return places.unsqueeze(-1)

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., 1]`, row-major; no gradient flows."""
        return self.shelf.take(self._places(X)).to(X.device, X.dtype)

    def encode(self, structures: Structures) -> Tensor:
        """Return the places of structures, turned or shifted as may be, `[b, 1]`.

        Raises:
            InputError: one is not in the pool.
        """
        cpu = structures.to("cpu", torch.float64)
        rows = []
        for place, one in enumerate(cpu.split()):
            known = torch.isin(one.numbers, self.numbers).all()
            found = self._find(one) if bool(known) else None
            if found is None:
                condition = "be in the pool"
                value = structures.formulas()[place]
                raise InputError(must("structures", condition, value))
            rows.append([float(found)])
        return torch.tensor(rows).to(structures.device, structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., 1]` is a place of the list, `[...]`."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X[..., 0].nan_to_num(-1.0)
        whole = (x - x.round()).abs() < NEAR
        inside: Tensor = whole & (x.round() >= 0) & (x.round() < len(self.shelf))
        return inside

    def project(self, X: Tensor) -> Tensor:
        """Return the place nearest to X `[..., 1]`."""
        return self._places(X).reshape(X.shape).to(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the first place with the structure at X, `[..., 1]`."""
        return self._first[self._places(X)].reshape(X.shape).to(X)

    def same(self, A: Tensor, B: Tensor, scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., 1]`, broadcast, are one structure, `[...]`.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("scale", scale, "Structures of a pool are the same or not.")
        return alike(self.canonical(A), self.canonical(B))

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "jump" goes to any other structure."""
        return {"jump": self._jump}

    def fractions(self, X: Tensor) -> Tensor:
        """Return the share of each element at X `[..., 1]`, `[..., k]`."""
        places = self._places(X)
        unique, where = places.unique(return_inverse=True)
        found = torch.cat([self._shares(part) for part in unique.split(CHUNK)])
        return found[where].reshape(*X.shape[:-1], -1).to(X)

    def known(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., 1]`, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where prices
        and volumes were given.
        """
        return self.facts.at(self.fractions(X))

    def name(self, X: Tensor) -> list[str]:
        """Return the names of the structures at X `[..., 1]`, row-major."""
        return [self.names[place] for place in self._places(X).tolist()]

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        digest = hashlib.sha256()
        for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc", "start"):
            digest.update(getattr(self.shelf, name).contiguous().numpy())
        return {
            "kind": "pool",
            "structures": len(self.shelf),
            "distinct": self.distinct,
            "sha256": digest.hexdigest(),
            **self.facts.description(),
        }

    @cached_property
    def _signatures(self) -> Tensor:
        every = torch.arange(len(self.shelf))
        parts = [
            signatures(self.shelf.take(part), self.numbers)
            for part in every.split(BLOCK)
        ]
        return torch.cat(parts)

    @cached_property
    def _first(self) -> Tensor:
        """The first place with the structure of each, `[b]`."""
        if self.distinct:
            return torch.arange(len(self.shelf))
        return first_of(self._signatures, self.shelf.take)

    @cached_property
    def _list(self) -> Tensor:
        """The places of all that is different, `[size]`."""
        found: Tensor = self._first.unique()
        return found

    def _tell(self) -> None:
        twice = self.duplicates
        if twice:
            later, first = twice[0]
            log.warning(
                "%d of %d structures are in the pool already, as %r, which is %r",
                len(twice),
                len(self.shelf),
                self.names[later],
                self.names[first],
            )

    def _places(self, X: Tensor) -> Tensor:
        """Return the places nearest to X `[..., 1]`, `[n]` int64 on the CPU."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, 1])
        x = X.detach().reshape(-1).double().nan_to_num(0.0).round().cpu()
        return x.clamp(0, len(self.shelf) - 1).long()

    def _find(self, one: Structures) -> int | None:
        """Return the first place of a structure, or None."""

        def take(_: Tensor) -> Structures:
            return one

        near = find(signatures(one, self.numbers)[0], self._signatures)
        for place in near.tolist():
            if equal(take, 0, self.shelf.take, place):
                return int(self._first[place])
        return None

    def _shares(self, places: Tensor) -> Tensor:
        taken = self.shelf.take(places)
        return composition(taken.numbers, taken.index, len(taken), self.numbers)

    def _jump(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Go to any other structure."""
        here = torch.searchsorted(self._list, self._first[self._places(X)])
        step = torch.randint(1, max(self.size, 2), here.shape, generator=generator)
        places: Tensor = self._list[(here + step) % self.size].double()
        return places.unsqueeze(-1).to(X)


def _check_apart(part: Structures, names: Sequence[str], closeness: float) -> None:
    """Refuse structures in which atoms overlap.

    Raises:
        InputError: one does; the sentence names it.
    """
    kinds = part.numbers.unique()
    table = torch.zeros(len(SYMBOLS), dtype=torch.float64)
    table[kinds] = element_radii(kinds, None)
    radii = table[part.numbers]
    near = neighbors(part, 2 * closeness * float(radii.max()))
    d = near.vectors(part.positions, part.cell).norm(dim=-1)
    close = d < closeness * (radii[near.center] + radii[near.other])
    if bool(close.any()):
        pair = int(close.nonzero()[0])
        name = names[int(part.index[near.center[pair]])]
        condition = "hold no structure with overlapping atoms"
        value = f"{name!r}, where two are {float(d[pair]):.2f} Å apart"
        raise InputError(must("source", condition, value))

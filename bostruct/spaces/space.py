"""What a space is: coordinates X that stand for structures.

Notation
    d   coordinates of one structure
    a   atoms of one structure
    X   [..., d]   coordinates; float64 unless the caller says otherwise
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_count, error_message
from bostruct.structures import Structures

Move = Callable[[Tensor, torch.Generator], Tensor]
"""A random change, X `[n, d]` to X `[n, d]`, that stays in the space."""

Sampler = Callable[[int, torch.Generator], Tensor]
"""Makes n random structures, X `[n, d]` float64 on the CPU."""


class Space(Protocol):
    """A set of structures one may propose, and coordinates for them."""

    @property
    def dimension(self) -> int:
        """The number of coordinates d."""
        ...

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers of all atoms of a decoded structure, `[a]` int64, in order.

        Atoms that never move are among them.
        """
        ...

    @property
    def atomic_radii(self) -> Tensor:
        """Half the length of a bond of each of these atoms with its like, `[a]` Å.

        Equal atoms have equal radii: a surrogate looks them up by atomic number.
        """
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures of the space, `[n, d]` float64 on the CPU."""
        ...

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        ...

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures of this space, `[b, d]`."""
        ...

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is inside, with no atoms too close, `[...]`."""
        ...

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with every atom back inside the region.

        It may be applied after every step of a relaxation: what is inside keeps its
        place, or is shifted as a whole where the energy does not notice.
        """
        ...

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B, `[..., d]` broadcast, are one structure, `[...]`.

        `tolerance_scale` multiplies how far they may differ: below 1 is stricter.
        """
        ...

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes that suit this space, by name, in fixed order."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        ...


MEMBERS_PER_CHUNK = 1 << 14
"""Rows of X handed out at once."""

MEMBER_TOLERANCE = 1e-6
"""Coordinates of one member differ by less, in float32 too."""


@runtime_checkable
class DiscreteSpace(Protocol):
    """A space of separate members, which may be listed and know something exactly."""

    @property
    def size(self) -> int | None:
        """How many different members `rows` lists; None where they are not listed."""
        ...

    def members(self, start: int, stop: int) -> Tensor:
        """Return members `start` to `stop` of the list, canonical, `[stop - start, d]`.

        Raises:
            SpaceError: the space cannot be listed.
            InputError: there are no such members.
        """
        ...

    def iter_members(self, chunk_size: int = MEMBERS_PER_CHUNK) -> Iterator[Tensor]:
        """Yield all members once, in the order of `rows`, at most `chunk_size` at a time."""
        ...

    def canonical(self, X: Tensor) -> Tensor:
        """Return the row that stands for what is the same as X, `[..., d]`."""
        ...

    def composition(self, X: Tensor) -> Tensor:
        """Return the composition at X `[..., d]`, `[..., k]`, in order of `numbers`."""
        ...

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., d]` and costs nothing, each `[...]`.

        "x_Cu" is a fraction; "price", per kilogram, and "density", g/cm³, are there
        where the space was given prices and volumes.
        """
        ...


@runtime_checkable
class SupportsNeighbors(Protocol):
    """A space in which members have neighbors."""

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all other members one elementary change from x `[d]`, `[m, d]`.

        They are canonical, different from each other, and in a fixed order.
        """
        ...


def check_member_range(size: int | None, start: int, stop: int) -> None:
    """Refuse rows that a space does not list.

    Raises:
        SpaceError: the space lists none.
        InputError: the list is shorter, or the rows are no range.
    """
    if size is None:
        condition = "be a space that can be listed"
        way_out = "Use its samples and moves."
        raise SpaceError(error_message("space", condition, "one too large to list", way_out))
    check_count("start", start, 0)
    check_count("stop", stop, start)
    if stop > size:
        raise InputError(error_message("stop", f"be at most {size}", stop))


def chunk_ranges(size: int | None, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of at most `chunk_size` rows that make up `size`.

    Raises:
        SpaceError: the space lists none.
        InputError: the chunk is empty.
    """
    check_member_range(size, 0, 0)
    check_count("chunk_size", chunk_size)
    for start in range(0, size or 0, chunk_size):
        yield start, min(start + chunk_size, size or 0)


def is_same_member(A: Tensor, B: Tensor) -> Tensor:
    """Return whether canonical rows `[..., d]`, broadcast, agree, `[...]`."""
    return ((A - B).abs() < MEMBER_TOLERANCE).all(-1)


def element_indices(symbols: tuple[str, ...]) -> Mapping[str, int]:
    """Return the place of each element."""
    return {symbol: place for place, symbol in enumerate(symbols)}


def no_members(d: int) -> Tensor:
    """Return no rows, `[0, d]`."""
    return torch.zeros(0, d, dtype=torch.float64)

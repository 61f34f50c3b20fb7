"""What a discrete space offers beyond `Space`, and what of `Space` reads otherwise.

X are still float64 coordinates `[..., d]`: fractions, codes of occupancies, or an
index. Of `Space` holds all but this:

- `numbers` and `radii` list the elements that may occur, each once, as structures
  differ in composition and size; the placeholder X of a vacancy is not among them.
- `decode` is a function of the member next to X; no gradient flows through it.
- `project` goes to a member, and `contains` says whether X is one up to rounding.
- `same` compares members exactly; its `scale` has nothing to scale.

`canonical` makes equality cheap: whoever keeps a table of what was proposed keys it by
the row `canonical(X)`, so that nothing is proposed twice under two names. What is
evaluated at X is decoded from `canonical(X)`.

A search that scores every member walks through `chunks`; one for spaces that are too
large to list uses `moves`, and `neighbors` where the space has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_count, must

CHUNK = 1 << 14
"""Rows of X handed out at once."""

NEAR = 1e-6
"""Coordinates of one member differ by less, in float32 too."""


@runtime_checkable
class Discrete(Protocol):
    """A space of separate members, which may be listed and know something exactly."""

    @property
    def size(self) -> int | None:
        """How many different members `rows` lists; None where they are not listed."""
        ...

    def rows(self, start: int, stop: int) -> Tensor:
        """Return members `start` to `stop` of the list, canonical, `[stop - start, d]`.

        Raises:
            SpaceError: the space cannot be listed.
            InputError: there are no such members.
        """
        ...

    def chunks(self, size: int = CHUNK) -> Iterator[Tensor]:
        """Yield all members once, in the order of `rows`, at most `size` at a time."""
        ...

    def canonical(self, X: Tensor) -> Tensor:
        """Return the row that stands for what is the same as X, `[..., d]`."""
        ...

    def fractions(self, X: Tensor) -> Tensor:
        """Return the composition at X `[..., d]`, `[..., k]`, in order of `numbers`."""
        ...

    def known(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., d]` and costs nothing, each `[...]`.

        "x_Cu" is a fraction; "price", per kilogram, and "density", g/cm³, are there
        where the space was given prices and volumes.
        """
        ...


@runtime_checkable
class Connected(Protocol):
    """A space in which members have neighbors."""

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all other members one elementary change from x `[d]`, `[m, d]`.

        They are canonical, different from each other, and in a fixed order.
        """
        ...


def check_range(size: int | None, start: int, stop: int) -> None:
    """Refuse rows that a space does not list.

    Raises:
        SpaceError: the space lists none.
        InputError: the list is shorter, or the rows are no range.
    """
    if size is None:
        condition = "be a space that can be listed"
        way_out = "Use its samples and moves."
        raise SpaceError(must("space", condition, "one too large to list", way_out))
    check_count("start", start, 0)
    check_count("stop", stop, start)
    if stop > size:
        raise InputError(must("stop", f"be at most {size}", stop))


def spans(size: int | None, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of at most `chunk` rows that make up `size`.

    Raises:
        SpaceError: the space lists none.
        InputError: the chunk is empty.
    """
    check_range(size, 0, 0)
    check_count("size", chunk)
    for start in range(0, size or 0, chunk):
        yield start, min(start + chunk, size or 0)


def alike(A: Tensor, B: Tensor) -> Tensor:
    """Return whether canonical rows `[..., d]`, broadcast, agree, `[...]`."""
    return ((A - B).abs() < NEAR).all(-1)


def index_of(symbols: tuple[str, ...]) -> Mapping[str, int]:
    """Return the place of each element."""
    return {symbol: place for place, symbol in enumerate(symbols)}


def empty(d: int) -> Tensor:
    """Return no rows, `[0, d]`."""
    return torch.zeros(0, d, dtype=torch.float64)

"""What a space is: coordinates X that stand for structures.

Notation
    d   coordinates of one structure
    a   atoms of one structure
    X   [..., d]   coordinates; float64 unless the caller says otherwise
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

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
    def radii(self) -> Tensor:
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

    def same(self, A: Tensor, B: Tensor, scale: float = 1.0) -> Tensor:
        """Return whether A and B, `[..., d]` broadcast, are one structure, `[...]`.

        `scale` multiplies how far they may differ: below 1 is stricter.
        """
        ...

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes that suit this space, by name, in fixed order."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        ...

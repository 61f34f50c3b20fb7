"""Protocols of search spaces: coordinates X that encode structures.

Notation
    d   coordinates of one structure
    a   atoms of one structure
    k   elements of a discrete space
    X   [..., d]   coordinates; float64 unless the caller chooses another dtype
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_count, check_positive, error_message
from bostruct.structures import Structures

Move = Callable[[Tensor, torch.Generator], Tensor]
"""A random change of structures, X `[n, d]` to X `[n, d]`, that stays in the space."""

Sampler = Callable[[int, torch.Generator], Tensor]
"""A function that makes n random structures, X `[n, d]` float64 on the CPU."""


class Space(Protocol):
    """A set of structures that a search may propose, with coordinates that encode them."""

    @property
    def dimension(self) -> int:
        """The number of coordinates d."""
        ...

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers of all atoms, or of the elements in a discrete space, `[a]` int64.

        Atoms that never move are included.
        """
        ...

    @property
    def atomic_radii(self) -> Tensor:
        """Half the bond length of two equal atoms, Å, in the order of `numbers`.

        Equal elements have equal radii: a surrogate looks them up by atomic number.
        """
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures of the space, `[n, d]` float64 on the CPU."""
        ...

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major."""
        ...

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures of this space, `[b, d]`."""
        ...

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` may be proposed, `[...]` bool."""
        ...

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` moved into the space."""
        ...

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B, `[..., d]` broadcast, are the same structure, `[...]`.

        `tolerance_scale` multiplies the tolerance: below 1 is stricter.
        """
        ...

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes that suit this space, by name, in fixed order."""
        ...

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
        ...


class ContinuousSpace(Space, Protocol):
    """A space of atomic positions, which a relaxation can follow."""

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X."""
        ...

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is inside, connected, with no atoms too close, `[...]`."""
        ...

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with every atom moved back into the region.

        It may be applied after every step of a relaxation: atoms inside stay in place, or are
        shifted together where the energy is invariant.
        """
        ...


MEMBERS_PER_CHUNK = 1 << 14
"""Largest number of rows of X in a chunk."""

MEMBER_TOLERANCE = 1e-6
"""Largest difference of the coordinates of equal members, in float32 too."""


class EnumerableMembers(Protocol):
    """Members of a discrete space, with all that follows from their list and their equivalents.

    Discrete spaces inherit from it.
    """

    @property
    def size(self) -> int | None:
        """The number of different members, or None where they cannot be enumerated."""
        ...

    def members(self, start: int, stop: int) -> Tensor:
        """Return the canonical members `start` to `stop`, `[stop - start, d]`.

        Raises:
            SpaceError: the space cannot be enumerated.
            InputError: there are no such members.
        """
        ...

    def canonical(self, X: Tensor) -> Tensor:
        """Return the canonical member of all that are equivalent to X, `[..., d]`."""
        ...

    def iter_members(self, chunk_size: int = MEMBERS_PER_CHUNK) -> Iterator[Tensor]:
        """Yield all members once, in the order of `members`, at most `chunk_size` at a time.

        Raises:
            SpaceError: the space cannot be enumerated.
            InputError: `chunk_size` is not positive.
        """
        size = check_member_range(self.size, 0, 0)
        check_count("chunk_size", chunk_size)
        for start in range(0, size, chunk_size):
            yield self.members(start, min(start + chunk_size, size))

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B, `[..., d]` broadcast, have equal canonical members, `[...]`.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "Members are the same or not.")
        return ((self.canonical(A) - self.canonical(B)).abs() < MEMBER_TOLERANCE).all(-1)


@runtime_checkable
class DiscreteSpace(EnumerableMembers, Space, Protocol):
    """A space of separate members, which may be enumerated and compared exactly."""

    def composition(self, X: Tensor) -> Tensor:
        """Return the composition at X `[..., d]`, `[..., k]`, in order of `numbers`."""
        ...

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return the properties at X `[..., d]` that need no evaluation, each `[...]`.

        "x_Cu" is a fraction; "price", per kilogram, and "density", g/cm³, are included where the
        space has prices and volumes.
        """
        ...


@runtime_checkable
class SupportsNeighbors(Protocol):
    """A discrete space in which members have neighbors."""

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all other members one elementary change from x `[d]`, `[m, d]`.

        They are canonical, different from each other, and in a fixed order.
        """
        ...


@runtime_checkable
class SupportsGenerators(Protocol):
    """A space with several samplers."""

    def generators(self) -> Mapping[str, Sampler]:
        """Return the samplers of random structures, by name."""
        ...


@runtime_checkable
class SupportsRegion(Protocol):
    """A space in a region whose default has changed between versions."""

    def with_region_of(self, description: Mapping[str, Any]) -> Space:
        """Return this space with the region of a description, if that is an earlier default."""
        ...


@runtime_checkable
class SupportsMolecules(Protocol):
    """A space of molecules that stay whole and can move as rigid bodies."""

    @property
    def rigid_dimension(self) -> int:
        """The number m of coordinates of rigid motions, 0 where no atoms are molecules."""
        ...

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` may be proposed, `[...]` bool."""
        ...

    def rigid_motion(self, X: Tensor, q: Tensor) -> Tensor:
        """Return X `[..., d]` after motions q `[..., m]` Å, differentiable; X itself at q = 0."""
        ...

    def strains(self, X: Tensor) -> Tensor:
        """Return relative changes of bond lengths and of distances two bonds apart, `[..., k]`."""
        ...

    def molecule_violation(self, x: Tensor) -> str | None:
        """Return which bond is broken or new at x `[d]`, None if all molecules are whole."""
        ...


@runtime_checkable
class SupportsRadii(Protocol):
    """A space whose atomic radii can be corrected."""

    def with_radii(self, atomic_radii: Mapping[str, float]) -> Space:
        """Return this space with other radii of some elements, Å, and distances that follow."""
        ...


@runtime_checkable
class SupportsCellBounds(Protocol):
    """A space whose structures have cells within bounds."""

    def cell_violation(self, x: Tensor) -> tuple[str, str] | None:
        """Return what is outside the bounds at x `[d]` and the way out, None if the cell is inside.

        As in "a volume of 31.20 Å³ per atom" and "Give `volume=31.2`.".
        """
        ...


@runtime_checkable
class SupportsCompositions(Protocol):
    """A space of structures of several compositions or sizes: members of one formula each.

    A campaign minimizes their energy above the convex hull.
    """

    @property
    def numbers(self) -> Tensor:
        """Atomic numbers of the elements, `[s]` int64."""
        ...

    @property
    def compositions(self) -> Tensor:
        """The fraction of each element in each member, `[m, s]`, in order of `numbers`."""
        ...

    @property
    def atom_counts(self) -> Tensor:
        """The number of atoms of each member, `[m]` int64."""
        ...

    @property
    def formulas(self) -> tuple[str, ...]:
        """The formula of each member."""
        ...

    def member_index(self, X: Tensor) -> Tensor:
        """Return the number of the member at X `[..., d]`, `[...]` int64."""
        ...

    def sample_members(self, members: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random structure of each of some members `[n]`, `[n, d]`."""
        ...


def check_member_range(size: int | None, start: int, stop: int) -> int:
    """Return the size of a space if it has members `start` to `stop`.

    Raises:
        SpaceError: the space cannot be enumerated.
        InputError: the space has fewer members, or the range is invalid.
    """
    if size is None:
        raise SpaceError(
            error_message(
                "space",
                "be a space that can be listed",
                "one too large to list",
                "Use its samples and moves.",
            )
        )
    check_count("start", start, 0)
    check_count("stop", stop, start)
    if stop > size:
        raise InputError(error_message("stop", f"be at most {size}", stop))
    return size

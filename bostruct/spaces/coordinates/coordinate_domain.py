"""Domain of a few named coordinates: bounds, and which of them are periodic.

Notation
    d   coordinates
    X   [..., d]   in the units of each coordinate
    U   [..., d]   in units of `units`: the range of every coordinate is 2 π
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self, final, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message
from bostruct.spaces.coordinates.rotation_vectors import BodyRotation

BOUND_SLACK = 1e-9
"""Distance beyond a bound, in ranges, up to which a coordinate is inside."""

MOVE_FRACTION = 0.05
"""Standard deviation of a displacement, in ranges."""


@final
@dataclass(frozen=True, eq=False)
class CoordinateDomain:
    """Bounds of coordinates; a periodic one has its period between them.

    Attributes:
        names: name of each coordinate, d names.
        lower: `[d]` lower bounds.
        upper: `[d]` upper bounds; of a periodic coordinate the same point as the lower one.
        periodic: `[d]` bool.
        rotation: the three coordinates that are a rotation vector, which comes back as periodic
            ones do; None without any. Their bounds are -π and π, and they are not periodic alone.

    Raises:
        InputError: there is no coordinate, names repeat, or a bound is not above the lower one.
    """

    names: tuple[str, ...]
    lower: Tensor
    upper: Tensor
    periodic: Tensor
    rotation: BodyRotation | None = None

    def __post_init__(self) -> None:
        d = len(self.names)
        if not d or len(set(self.names)) < d:
            hint = "Such as {'distance': (1.0, 3.0)}."
            raise InputError(
                error_message("bounds", "name different coordinates", self.names, hint)
            )
        for name in ("lower", "upper", "periodic"):
            check_shape(name, getattr(self, name), [d], "A number for each coordinate.")
        for name, low, high in zip(
            self.names, self.lower.tolist(), self.upper.tolist(), strict=True
        ):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                condition = "be a finite lower bound below an upper one"
                hint = "Of a periodic coordinate they are one period apart, as (-180, 180)."
                raise InputError(error_message(f"bounds[{name!r}]", condition, (low, high), hint))

    @classmethod
    def from_bounds(cls, bounds: object, periodic: Iterable[str] = ()) -> Self:
        """Return the domain of bounds by name.

        Args:
            bounds: lower and upper bound of each coordinate, as in `{"phi": (-180, 180)}`.
            periodic: names of the periodic coordinates.

        Raises:
            InputError: bounds are no pairs of numbers, or a name is unknown.
        """
        if not isinstance(bounds, Mapping):
            hint = "Such as {'distance': (1.0, 3.0)}."
            condition = "map names to a lower and an upper bound"
            raise InputError(error_message("bounds", condition, repr(bounds), hint))
        pairs = []
        for name, pair in bounds.items():
            try:
                if isinstance(pair, str):
                    raise TypeError("a word")
                low, high = (float(value) for value in pair)
            except (TypeError, ValueError) as error:
                condition, hint = "be a lower and an upper bound", "Two numbers, as (1.0, 3.0)."
                raise InputError(
                    error_message(f"bounds[{name!r}]", condition, repr(pair), hint)
                ) from error
            pairs.append((low, high))
        names, chosen = tuple(map(str, bounds)), _names(periodic)
        if unknown := sorted(set(chosen) - set(names)):
            condition = f"name coordinates of `bounds` ({', '.join(names)})"
            raise InputError(error_message("periodic", condition, ", ".join(unknown)))
        low_high = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
        is_periodic = torch.tensor([name in chosen for name in names], dtype=torch.bool)
        return cls(names, low_high[:, 0], low_high[:, 1], is_periodic)

    def __len__(self) -> int:
        return len(self.names)

    def order_description(self) -> dict[str, list[str]]:
        """Return the names in order as a part of a description, nothing where they are sorted.

        A log sorts the keys of what it holds.
        """
        return {} if list(self.names) == sorted(self.names) else {"names": list(self.names)}

    @cached_property
    def range(self) -> Tensor:
        """The range of each coordinate, of a periodic one its period, `[d]`."""
        return self.upper - self.lower

    @cached_property
    def units(self) -> Tensor:
        """The range over 2 π, `[d]`: one radian of an angle in radians or in degrees."""
        return self.range / (2 * math.pi)

    @cached_property
    def is_unbounded(self) -> Tensor:
        """Coordinates that come back after their bounds, `[d]` bool."""
        if self.rotation is None:
            return self.periodic
        found = self.periodic.clone()
        self.rotation.of(found).fill_(True)
        return found

    @cached_property
    def factor_index(self) -> Tensor:
        """To which independent part each coordinate belongs, `[d]` int64, counted from 0.

        Each coordinate is its own, but for the three of a rotation.
        """
        first = torch.ones(len(self), dtype=torch.int64)
        if self.rotation is not None:
            self.rotation.of(first)[1:] = 0
        return first.cumsum(0) - 1

    def wrap(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with periodic coordinates between their bounds, lower included.

        A rotation vector is the shortest of its rotation.
        """
        low, size = self.lower.to(X), self.range.to(X)
        inside = (low <= X) & (low + size > X)
        wrapped = low + torch.remainder(X - low, size)
        wrapped = torch.where(wrapped >= low + size, low, wrapped)  # rounded up
        wrapped = torch.where(self.periodic.to(X.device) & ~inside, wrapped, X)
        if self.rotation is not None:
            wrapped = self.rotation.put(wrapped, self.rotation.wrap(self.rotation.of(X)))
        return wrapped

    def clamp(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with the others moved to their bounds."""
        clamped = torch.minimum(torch.maximum(X, self.lower.to(X)), self.upper.to(X))
        return torch.where(self.is_unbounded.to(X.device), X, clamped)

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` between the bounds."""
        return self.wrap(self.clamp(X))

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is finite and between the bounds, `[...]` bool."""
        slack = max(BOUND_SLACK, 8 * torch.finfo(X.dtype).eps) * self.range.to(X)
        inside = (self.lower.to(X) - slack <= X) & (self.upper.to(X) + slack >= X)
        allowed: Tensor = (X.isfinite() & (inside | self.is_unbounded.to(X.device))).all(-1)
        return allowed

    def difference(self, A: Tensor, B: Tensor) -> Tensor:
        """Return the shortest way from B to A `[..., d]`, around the period, `[..., d]`.

        That of rotations is the rotation vector which leads from one to the other.
        """
        size, difference = self.range.to(A), A - B
        around = difference - size * (difference / size).round()
        found = torch.where(self.periodic.to(A.device), around, difference)
        if self.rotation is not None:
            turned = self.rotation.difference(self.rotation.of(A), self.rotation.of(B))
            found = self.rotation.put(found, turned)
        return found

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return points drawn uniformly, `[n, d]` float64 on the CPU; rotations are uniform too."""
        u = torch.rand(n, len(self), generator=generator, dtype=torch.float64)
        X = self.lower + u * self.range
        if self.rotation is not None:
            X = self.rotation.put(X, self.rotation.sample(n, generator))
        return X

    def displace(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with every coordinate displaced a little."""
        noise = torch.randn(X.shape, generator=generator, dtype=torch.float64).to(X)
        return self.project(X + MOVE_FRACTION * self.range.to(X) * noise)

    def redraw(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with one coordinate of each, or its rotation, drawn anew."""
        drawn = self.sample(len(X), generator).to(X)
        n_factors = int(self.factor_index[-1]) + 1
        chosen = torch.randint(n_factors, (len(X), 1), generator=generator)
        is_chosen = self.factor_index == chosen
        return torch.where(is_chosen.to(X.device), drawn, X)

    def crossover(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with coordinates of each taken from another one of them, displaced."""
        other = torch.randint(max(len(X), 1), (len(X),), generator=generator)
        takes = torch.rand(X.shape, generator=generator) < 0.5
        if self.rotation is not None:
            self.rotation.of(takes).copy_(
                takes[:, self.rotation.column, None].expand(-1, 3).clone()
            )
        mixed = torch.where(takes.to(X.device), X[other.to(X.device)], X)
        return self.displace(mixed, generator)


@runtime_checkable
class SupportsDomain(Protocol):
    """A space whose coordinates X are those of a domain."""

    @property
    def domain(self) -> CoordinateDomain:
        """Names, bounds and periods of the coordinates."""
        ...


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names, of which a single one may be a string.

    Raises:
        InputError: they are no names.
    """
    if isinstance(names, str):
        return (names,)
    if isinstance(names, Iterable):
        found = tuple(names)
        if all(isinstance(name, str) for name in found):
            return found
    hint = "Such as ['angle']."
    raise InputError(error_message("periodic", "be names of coordinates", repr(names), hint))


def in_described_order(description: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return values by the name of a coordinate in the order of the coordinates.

    Args:
        description: description of a space, with `CoordinateDomain.order_description`.
        key: key of the values in it.
    """
    values: dict[str, Any] = dict(description[key])
    return {name: values[name] for name in description.get("names", values)}

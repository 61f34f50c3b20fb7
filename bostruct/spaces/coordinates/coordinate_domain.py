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
from typing import Protocol, Self, final, runtime_checkable

import torch
from torch import Tensor

from bostruct.errors import InputError, check_shape, error_message

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

    Raises:
        InputError: there is no coordinate, names repeat, or a bound is not above the lower one.
    """

    names: tuple[str, ...]
    lower: Tensor
    upper: Tensor
    periodic: Tensor

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

    @cached_property
    def range(self) -> Tensor:
        """The range of each coordinate, of a periodic one its period, `[d]`."""
        return self.upper - self.lower

    @cached_property
    def units(self) -> Tensor:
        """The range over 2 π, `[d]`: one radian of an angle in radians or in degrees."""
        return self.range / (2 * math.pi)

    def wrap(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with periodic coordinates between their bounds, lower included."""
        low, size = self.lower.to(X), self.range.to(X)
        inside = (low <= X) & (low + size > X)
        wrapped = low + torch.remainder(X - low, size)
        wrapped = torch.where(wrapped >= low + size, low, wrapped)  # rounded up
        return torch.where(self.periodic.to(X.device) & ~inside, wrapped, X)

    def clamp(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` with the others moved to their bounds."""
        clamped = torch.minimum(torch.maximum(X, self.lower.to(X)), self.upper.to(X))
        return torch.where(self.periodic.to(X.device), X, clamped)

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` between the bounds."""
        return self.wrap(self.clamp(X))

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is finite and between the bounds, `[...]` bool."""
        slack = max(BOUND_SLACK, 8 * torch.finfo(X.dtype).eps) * self.range.to(X)
        inside = (self.lower.to(X) - slack <= X) & (self.upper.to(X) + slack >= X)
        allowed: Tensor = (X.isfinite() & (inside | self.periodic.to(X.device))).all(-1)
        return allowed

    def difference(self, A: Tensor, B: Tensor) -> Tensor:
        """Return the shortest way from B to A `[..., d]`, around the period, `[..., d]`."""
        size, difference = self.range.to(A), A - B
        around = difference - size * (difference / size).round()
        return torch.where(self.periodic.to(A.device), around, difference)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return points drawn uniformly, `[n, d]` float64 on the CPU."""
        u = torch.rand(n, len(self), generator=generator, dtype=torch.float64)
        return self.lower + u * self.range

    def displace(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with every coordinate displaced a little."""
        noise = torch.randn(X.shape, generator=generator, dtype=torch.float64).to(X)
        return self.project(X + MOVE_FRACTION * self.range.to(X) * noise)

    def redraw(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with one coordinate of each drawn anew."""
        drawn = self.sample(len(X), generator).to(X)
        chosen = torch.randint(len(self), (len(X), 1), generator=generator)
        is_chosen = torch.arange(len(self)) == chosen
        return torch.where(is_chosen.to(X.device), drawn, X)

    def crossover(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return X `[n, d]` with coordinates of each taken from another one of them, displaced."""
        other = torch.randint(max(len(X), 1), (len(X),), generator=generator)
        takes = torch.rand(X.shape, generator=generator) < 0.5
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

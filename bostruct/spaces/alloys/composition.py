"""Alloys by composition: X are the fractions of the elements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    SpaceError,
    check_count,
    check_positive,
    check_shape,
    error_message,
)
from bostruct.spaces.alloys.bounded_simplex import (
    project_bounded_simplex,
    sample_bounded_simplex,
)
from bostruct.spaces.alloys.composition_grid import CompositionGrid
from bostruct.spaces.alloys.decoration import DECORATION_METHODS, require_icet
from bostruct.spaces.alloys.parent_lattice import parent_supercell
from bostruct.spaces.composition_properties import (
    CompositionProperties,
    atomic_volumes,
    check_elements,
    element_fractions,
)
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.random_tensors import sample_categorical, uniform
from bostruct.spaces.space import (
    MEMBER_TOLERANCE,
    MEMBERS_PER_CHUNK,
    Move,
    check_member_range,
    chunk_ranges,
    is_same_member,
    no_members,
)
from bostruct.structures import SYMBOLS, Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

COMPOSITIONS_PER_CHUNK = 256
"""Compositions rounded to the grid at once."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Composition:
    """All compositions of some elements, each realised as a supercell.

    X `[..., k]` are the fractions in order of the elements; they sum to 1 and none is
    left over. A space of `bostruct.spaces.space.Discrete`: with a `step` it lists
    its compositions; without one X are continuous, and `canonical` goes to the nearest
    composition of whole atoms, which is what is decoded. Samples are uniform over the
    grid, or over the simplex within its bounds, by construction.

    Args:
        elements: at least two, as in ["Cu", "Pd", "Au"].
        step: of the fractions, say 1/8; one for all, or by element. Whole atoms must
            come of it. None: continuous.
        bounds: lowest and highest fraction by element, `{"Cu": (0.1, 0.5)}`; equal
            ones fix an element. The others may have any.
        n_components: how many elements are present, as 3 or (2, 4); bounds then hold for
            those that are. It needs a step.
        parent: all sites, from ASE or pymatgen, whatever is on them; by default 32
            sites of fcc. Its volume is scaled to that of its elements.
        decoration: "random" (by seed), "sqs" (icet) or "ordered" (like atoms apart).
            The same composition is always the same structure.
        seed: of the arrangement.
        volumes: Å³ of an atom by element. Where given they are taken as exact, and the
            mass density is known; by default those of the crystals at room conditions.
        price: of a kilogram by element, which makes the price known.

    Attributes:
        elements: as given.
        numbers: `[k]` int64, atomic numbers of the elements.
        atomic_radii: `[k]` Å.
        lower_bounds: `[k]` lowest fractions.
        upper_bounds: `[k]` highest fractions.
        grid: of the compositions in steps, or in atoms where X are continuous.
        is_continuous: whether X are.

    Raises:
        InputError: an argument cannot be used.
        SpaceError: no composition lies within the bounds.
    """

    elements: tuple[str, ...]
    numbers: Tensor
    atomic_radii: Tensor
    lower_bounds: Tensor
    upper_bounds: Tensor
    grid: CompositionGrid
    is_continuous: bool
    parent: Atoms
    decoration: str
    seed: int
    composition_properties: CompositionProperties
    _decorations: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    def __init__(
        self,
        elements: Sequence[str],
        *,
        step: float | Mapping[str, float] | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        n_components: int | tuple[int, int] | None = None,
        parent: Atoms | Structure | None = None,
        decoration: str = "random",
        seed: int = 0,
        volumes: Mapping[str, float] | None = None,
        price: Mapping[str, float] | None = None,
    ) -> None:
        elements = check_elements("elements", elements)
        if len(elements) < 2:
            condition = "be at least two"
            raise InputError(error_message("elements", condition, list(elements)))
        if decoration not in DECORATION_METHODS:
            condition = f"be one of {', '.join(DECORATION_METHODS)}"
            raise InputError(error_message("decoration", condition, repr(decoration)))
        if decoration == "sqs":
            require_icet("decoration", decoration)
        cell = parent_supercell(parent)
        low, high = _parse_bounds(elements, bounds)
        least, most = _parse_n_components(elements, n_components, step)
        steps = _parse_steps(elements, step, len(cell))
        whole = math.lcm(*steps)
        allowed = []
        for i, own in enumerate(steps):
            options = set(range(0, whole + 1, whole // own))
            inside = [s for s in options if _is_within(s / whole, low[i], high[i])]
            absent = {0} if n_components is not None else set()
            allowed.append(tuple(sorted(set(inside) | absent)))
        grid = CompositionGrid(whole, tuple(allowed), least, most)
        numbers = torch.tensor([SYMBOLS.index(symbol) for symbol in elements])
        for name, value in {
            "elements": elements,
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "lower_bounds": torch.tensor(low, dtype=torch.float64),
            "upper_bounds": torch.tensor(high, dtype=torch.float64),
            "grid": grid,
            "is_continuous": step is None,
            "parent": cell,
            "decoration": decoration,
            "seed": check_count("seed", seed, 0),
            "composition_properties": CompositionProperties(elements, price, volumes),
            "_decorations": {},
        }.items():
            object.__setattr__(self, name, value)
        if not grid.size:
            shown = {e: (a, b) for e, a, b in zip(elements, low, high, strict=True)}
            condition = f"leave a composition in steps of 1/{whole}"
            way_out = "Widen them, or take a finer step or more atoms."
            raise SpaceError(error_message("bounds", condition, shown, way_out))

    def __repr__(self) -> str:
        kind = "continuous" if self.is_continuous else f"step=1/{self.grid.n_steps}"
        return f"Composition({'-'.join(self.elements)}, {kind})"

    @property
    def dimension(self) -> int:
        """The number of elements."""
        return len(self.elements)

    @property
    def size(self) -> int | None:
        """How many compositions there are; None where X are continuous."""
        return None if self.is_continuous else self.grid.size

    def members(self, start: int, stop: int) -> Tensor:
        """Return compositions `start` to `stop` of the list, `[stop - start, k]`.

        Raises:
            SpaceError: X are continuous.
            InputError: there are no such compositions.
        """
        check_member_range(self.size, start, stop)
        return self.grid.unrank(range(start, stop)).double() / self.grid.n_steps

    def iter_members(self, chunk_size: int = MEMBERS_PER_CHUNK) -> Iterator[Tensor]:
        """Yield all compositions, at most `chunk_size` at a time, `[·, k]`."""
        for start, stop in chunk_ranges(self.size, chunk_size):
            yield self.members(start, stop)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return compositions uniform over the space, `[n, k]` float64 on the CPU."""
        check_count("n", n, 0)
        if not n:
            return no_members(self.dimension)
        if self.is_continuous:
            return sample_bounded_simplex(self.lower_bounds, self.upper_bounds, n, generator)
        return self.grid.sample(n, generator).double() / self.grid.n_steps

    def decode(self, X: Tensor) -> Structures:
        """Return the supercells at X `[..., k]`, row-major; no gradient flows."""
        parts = []
        counts = self._nearest_steps(X) * (len(self.parent) // self.grid.n_steps)
        for row in counts.reshape(-1, self.dimension).tolist():
            parts.append(self._structure(tuple(row)))
        return Structures.cat(parts).to(X.device, X.dtype)

    def encode(self, structures: Structures) -> Tensor:
        """Return the fractions in structures of these elements, `[b, k]`.

        Raises:
            InputError: a structure has another element.
        """
        fractions = element_fractions(
            structures.numbers, structures.index, len(structures), self.numbers
        )
        if ((fractions.sum(-1) - 1).abs() > MEMBER_TOLERANCE).any():
            condition = f"hold only {', '.join(self.elements)}"
            found = ", ".join(sorted(set(structures.formulas())))
            raise InputError(error_message("structures", condition, found))
        return fractions.to(structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., k]` is a composition of the space, `[...]`."""
        if self.is_continuous:
            off = (X - torch.clamp(X, self.lower_bounds.to(X), self.upper_bounds.to(X))).abs()
            return (off < MEMBER_TOLERANCE).all(-1) & ((X.sum(-1) - 1).abs() < MEMBER_TOLERANCE)
        steps = X.nan_to_num(-1.0) * self.grid.n_steps
        near = ((steps - steps.round()).abs() < MEMBER_TOLERANCE * self.grid.n_steps).all(-1)
        return near & self.grid.contains(steps.round().long())

    def project(self, X: Tensor) -> Tensor:
        """Return the composition of the space nearest to X `[..., k]`."""
        if self.is_continuous:
            return project_bounded_simplex(X, self.lower_bounds.to(X), self.upper_bounds.to(X))
        return self.canonical(X)

    def canonical(self, X: Tensor) -> Tensor:
        """Return the nearest composition of whole steps or atoms, `[..., k]`."""
        return self._nearest_steps(X).to(X) / self.grid.n_steps

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., k]`, broadcast, are one structure, `[...]`.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "Compositions are the same or not.")
        return is_same_member(self.canonical(A), self.canonical(B))

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of compositions, by name.

        "exchange" gives a random share of one element to another, "step" the smallest
        share, and "renew" draws another composition.
        """
        return {"exchange": self._exchange, "renew": self._renew, "step": self._step}

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all compositions one step of one element for another from x, `[m, k]`.

        Where an element may take some steps only, it is its next one.
        """
        check_shape("x", x, [self.dimension])
        steps = self._nearest_steps(x).tolist()
        options = self.grid.allowed_steps
        less = [
            [own - s for s in reversed(some) if s < own]
            for own, some in zip(steps, options, strict=True)
        ]
        more = [
            {s - own for s in some if s > own} for own, some in zip(steps, options, strict=True)
        ]
        rows = []
        for i, gives in enumerate(less):
            for j, takes in enumerate(more):
                amount = next((amount for amount in gives if amount in takes), 0)
                if i != j and amount:
                    row = steps.copy()
                    row[i] -= amount
                    row[j] += amount
                    rows.append(row)
        found = torch.tensor(rows, dtype=torch.int64).reshape(-1, self.dimension)
        return found[self.grid.contains(found)].to(x) / self.grid.n_steps

    def composition(self, X: Tensor) -> Tensor:
        """Return the composition that is decoded at X `[..., k]`, `[..., k]`."""
        return self.canonical(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return what is exactly known at X `[..., k]`, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where prices
        and volumes were given. On the grid itself they are those of what is decoded;
        between its points, where X may be continuous, they interpolate, differentiably.
        """
        return self.composition_properties.evaluate(X)

    def description(self) -> dict[str, Any]:
        """Return what identifies the space, as JSON values."""
        return {
            "type": "Composition",
            "elements": list(self.elements),
            "is_continuous": self.is_continuous,
            "n_steps": self.grid.n_steps,
            "allowed_steps": [list(options) for options in self.grid.allowed_steps],
            "bounds": [self.lower_bounds.tolist(), self.upper_bounds.tolist()],
            "n_components": [self.grid.min_components, self.grid.max_components],
            "cell": self.parent.cell.array.tolist(),
            "positions": self.parent.get_positions().tolist(),
            "decoration": self.decoration,
            "seed": self.seed,
            **self.composition_properties.description(),
        }

    @cached_property
    def _atomic_volumes(self) -> Tensor:
        """Å³ of an atom of each element, `[k]`."""
        table = self.composition_properties.volumes or atomic_volumes(self.elements)
        return torch.tensor([table[e] for e in self.elements], dtype=torch.float64)

    def _nearest_steps(self, X: Tensor) -> Tensor:
        """Return the nearest composition in whole steps, `[..., k]` int64."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        flat = X.detach().reshape(-1, self.dimension).double().nan_to_num(0.0)
        steps = (flat * self.grid.n_steps).cpu()
        whole = steps.round().long()
        off = ~self.grid.contains(whole)
        if self.is_continuous and bool(off.any()):
            low, high = self.lower_bounds, self.upper_bounds
            steps = project_bounded_simplex(steps / self.grid.n_steps, low, high)
            steps = steps * self.grid.n_steps
        for rows in off.nonzero().squeeze(-1).split(COMPOSITIONS_PER_CHUNK):
            if len(rows):  # none are still one part
                whole[rows] = self.grid.nearest(steps[rows])
        return whole.reshape(X.shape).to(X.device)

    def _structure(self, counts: tuple[int, ...]) -> Structures:
        """Return the supercell with these numbers of atoms."""
        if counts not in self._decorations:
            place = DECORATION_METHODS[self.decoration]
            self._decorations[counts] = place(self.parent, counts, self.elements, self.seed)
        kinds = self._decorations[counts]
        atoms = self.parent.copy()
        atoms.numbers = self.numbers[kinds].numpy()
        volume = float(self._atomic_volumes[kinds].sum())
        scale = (volume / atoms.get_volume()) ** (1 / 3)
        atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
        return from_ase(atoms)

    def _exchange(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Give a random share of one element to another."""
        if not len(X):
            return X.clone()
        giver, taker = self._sample_exchange_pair(X, generator)
        every = torch.arange(len(X), device=X.device)
        most = torch.minimum(
            X[every, giver] - self.lower_bounds.to(X)[giver],
            self.upper_bounds.to(X)[taker] - X[every, taker],
        ).clamp(min=0)
        share = uniform((len(X),), generator).to(X) * most
        moved = X.clone()
        moved[every, giver] -= share
        moved[every, taker] += share
        return self.project(moved)

    def _step(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Go to a neighbor drawn at random."""
        moved = X.clone()
        for i, x in enumerate(X):
            near = self.neighbors(x)
            if len(near):
                place = sample_categorical(torch.zeros(1, len(near)), generator)
                moved[i] = near[int(place)]
        return moved

    def _renew(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Draw another composition."""
        return self.sample(len(X), generator).to(X)

    def _sample_exchange_pair(self, X: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an element that has some to give and another, `[n]` each."""
        spare = (X - self.lower_bounds.to(X)).clamp(min=1e-12).log()
        giver = sample_categorical(
            torch.where(spare > math.log(MEMBER_TOLERANCE), 0.0, -1e3).to(X), generator
        )
        own = torch.nn.functional.one_hot(giver, self.dimension).bool()
        taker = sample_categorical(torch.zeros_like(X).masked_fill(own, -1e3), generator)
        return giver, taker


def _is_within(value: float, low: float, high: float) -> bool:
    return low - 1e-9 <= value <= high + 1e-9


def _parse_bounds(
    elements: tuple[str, ...], bounds: Mapping[str, tuple[float, float]] | None
) -> tuple[list[float], list[float]]:
    """Return the lowest and highest fraction of each element."""
    low, high = [0.0] * len(elements), [1.0] * len(elements)
    way_out = "Give a lowest and a highest fraction, as in {'Cu': (0.1, 0.5)}."
    for symbol, pair in (bounds or {}).items():
        if symbol not in elements:
            condition = f"name elements of the space ({', '.join(elements)})"
            raise InputError(error_message("bounds", condition, repr(symbol)))
        name = f"bounds[{symbol!r}]"
        try:
            least, most = (float(value) for value in pair)
        except (TypeError, ValueError) as error:
            raise InputError(error_message(name, "be a pair", repr(pair), way_out)) from error
        if not 0 <= least <= most <= 1:
            condition = "rise between 0 and 1"
            raise InputError(error_message(name, condition, repr(pair), way_out))
        place = elements.index(symbol)
        low[place], high[place] = least, most
    return low, high


def _parse_n_components(
    elements: tuple[str, ...], n_components: int | tuple[int, int] | None, step: object
) -> tuple[int, int]:
    """Return how many elements are present at least and at most."""
    k = len(elements)
    if n_components is None:
        return 1, k
    if step is None:
        condition = "come with a step"
        raise InputError(
            error_message("n_components", condition, n_components, "Give `step`, say 1/8.")
        )
    pair = (n_components, n_components) if isinstance(n_components, int) else tuple(n_components)
    if len(pair) != 2 or not 1 <= pair[0] <= pair[1] <= k:
        condition = f"be a number or a rising pair between 1 and {k}"
        raise InputError(error_message("n_components", condition, n_components))
    return pair[0], pair[1]


def _parse_steps(
    elements: tuple[str, ...], step: float | Mapping[str, float] | None, n_atoms: int
) -> list[int]:
    """Return into how many steps each element divides the whole."""
    if step is None:
        return [n_atoms] * len(elements)
    table = step if isinstance(step, Mapping) else dict.fromkeys(elements, step)
    found = []
    for symbol in elements:
        value = table.get(symbol)
        if value is None:
            condition = f"hold every element ({', '.join(elements)})"
            raise InputError(error_message("step", condition, f"none for {symbol}"))
        check_positive("step", value, "It is a fraction, say 1/8.")
        parts = round(1 / value)
        if abs(parts * value - 1) > MEMBER_TOLERANCE or n_atoms % parts:
            condition = f"make whole atoms of a supercell of {n_atoms}"
            way_out = f"Try 1/{n_atoms}, or give a `parent` of another size."
            raise InputError(error_message("step", condition, value, way_out))
        found.append(parts)
    return found

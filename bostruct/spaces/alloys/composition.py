"""Compositions of alloys: X are the fractions of the elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import Tensor

from bostruct.errors import (
    InputError,
    SpaceError,
    check_choice,
    check_count,
    check_positive,
    check_shape,
    error_message,
)
from bostruct.spaces.alloys.bounded_simplex import project_bounded_simplex, sample_bounded_simplex
from bostruct.spaces.alloys.composition_grid import CompositionGrid
from bostruct.spaces.alloys.decoration import DECORATION_METHODS, require_icet
from bostruct.spaces.alloys.parent_lattice import parent_supercell
from bostruct.spaces.composition_properties import (
    CompositionProperties,
    atomic_volumes,
    check_bounds,
    check_elements,
    element_fractions,
)
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.random_tensors import sample_categorical, uniform
from bostruct.spaces.space import (
    MEMBER_TOLERANCE,
    EnumerableMembers,
    Move,
    check_member_range,
)
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import SYMBOLS, Structures, from_ase

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

COMPOSITIONS_PER_CHUNK = 256
"""Largest number of compositions rounded to the grid at once."""


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Composition(EnumerableMembers):
    """All compositions of some elements, each realized as a supercell.

    X `[..., k]` are the fractions in the order of the elements, which sum to 1. It is a
    `DiscreteSpace`: with a `step` its compositions can be enumerated; without one X are continuous,
    and `canonical` is the nearest composition of whole atoms, which is decoded. Samples are uniform
    over the grid, or over the simplex within its bounds, by construction.

    Args:
        elements: chemical symbols, at least two, as in ["Cu", "Pd", "Au"].
        step: step of the fractions, say 1/8; one for all, or by element. It must make whole atoms.
            None: continuous.
        bounds: lowest and highest fraction by element, `{"Cu": (0.1, 0.5)}`; equal ones fix an
            element. The others are not bounded.
        n_components: number of elements that are present, as 3 or (2, 4); bounds then hold for
            those that are. It needs a step.
        parent: sites from ASE or pymatgen, whatever occupies them; by default 32 sites of fcc. Its
            volume is scaled to that of its elements.
        decoration: "random" (by seed), "sqs" (icet) or "ordered" (like atoms apart). The same
            composition is always the same structure.
        seed: seed of the decoration.
        volumes: volume of an atom by element, Å³. Where given they are taken as exact, and the mass
            density is known; by default those of the crystals at room conditions.
        price: price of a kilogram by element, which makes the price known.

    Attributes:
        elements: chemical symbols.
        numbers: `[k]` int64, atomic numbers of the elements.
        atomic_radii: `[k]` Å.
        lower_bounds: `[k]` lowest fractions.
        upper_bounds: `[k]` highest fractions.
        grid: grid of the compositions in steps, or in atoms where X are continuous.
        is_continuous: true if X are continuous.

    Raises:
        InputError: an argument is invalid.
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
            raise InputError(error_message("elements", "be at least two", list(elements)))
        check_choice("decoration", decoration, DECORATION_METHODS)
        if decoration == "sqs":
            require_icet("decoration", decoration)
        supercell = parent_supercell(parent)
        checked = check_bounds(bounds, elements)
        low, high = zip(*(checked.get(symbol, (0.0, 1.0)) for symbol in elements), strict=True)
        fewest, most = _parse_n_components(elements, n_components, step)
        steps = _parse_steps(elements, step, len(supercell))
        n_steps = math.lcm(*steps)
        allowed = []
        for least, largest, n in zip(low, high, steps, strict=True):
            inside = {
                s
                for s in range(0, n_steps + 1, n_steps // n)
                if least - 1e-9 <= s / n_steps <= largest + 1e-9
            }
            allowed.append(tuple(sorted(inside if n_components is None else inside | {0})))
        grid = CompositionGrid(n_steps, tuple(allowed), fewest, most)
        numbers = torch.tensor([SYMBOLS.index(symbol) for symbol in elements])
        for name, value in {
            "elements": elements,
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "lower_bounds": torch.tensor(low, dtype=torch.float64),
            "upper_bounds": torch.tensor(high, dtype=torch.float64),
            "grid": grid,
            "is_continuous": step is None,
            "parent": supercell,
            "decoration": decoration,
            "seed": check_count("seed", seed, 0),
            "composition_properties": CompositionProperties(elements, price, volumes),
            "_decorations": {},
        }.items():
            object.__setattr__(self, name, value)
        if not grid.size:
            resolved = dict(zip(elements, zip(low, high, strict=True), strict=True))
            condition = f"leave a composition in steps of 1/{n_steps}"
            hint = "Widen them, or take a finer step or more atoms."
            raise SpaceError(error_message("bounds", condition, resolved, hint))

    def __repr__(self) -> str:
        kind = "continuous" if self.is_continuous else f"step=1/{self.grid.n_steps}"
        return f"Composition({'-'.join(self.elements)}, {kind})"

    @property
    def dimension(self) -> int:
        """The number of elements."""
        return len(self.elements)

    @property
    def size(self) -> int | None:
        """The number of compositions, or None where X are continuous."""
        return None if self.is_continuous else self.grid.size

    def members(self, start: int, stop: int) -> Tensor:
        """Return compositions `start` to `stop`, `[stop - start, k]`.

        Raises:
            SpaceError: X are continuous.
            InputError: there are no such compositions.
        """
        check_member_range(self.size, start, stop)
        return self.grid.unrank(range(start, stop)).double() / self.grid.n_steps

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return compositions uniform over the space, `[n, k]` float64 on the CPU."""
        check_count("n", n, 0)
        if self.is_continuous:
            return sample_bounded_simplex(self.lower_bounds, self.upper_bounds, n, generator)
        return self.grid.sample(n, generator).double() / self.grid.n_steps

    def decode(self, X: Tensor) -> Structures:
        """Return the supercells at X `[..., k]`, row-major; no gradient flows."""
        counts = self._nearest_steps(X) * (len(self.parent) // self.grid.n_steps)
        rows = counts.reshape(-1, self.dimension).tolist()
        structures = [self._structure(tuple(row)) for row in rows]
        return Structures.cat(structures).to(X.device, X.dtype)

    def encode(self, structures: Structures) -> Tensor:
        """Return the fractions in structures of these elements, `[b, k]`.

        Raises:
            InputError: a structure has another element.
        """
        fractions = element_fractions(structures, self.numbers)
        if ((fractions.sum(-1) - 1).abs() > MEMBER_TOLERANCE).any():
            formulas = ", ".join(sorted(set(structures.formulas())))
            condition = f"hold only {', '.join(self.elements)}"
            raise InputError(error_message("structures", condition, formulas))
        return fractions.to(structures.dtype)

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., k]` is a composition of the space, `[...]` bool."""
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

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes of compositions, by name.

        "exchange" transfers a random fraction from one element to another, "step" the smallest one,
        and "renew" samples another composition.
        """
        return {"exchange": self._exchange, "renew": self._renew, "step": self._step}

    def neighbors(self, x: Tensor) -> Tensor:
        """Return all compositions with one step of an element exchanged for another, `[m, k]`.

        Where the allowed steps of an element differ by more, it is the smallest amount that both
        elements allow.
        """
        check_shape("x", x, [self.dimension])
        steps = self._nearest_steps(x).tolist()
        pairs = list(zip(steps, self.grid.allowed_steps, strict=True))
        losses = [[n - s for s in reversed(options) if s < n] for n, options in pairs]
        gains = [{s - n for s in options if s > n} for n, options in pairs]
        rows = []
        for i, loss in enumerate(losses):
            for j, gain in enumerate(gains):
                amount = next((amount for amount in loss if amount in gain), 0)
                if i != j and amount:
                    row = steps.copy()
                    row[i] -= amount
                    row[j] += amount
                    rows.append(row)
        near = torch.tensor(rows, dtype=torch.int64).reshape(-1, self.dimension)
        return near[self.grid.contains(near)].to(x) / self.grid.n_steps

    def composition(self, X: Tensor) -> Tensor:
        """Return the composition that is decoded at X `[..., k]`, `[..., k]`."""
        return self.canonical(X)

    def exact_properties(self, X: Tensor) -> dict[str, Tensor]:
        """Return the properties at X `[..., k]` that need no evaluation, each `[...]`.

        "x_Cu" and the like; "price" per kilogram and "density" in g/cm³ where the space has prices
        and volumes. On the grid they are those of the decoded structure; between its points, where
        X may be continuous, they interpolate, differentiably.
        """
        return self.composition_properties.evaluate(X)

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description."""
        from ase import Atoms as ASEAtoms

        self = object.__new__(cls)
        elements = tuple(description["elements"])
        positions = description["positions"]
        low, high = torch.tensor(description["bounds"], dtype=torch.float64)
        allowed = tuple(map(tuple, description["allowed_steps"]))
        numbers = torch.tensor([SYMBOLS.index(symbol) for symbol in elements])
        tables = description["price"], description["volumes"]
        for name, value in {
            "elements": elements,
            "numbers": numbers,
            "atomic_radii": resolve_atomic_radii(numbers, None),
            "lower_bounds": low,
            "upper_bounds": high,
            "grid": CompositionGrid(description["n_steps"], allowed, *description["n_components"]),
            "is_continuous": description["is_continuous"],
            "parent": ASEAtoms([0] * len(positions), positions, cell=description["cell"], pbc=True),
            "decoration": description["decoration"],
            "seed": description["seed"],
            "composition_properties": CompositionProperties(elements, *tables),
            "_decorations": {},
        }.items():
            object.__setattr__(self, name, value)
        return self

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values."""
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
        """Volume of an atom of each element, `[k]` Å³."""
        table = self.composition_properties.volumes or atomic_volumes(self.elements)
        return torch.tensor([table[e] for e in self.elements], dtype=torch.float64)

    def _nearest_steps(self, X: Tensor) -> Tensor:
        """Return the nearest composition in whole steps, `[..., k]` int64."""
        check_shape("X", X.reshape(-1, X.shape[-1]), [None, self.dimension])
        flat = X.detach().reshape(-1, self.dimension).double().nan_to_num(0.0)
        fractional = (flat * self.grid.n_steps).cpu()
        steps = fractional.round().long()
        outside = ~self.grid.contains(steps)
        if self.is_continuous and bool(outside.any()):
            fractions = fractional / self.grid.n_steps
            projected = project_bounded_simplex(fractions, self.lower_bounds, self.upper_bounds)
            fractional = projected * self.grid.n_steps
        for rows in outside.nonzero().squeeze(-1).split(COMPOSITIONS_PER_CHUNK):
            if len(rows):  # an empty tensor is split into one empty chunk
                steps[rows] = self.grid.nearest(fractional[rows])
        return steps.reshape(X.shape).to(X.device)

    def _structure(self, counts: tuple[int, ...]) -> Structures:
        """Return the supercell with these numbers of atoms."""
        if counts not in self._decorations:
            decorate = DECORATION_METHODS[self.decoration]
            self._decorations[counts] = decorate(self.parent, counts, self.elements, self.seed)
        decoration = self._decorations[counts]
        atoms = self.parent.copy()
        atoms.numbers = self.numbers[decoration].numpy()
        volume = float(self._atomic_volumes[decoration].sum())
        scale = (volume / atoms.get_volume()) ** (1 / 3)
        atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
        return from_ase(atoms)

    def _exchange(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Transfer a random fraction from one element to another."""
        source, target = self._sample_exchange_pair(X, generator)
        rows = torch.arange(len(X), device=X.device)
        most = torch.minimum(
            X[rows, source] - self.lower_bounds.to(X)[source],
            self.upper_bounds.to(X)[target] - X[rows, target],
        ).clamp(min=0)
        amount = uniform((len(X),), generator).to(X) * most
        moved = X.clone()
        moved[rows, source] -= amount
        moved[rows, target] += amount
        return self.project(moved)

    def _step(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Go to a random neighbor."""
        moved = X.clone()
        for i, x in enumerate(X):
            near = self.neighbors(x)
            if len(near):
                moved[i] = near[int(sample_categorical(torch.zeros(1, len(near)), generator))]
        return moved

    def _renew(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Sample other compositions."""
        return self.sample(len(X), generator).to(X)

    def _sample_exchange_pair(self, X: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an element above its lower bound, and another element, `[n]` each."""
        log_excess = (X - self.lower_bounds.to(X)).clamp(min=1e-12).log()
        log_weights = torch.where(log_excess > math.log(MEMBER_TOLERANCE), 0.0, -1e3).to(X)
        source = sample_categorical(log_weights, generator)
        is_source = torch.nn.functional.one_hot(source, self.dimension).bool()
        log_weights = torch.zeros_like(X).masked_fill(is_source, -1e3)
        return source, sample_categorical(log_weights, generator)


def _parse_n_components(
    elements: tuple[str, ...], n_components: int | tuple[int, int] | None, step: object
) -> tuple[int, int]:
    """Return the smallest and the largest number of elements that are present."""
    name, k = "n_components", len(elements)
    if n_components is None:
        return 1, k
    if step is None:
        hint = "Give `step`, say 1/8."
        raise InputError(error_message(name, "come with a step", n_components, hint))
    pair = (n_components, n_components) if isinstance(n_components, int) else tuple(n_components)
    if len(pair) != 2 or not 1 <= pair[0] <= pair[1] <= k:
        condition = f"be a number or a rising pair between 1 and {k}"
        raise InputError(error_message(name, condition, n_components))
    return pair[0], pair[1]


def _parse_steps(
    elements: tuple[str, ...], step: float | Mapping[str, float] | None, n_atoms: int
) -> list[int]:
    """Return the number of steps of each element that sum to 1."""
    if step is None:
        return [n_atoms] * len(elements)
    table = step if isinstance(step, Mapping) else dict.fromkeys(elements, step)
    n_steps = []
    for symbol in elements:
        value = table.get(symbol)
        if value is None:
            condition = f"hold every element ({', '.join(elements)})"
            raise InputError(error_message("step", condition, f"none for {symbol}"))
        check_positive("step", value, "It is a fraction, say 1/8.")
        n = round(1 / value)
        if abs(n * value - 1) > MEMBER_TOLERANCE or n_atoms % n:
            condition = f"make whole atoms of a supercell of {n_atoms}"
            divisors = [k for k in range(1, n_atoms + 1) if n_atoms % k == 0]
            nearest = min(divisors, key=lambda k: abs(math.log(k * value)))
            hint = f"Try 1/{nearest}, or give a `parent` of another size."
            raise InputError(error_message("step", condition, value, hint))
        n_steps.append(n)
    return n_steps

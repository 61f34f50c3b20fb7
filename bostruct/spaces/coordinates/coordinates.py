"""Structures as a function of a few named coordinates: X are these coordinates."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
import torch
from torch import Tensor

from bostruct.errors import InputError, SpaceError, check_positive, check_shape, error_message
from bostruct.runtime.callable_name import qualified_name, to_json_value
from bostruct.spaces.coordinates.coordinate_domain import CoordinateDomain, in_described_order
from bostruct.spaces.coordinates.decoded_values import NumericalValues, jacobian
from bostruct.spaces.coordinates.least_squares import closest_point
from bostruct.spaces.coordinates.sampling import moves_inside, sample_inside
from bostruct.spaces.fingerprint_distance import DUPLICATE_TOLERANCE, is_within_tolerance
from bostruct.spaces.formula import resolve_atomic_radii
from bostruct.spaces.space import Move
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import (
    SYMBOLS,
    Structures,
    build_neighbor_list,
    from_ase,
    structure_fingerprint,
)

if TYPE_CHECKING:
    from ase import Atoms

log = logging.getLogger(__name__)

MAX_CACHED = 1 << 14
"""Structures of the function that are kept."""

DUPLICATE_FRACTION = 0.005
"""Largest difference of every coordinate of duplicates, in ranges."""

ENCODE_TOLERANCE = 1e-3
"""Å. Largest distance of an atom of a structure from where the function puts it."""

CELL_ROUNDING = 1e-9
"""Change of a cell, in its longest vector, that is rounding."""

DIGEST_DECIMALS = 5
"""Decimals of positions, Å, by which two functions are told apart."""


@final
class Coordinates:
    """All structures that a function makes of a few coordinates within bounds.

    The coordinates X `[..., d]` are those of the function, in its units and in the order of
    `bounds`. For a log to be resumed the function stands in the campaign file, or is imported by
    it.

    Args:
        function: function of the coordinates, a numpy array `[d]`, to ASE's `Atoms`, with the same
            atoms in the same order everywhere; or with `atoms` a function of a tensor `[d]` to
            their positions `[a, 3]` Å, differentiable by torch. Of other functions derivatives are
            central differences.
        bounds: lower and upper bound of each coordinate by name, as in `{"distance": (1.5, 4.0)}`.
        periodic: names of the coordinates that are periodic, their bounds one period apart.
        atoms: the atoms, their cell and fixed atoms, where the function returns positions.
        arguments: further keyword arguments of the function; part of the campaign's identity.
        atomic_radii: radii in Å by element, where the covalent ones are not meant.
        min_distance_factor: minimum distance of atoms, as a fraction of the sum of their radii; a
            structure with closer ones is outside. 0 allows any.

    Attributes:
        domain: names, bounds and periods of the coordinates.
        function: the function; None for a space read from a log without its campaign file, which
            decodes nothing but evaluated structures.
        numbers: `[a]` int64 atomic numbers.
        atomic_radii: `[a]` Å.

    Points at which the function raises an error are outside, which is logged once.

    Raises:
        InputError: an argument is invalid.
        SpaceError: the function fails in the middle of the bounds, or makes no structure without
            close atoms.
    """

    numbers: Tensor
    atomic_radii: Tensor

    def __init__(
        self,
        function: Callable[..., Any],
        bounds: Mapping[str, tuple[float, float]],
        periodic: Iterable[str] = (),
        *,
        atoms: Atoms | None = None,
        arguments: Mapping[str, Any] | None = None,
        atomic_radii: Mapping[str, float] | None = None,
        min_distance_factor: float = 0.7,
    ) -> None:
        if not callable(function):
            condition = "be a function of coordinates"
            hint = "It takes an array of them and returns ase.Atoms."
            raise InputError(error_message("function", condition, repr(function), hint))
        self.function: Callable[..., Any] | None = function
        if not isinstance(arguments or {}, Mapping):
            condition, hint = "be keyword arguments by name", "Such as {'layers': 4}."
            raise InputError(error_message("arguments", condition, repr(arguments), hint))
        self.arguments = dict(arguments or {})
        self._set_domain(CoordinateDomain.from_bounds(bounds, periodic), min_distance_factor)
        self._returns_positions = atoms is not None
        if atoms is None:
            self._template = from_ase(_checked_atoms(self._call(self._middle))).without_results()
        elif not hasattr(atoms, "get_atomic_numbers"):
            hint = "They give the function's positions their elements, as ase.build.molecule('CO')."
            raise InputError(error_message("atoms", "be ase.Atoms", repr(atoms), hint))
        else:
            self._template = from_ase(atoms).without_results()
            made = self._value(self._call(self._middle), self._middle)
            P = made[:-9].reshape(-1, 3)
            self._template = replace(self._template, positions=P.detach())
        self._set_atoms(atomic_radii)
        self._digest = _digest(self._template)
        self._check_periods(self.sample(1, torch.Generator().manual_seed(0))[0])

    def _check_periods(self, x: Tensor) -> None:
        """Refuse a periodic coordinate at whose bounds the structures differ, at a point `[d]`."""
        for k in self.domain.periodic.nonzero().flatten().tolist():
            ends = x.repeat(2, 1)
            ends[0, k], ends[1, k] = self.domain.lower[k], self.domain.upper[k]
            if not bool(self._values(ends).isfinite().all()):
                continue
            first, last = self._fingerprint(ends)
            if not bool(is_within_tolerance(first, last, self.fingerprint_tolerance)):
                name, bounds = self.domain.names[k], tuple(ends[:, k].tolist())
                condition = "name coordinates whose bounds are one period apart"
                value = f"{name}, with different structures at {bounds[0]} and {bounds[1]}"
                hint = "An angle in degrees has bounds such as (-180, 180)."
                raise InputError(error_message("periodic", condition, value, hint))

    def _set_domain(self, domain: CoordinateDomain, min_distance_factor: float) -> None:
        if not 0 <= min_distance_factor <= 1:
            condition = "be between 0 and 1"
            hint = "It is a fraction of a bond, say 0.7."
            raise InputError(
                error_message("min_distance_factor", condition, min_distance_factor, hint)
            )
        self.domain, self.min_distance_factor = domain, float(min_distance_factor)
        self._failure = ""
        self._cache: dict[bytes, Tensor] = {}

    def _set_atoms(self, atomic_radii: Mapping[str, float] | None) -> None:
        self.numbers = self._template.numbers
        self.atomic_radii = resolve_atomic_radii(self.numbers, atomic_radii)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_cache": {}}

    def __repr__(self) -> str:
        return f"Coordinates({', '.join(self.domain.names)})"

    @property
    def dimension(self) -> int:
        """The number of coordinates."""
        return len(self.domain)

    @property
    def is_decodable(self) -> bool:
        """False for a space read from a log, which lacks the function."""
        return self.function is not None

    @cached_property
    def has_variable_cell(self) -> bool:
        """True if the function returns other cells where a coordinate is changed."""
        if not bool(self._template.pbc.any()) or not self.is_decodable:
            return False
        quarter = torch.diag(self.domain.range / 4)
        X = torch.cat((self._middle.unsqueeze(0), self._middle - quarter, self._middle + quarter))
        cells = self._values(X)[:, -9:]
        return bool((cells - cells[:1]).abs().amax() > CELL_ROUNDING * cells.abs().amax())

    @cached_property
    def fingerprint_tolerance(self) -> float:
        """Largest difference between the fingerprints of duplicates, Å."""
        return DUPLICATE_TOLERANCE * 2 * float(self.atomic_radii.mean())

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures, uniform in the coordinates, `[n, d]` float64 on the CPU.

        Raises:
            SpaceError: hardly any has no close atoms.
        """
        X = sample_inside(self.domain, self.contains, n, generator)
        if len(X) < n:
            condition = "make structures without atoms that are too close"
            hint = "Give other `bounds`, or a smaller `min_distance_factor`."
            value = f"{len(X)} of {n} random ones"
            hint = self._failure or hint
            raise SpaceError(error_message("function", condition, value, hint))
        return X

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[..., d]`, row-major, differentiable in X.

        Where the function fails the structure is that in the middle of the bounds; such points are
        outside.

        Raises:
            SpaceError: the function makes other atoms, or the space was read from a log without it.
        """
        rows = X.reshape(-1, X.shape[-1])
        check_shape("X", rows, [None, self.dimension])
        values = self._differentiable_values(rows.to(device="cpu", dtype=torch.float64))
        middle = torch.cat((self._template.positions.flatten(), self._template.cell.flatten()))
        values = torch.where(values.isfinite().all(-1, keepdim=True), values, middle).to(X)
        b, a = len(rows), len(self.numbers)
        template = self._template.to(device=X.device)
        cell = values[:, 3 * a :].reshape(b, 3, 3)
        cell = cell if bool(template.pbc.any()) else cell.detach()
        return Structures.unchecked(
            positions=values[:, : 3 * a].reshape(-1, 3),
            numbers=template.numbers.repeat(b),
            cell=cell,
            pbc=template.pbc.expand(b, 3),
            index=torch.arange(b, device=X.device).repeat_interleave(a),
            fixed=template.fixed.repeat(b),
            tags=template.tags.repeat(b),
            **{
                name: value.to(X.dtype).repeat(b)
                for name, value in template.electronic_state.items()
            },
        )

    def encode(self, structures: Structures) -> Tensor:
        """Return the coordinates of structures that the function makes, `[b, d]`.

        They are found by least squares of positions and cell from several starts; structures are
        oriented and their atoms ordered as the function does.

        Raises:
            InputError: a structure has other atoms, or the function does not make it.
        """
        rows = [self._encode_one(structures[i]) for i in range(len(structures))]
        empty = structures.positions.new_zeros(0, self.dimension)
        return torch.stack(rows).to(structures.positions) if rows else empty

    def contains(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` is within the bounds, with no atoms too close, `[...]`."""
        rows = X.reshape(-1, self.dimension)
        inside = self.domain.contains(rows)
        if self.is_decodable and bool(inside.any()):
            inside[inside.clone()] = self._is_allowed(rows[inside].detach())
        return inside.reshape(X.shape[:-1])

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` within the bounds, periodic coordinates wrapped."""
        return self.domain.project(X)

    def is_duplicate(self, A: Tensor, B: Tensor, tolerance_scale: float = 1.0) -> Tensor:
        """Return whether A and B `[..., d]`, broadcast, are the same structure, `[...]`.

        They are if all coordinates agree, around their periods, within 0.005 of their ranges, or
        if the structures have equal fingerprints.

        Raises:
            InputError: the scale is not positive.
        """
        check_positive("tolerance_scale", tolerance_scale, "It multiplies the tolerance.")
        difference = (self.domain.difference(A, B) / self.domain.range.to(A)).abs().amax(-1)
        same: Tensor = difference <= DUPLICATE_FRACTION * tolerance_scale
        if not self.is_decodable or not same.numel():
            return same
        tolerance = tolerance_scale * self.fingerprint_tolerance
        return same | is_within_tolerance(self._fingerprint(A), self._fingerprint(B), tolerance)

    def moves(self) -> Mapping[str, Move]:
        """Return the random changes: "crossover", "displace" and "redraw" of coordinates."""
        return moves_inside(self.domain, self.contains)

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], stored: StoredStructures | None = None
    ) -> Self:
        """Return the space with a given description, without its function.

        Raises:
            InputError: the structure in its middle was not stored.
        """
        if stored is None:
            raise InputError(error_message("stored", "hold a structure", "nothing"))
        self = object.__new__(cls)
        self.function, self.arguments = None, {}
        bounds = in_described_order(description, "bounds")
        domain = CoordinateDomain.from_bounds(bounds, description["periodic"])
        self._set_domain(domain, description["min_distance_factor"])
        self._template, self._returns_positions = stored.structures, False
        self._set_atoms(description["atomic_radii"])
        self._digest = _digest(self._template)
        self._function_description = {k: description[k] for k in ("function", "arguments")}
        return self

    def with_known_structures(self, X: Tensor, structures: Structures) -> Self:
        """Return this space of a log with structures that its evaluations have left.

        It decodes these, by their exact coordinates, and no others.

        Args:
            X: `[b, d]` coordinates, float64.
            structures: b structures of the atoms of the space.

        Raises:
            InputError: structures have other atoms.
        """
        a, b = len(self.numbers), len(X)
        if not torch.equal(structures.numbers.cpu(), self.numbers.repeat(b)):
            condition = f"hold {b} structures of the space's atoms"
            value = ", ".join(sorted(set(structures.formulas())))
            raise InputError(error_message("structures", condition, value))
        space = object.__new__(type(self))
        vars(space).update(vars(self))
        P, C = structures.positions.reshape(b, 3 * a), structures.cell.reshape(b, 9)
        values = torch.cat((P, C), -1).detach().cpu().double()
        space._cache = {_key(x): value for x, value in zip(X.detach().cpu(), values, strict=True)}
        return space

    def stored_structures(self) -> StoredStructures:
        """Return the structure in the middle of the bounds."""
        return StoredStructures(self._template)

    def description(self) -> dict[str, Any]:
        """Return the arguments that identify the space, as JSON values.

        The digest is that of the structure in the middle, so that another function of the same name
        is another space.
        """
        pairs = zip(self.domain.lower.tolist(), self.domain.upper.tolist(), strict=True)
        symbols = [SYMBOLS[number] for number in self.numbers.tolist()]
        return {
            "type": "Coordinates",
            **self._function_description,
            "bounds": {
                name: list(pair) for name, pair in zip(self.domain.names, pairs, strict=True)
            },
            "periodic": [
                name
                for name, is_periodic in zip(
                    self.domain.names, self.domain.periodic.tolist(), strict=True
                )
                if is_periodic
            ],
            "atomic_radii": dict(sorted(zip(symbols, self.atomic_radii.tolist(), strict=True))),
            "min_distance_factor": self.min_distance_factor,
            "sha256": self._digest,
            **self.domain.order_description(),
        }

    @cached_property
    def _function_description(self) -> dict[str, Any]:
        assert self.function is not None
        name, arguments = qualified_name(self.function), to_json_value(self.arguments)
        return {"function": name, "arguments": arguments}

    @property
    def _middle(self) -> Tensor:
        return (self.domain.lower + self.domain.upper) / 2

    def _call(self, x: Tensor) -> Any:  # noqa: ANN401 - of the user's function
        """Return what the function makes of coordinates `[d]`.

        Raises:
            SpaceError: it fails, or there is none.
        """
        if self.function is None:
            hint = "Open the log with its campaign file."
            raise SpaceError(
                error_message("function", "be known to make structures", "none, from a log", hint)
            )
        argument = x if self._returns_positions else x.detach().numpy().copy()
        try:
            return self.function(argument, **self.arguments)
        except Exception as error:
            at = dict(zip(self.domain.names, x.tolist(), strict=True))
            value = f"{type(error).__name__}: {error} at {at}"
            raise SpaceError(error_message("function", "make a structure", value)) from error

    def _value_or_nan(self, x: Tensor) -> Tensor:
        """Return positions and cell at x `[d]`, flat `[m]`, NaN where the function fails."""
        try:
            made = self._call(x)
        except SpaceError as error:
            if self.function is None:
                raise
            if not self._failure:
                self._failure = str(error)
                log.warning("%s Such points are outside of the space.", self._failure)
            return torch.full(
                (3 * len(self._template.numbers) + 9,), torch.nan, dtype=torch.float64
            )
        return self._value(made, x)

    def _value(self, made: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - of the user's function
        """Return positions and cell of what was made at x `[d]`, flat `[m]`."""
        if self._returns_positions:
            try:
                P = torch.as_tensor(made, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError) as error:
                hint = "Leave out `atoms=...` for a function that returns ase.Atoms."
                condition = "return the positions of `atoms`, a tensor [a, 3]"
                kind = type(made).__name__
                raise SpaceError(error_message("function", condition, kind, hint)) from error
            shape = list(self._template.positions.shape)
            check_shape("function", P, shape, "With `atoms` it returns their positions.")
            return torch.cat((P.flatten(), self._template.cell.flatten()))
        numbers = torch.from_numpy(np.asarray(_checked_atoms(made).numbers))
        template = self._template
        same = torch.equal(numbers, template.numbers)
        if not (same and made.pbc.tolist() == template.pbc[0].tolist()):
            condition = "make the same atoms in the same order everywhere"
            there, middle = (
                _in_words(*pair)
                for pair in (
                    (made.numbers.tolist(), made.pbc.tolist()),
                    (template.numbers.tolist(), template.pbc[0].tolist()),
                )
            )
            at = dict(zip(self.domain.names, x.tolist(), strict=True))
            value = f"{there} at {at} and {middle} in the middle"
            raise SpaceError(error_message("function", condition, value))
        parts = np.concatenate((made.positions.ravel(), np.asarray(made.cell).ravel()))
        return torch.from_numpy(parts)

    def _values(self, X: Tensor) -> Tensor:
        """Return positions and cells at X `[n, d]`, `[n, m]`, cached where no gradient is taken."""
        if X.requires_grad:
            return torch.stack([self._value_or_nan(x) for x in X])
        rows = []
        for x in X.detach():
            key = _key(x)
            if key not in self._cache:
                if len(self._cache) >= MAX_CACHED:
                    self._cache.clear()
                self._cache[key] = self._value_or_nan(x).detach()
            rows.append(self._cache[key])
        m = 3 * len(self._template.numbers) + 9
        return torch.stack(rows) if rows else X.new_zeros(0, m)

    def _differentiable_values(self, X: Tensor) -> Tensor:
        if not (X.requires_grad and torch.is_grad_enabled()):
            return self._values(X.detach())
        if not self.is_decodable:
            return self._values(X.detach())
        if self._returns_positions:
            values = self._values(X)
            if values.requires_grad:
                return values
        result: Tensor = NumericalValues.apply(X, self._values, self.domain)  # type: ignore[no-untyped-call]
        return result

    def _encode_one(self, structure: Structures) -> Tensor:
        if not torch.equal(structure.numbers.cpu(), self.numbers):
            condition = f"hold the atoms of {self._template.formulas()[0]} in the function's order"
            value = ", ".join(structure.formulas())
            raise InputError(error_message("structures", condition, value))
        cell = structure.cell if structure.pbc.any() else self._template.cell
        parts = (structure.positions.flatten(), cell.flatten())
        target = torch.cat([part.detach().cpu().double() for part in parts])
        x, residual = closest_point(
            self._values, lambda X: jacobian(self._values, self.domain, X), self.domain, target
        )
        if residual > ENCODE_TOLERANCE:
            condition = "be structures that the function makes, oriented as it does"
            value = f"one that is {residual:.2g} Å from the closest within the bounds"
            hint = "Rotate it, give other `bounds`, or leave it out."
            raise InputError(error_message("structures", condition, value, hint))
        return self.domain.project(x)

    def _is_allowed(self, X: Tensor) -> Tensor:
        """Return whether the structures of X `[n, d]` are finite and have no close atoms, `[n]`."""
        allowed = self._values(X.to(device="cpu", dtype=torch.float64)).isfinite().all(-1)
        allowed = allowed.to(X.device)
        if self.min_distance_factor and bool(allowed.any()):
            allowed[allowed.clone()] = self._has_no_close_atoms(X[allowed])
        return allowed

    def _has_no_close_atoms(self, X: Tensor) -> Tensor:
        """Return whether all atoms of X `[n, d]`, of finite structures, are apart, `[n]` bool."""
        structures = self.decode(X)
        radii = self.atomic_radii.to(X).repeat(len(X))
        cutoff = 2 * self.min_distance_factor * float(self.atomic_radii.max())
        near = build_neighbor_list(structures, cutoff)
        r = torch.linalg.vector_norm(near.vectors(structures.positions, structures.cell), dim=-1)
        least = self.min_distance_factor * (radii[near.center] + radii[near.neighbor])
        close = structures.index[near.center[r < least * (1 - 1e-9)]]
        return torch.ones(len(X), dtype=torch.bool, device=X.device).index_fill(0, close, False)

    def _fingerprint(self, X: Tensor) -> Tensor:
        found = structure_fingerprint(self.decode(X.detach()))
        return found.reshape(*X.shape[:-1], -1)


def _key(x: Tensor) -> bytes:
    """Return the bytes of coordinates `[d]`; 0 and -0 are equal."""
    return (x + 0.0).numpy().tobytes()


def _checked_atoms(made: Any) -> Atoms:  # noqa: ANN401 - of the user's function
    """Return what a function made, if it is ASE's Atoms.

    Raises:
        SpaceError: it is something else.
    """
    if not hasattr(made, "get_atomic_numbers"):
        hint = "With `atoms=...` it returns their positions."
        kind = type(made).__name__
        raise SpaceError(error_message("function", "return ase.Atoms", kind, hint))
    atoms: Atoms = made
    return atoms


def _in_words(numbers: Sequence[int], pbc: Sequence[bool]) -> str:
    """Return atoms in their order, and along which lattice vectors they are periodic."""
    axes = "".join(axis for axis, is_periodic in zip("abc", pbc, strict=True) if is_periodic)
    symbols = "".join(SYMBOLS[number] for number in numbers)
    return f"{symbols}, periodic along {axes}" if axes else symbols


def _digest(structures: Structures) -> str:
    """Return the digest of atoms and rounded positions of one structure."""
    numbers = structures.numbers.tolist()
    lengths = torch.cat((structures.positions.flatten(), structures.cell.flatten()))
    rounded = [round(value, DIGEST_DECIMALS) + 0.0 for value in lengths.tolist()]
    pbc, fixed = structures.pbc.tolist(), structures.fixed.tolist()
    return hashlib.sha256(json.dumps([numbers, rounded, pbc, fixed]).encode()).hexdigest()

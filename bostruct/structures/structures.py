"""A frozen batch of structures of any sizes, as tensors.

Notation
    b   structures in the batch
    n   atoms of all of them together
    The atoms of one structure are contiguous; `index` is the structure of
    each atom. Lattice vectors are the rows of `cell`, as in ASE.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.errors import InputError, ShapeError, check_shape, error_message
from bostruct.structures.elements import SYMBOLS, formula

MIN_PERIODIC_SPAN = 1e-6
"""Å³, Å², Å: periodic lattice vectors that span less than this are linearly dependent."""

ELECTRONIC_STATE = ("magnetic_moments", "atomic_charges", "charge", "spin")
"""Fields that a calculator starts from, and that surrogates do not see."""

ATOM_FIELDS = (
    *("positions", "numbers", "fixed", "tags", "forces"),
    *("magnetic_moments", "atomic_charges"),
)
"""Fields with a row for each atom, beside `index`."""

STRUCTURE_FIELDS = ("cell", "pbc", "energy", "stress", "charge", "spin")
"""Fields with a row for each structure."""

OPTIONAL_FIELDS = ("energy", "forces", "stress", *ELECTRONIC_STATE)
"""Fields that may be None, or NaN where unknown."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Structures:
    """A batch of structures; every tensor is on one device.

    Attributes:
        positions: `[n, 3]` Å, floating point; the other real tensors share its dtype.
        numbers: `[n]` int64, atomic numbers.
        cell: `[b, 3, 3]` Å, rows are lattice vectors; zeros where there is none.
        pbc: `[b, 3]` bool, along which lattice vectors a structure repeats.
        index: `[n]` int64, sorted: the structure each atom belongs to.
        fixed: `[n]` bool, atoms that must not move.
        tags: `[n]` int64, the user's own labels.
        energy: `[b]` eV, NaN where unknown; or None.
        forces: `[n, 3]` eV/Å, NaN where unknown; or None.
        stress: `[b, 6]` eV/Å³, NaN where unknown; or None. Derivative of the energy by the strain
            over the volume of the cell, positive under tension, in Voigt's order xx, yy, zz, yz,
            xz, xy, as in ASE.
        magnetic_moments: `[n]` μB, the initial ones, NaN where none is given; or None.
        atomic_charges: `[n]` e, the initial ones, NaN where none is given; or None.
        charge: `[b]` e, `atoms.info["charge"]` of ASE, NaN where none is given; or None.
        spin: `[b]`, `atoms.info["spin"]` of ASE as the calculator counts it, NaN where none is
            given; or None.
    """

    positions: Tensor
    numbers: Tensor
    cell: Tensor
    pbc: Tensor
    index: Tensor
    fixed: Tensor
    tags: Tensor
    energy: Tensor | None = None
    forces: Tensor | None = None
    magnetic_moments: Tensor | None = None
    atomic_charges: Tensor | None = None
    charge: Tensor | None = None
    spin: Tensor | None = None
    stress: Tensor | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_types(self)
        _check_values(self)

    @classmethod
    def unchecked(cls, **values: Tensor | None) -> Structures:
        """Return a batch without validation, for tensors that are known to be valid.

        For inner loops: it does not synchronise with the device.
        """
        self = object.__new__(cls)
        for field in fields(cls):
            object.__setattr__(self, field.name, values.get(field.name))
        return self

    @classmethod
    def cat(cls, parts: Sequence[Structures]) -> Structures:
        """Return one batch of all structures in `parts`, in that order.

        Optional fields that only some parts have are NaN in the others.

        Raises:
            InputError: there are no parts.
        """
        if not parts:
            raise InputError(error_message("parts", "hold at least one batch", "none"))
        if len(parts) == 1:
            return parts[0]
        offsets = itertools.accumulate(map(len, parts), initial=0)
        index = [part.index + offset for part, offset in zip(parts, offsets, strict=False)]
        values: dict[str, Tensor | None] = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("positions", "numbers", "cell", "pbc", "fixed", "tags")
        }
        for name in OPTIONAL_FIELDS:
            if any(getattr(part, name) is not None for part in parts):
                values[name] = torch.cat([part.value_or_nan(name) for part in parts])
        return cls.unchecked(index=torch.cat(index), **values)

    def __len__(self) -> int:
        return self.cell.shape[0]

    def __iter__(self) -> Iterator[Structures]:
        return iter(self.split())

    def __repr__(self) -> str:
        names = self.formulas()
        shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return f"Structures({len(self)}: {shown})"

    @property
    def counts(self) -> Tensor:
        """Number of atoms of each structure, `[b]` int64."""
        return torch.bincount(self.index, minlength=len(self))

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.positions.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of all real tensors."""
        return self.positions.dtype

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Structures:
        """Return the batch on another device, or in another real dtype."""
        values = {
            name: value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            for name, value in self.given_fields().items()
        }
        return Structures.unchecked(**values)

    def given_fields(self) -> dict[str, Tensor]:
        """Return the tensors by name, without the optional fields that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __getitem__(self, key: int | slice | Sequence[int] | Tensor) -> Structures:
        """Return a batch of the selected structures, in the order asked for.

        Args:
            key: an index (negative counts from the end), a slice, indices, which may repeat, or a
                boolean tensor `[b]`.

        Raises:
            InputError: an index is out of range.
        """
        chosen = self._selected_indices(key)  # [m]
        counts = self.counts
        start = counts.cumsum(0) - counts
        size = counts[chosen]
        index = torch.repeat_interleave(size)  # [atoms of the selection]
        atoms = torch.arange(index.numel(), device=self.device)
        atoms = atoms + (start[chosen] - (size.cumsum(0) - size))[index]
        rows = dict.fromkeys(ATOM_FIELDS, atoms) | dict.fromkeys(STRUCTURE_FIELDS, chosen)
        given = self.given_fields()
        values = {name: given[name][row] for name, row in rows.items() if name in given}
        return Structures.unchecked(index=index, **values)

    def split(self) -> list[Structures]:
        """Return each structure as a batch of its own."""
        counts = self.counts.tolist()
        sizes: dict[str, Any] = dict.fromkeys(ATOM_FIELDS, counts)
        sizes |= dict.fromkeys(STRUCTURE_FIELDS, 1)
        given = self.given_fields()
        columns = {name: given[name].split(size) for name, size in sizes.items() if name in given}
        return [
            Structures.unchecked(
                index=self.index.new_zeros(count),
                **{name: column[i] for name, column in columns.items()},
            )
            for i, count in enumerate(counts)
        ]

    def formulas(self) -> list[str]:
        """Return the formula of each structure, as ASE writes it."""
        numbers = iter(self.numbers.tolist())
        return [formula(itertools.islice(numbers, count)) for count in self.counts.tolist()]

    def symbols(self) -> list[str]:
        """Return the chemical symbol of each atom."""
        return [SYMBOLS[number] for number in self.numbers.tolist()]

    def without_results(self) -> Structures:
        """Return the same structures without energies, forces and stresses."""
        return replace(self, energy=None, forces=None, stress=None)

    @property
    def electronic_state(self) -> dict[str, Tensor]:
        """Initial moments and charges that are given, by the name of their field."""
        values = {name: getattr(self, name) for name in ELECTRONIC_STATE}
        return {name: value for name, value in values.items() if value is not None}

    def without_electronic_state(self) -> Structures:
        """Return the same structures without initial moments and charges."""
        return replace(self, magnetic_moments=None, atomic_charges=None, charge=None, spin=None)

    @property
    def has_electronic_state(self) -> bool:
        """True if an initial moment or charge is given that is not zero."""
        values = self.electronic_state.values()
        return any(bool(value.nan_to_num(0.0).any()) for value in values)

    def value_or_nan(self, name: str) -> Tensor:
        """Return an optional field, NaN everywhere where it is None.

        Args:
            name: one of `OPTIONAL_FIELDS`.
        """
        value: Tensor | None = getattr(self, name)
        if value is not None:
            return value
        if name == "stress":
            return self.cell.new_full((len(self), 6), torch.nan)
        per_atom = self.positions if name == "forces" else self.positions[:, 0]
        like = per_atom if name in ATOM_FIELDS else self.cell[:, 0, 0]
        return torch.full_like(like, torch.nan)

    def _selected_indices(self, key: int | slice | Sequence[int] | Tensor) -> Tensor:
        """Return the indices that `key` selects, `[m]` int64."""
        size = len(self)
        every = torch.arange(size, device=self.device)
        if isinstance(key, slice):
            return every[key]
        indices = torch.as_tensor(key, device=self.device)
        if indices.dtype == torch.bool:
            return every[check_shape("key", indices, [size], "One bool per structure.")]
        indices = indices.reshape(-1).to(torch.int64)
        outside = (indices < -size) | (indices >= size)
        if outside.any():
            condition = f"be from {-size} to {size - 1}"
            raise InputError(error_message("key", condition, indices[outside][0].item()))
        return indices % size


def _check_shapes(s: Structures) -> None:
    check_shape("positions", s.positions, [None, 3], "Cartesian, in Å.")
    check_shape("cell", s.cell, [None, 3, 3], "Rows are lattice vectors, in Å.")
    n, b = s.positions.shape[0], s.cell.shape[0]
    for name in ("numbers", "index", "fixed", "tags"):
        check_shape(name, getattr(s, name), [n], "One per atom.")
    check_shape("pbc", s.pbc, [b, 3], "One per lattice vector.")
    if s.energy is not None:
        check_shape("energy", s.energy, [b], "One per structure, in eV.")
    if s.forces is not None:
        check_shape("forces", s.forces, [n, 3], "One row per atom, in eV/Å.")
    if s.stress is not None:
        check_shape("stress", s.stress, [b, 6], "In Voigt's order, in eV/Å³.")
    for name, value in s.electronic_state.items():
        per_atom = name in ATOM_FIELDS
        hint = "One per atom, along one axis." if per_atom else "One per structure."
        check_shape(name, value, [n if per_atom else b], hint)


def _check_types(s: Structures) -> None:
    if not s.positions.is_floating_point():
        condition = "be of a floating-point dtype"
        raise InputError(error_message("positions", condition, s.positions.dtype))
    real = s.positions.dtype
    dtypes = dict.fromkeys(("numbers", "index", "tags"), torch.int64)
    dtypes |= dict.fromkeys(("pbc", "fixed"), torch.bool)
    dtypes |= dict.fromkeys(("cell", *OPTIONAL_FIELDS), real)
    for name, dtype in dtypes.items():
        value: Tensor | None = getattr(s, name)
        if value is None:
            continue
        if value.dtype != dtype:
            raise InputError(error_message(name, f"be of dtype {dtype}", value.dtype))
        if value.device != s.positions.device:
            condition = f"be on {s.positions.device} as the positions are"
            raise InputError(error_message(name, condition, value.device))


def _check_values(s: Structures) -> None:
    if not s.positions.isfinite().all():
        raise InputError(error_message("positions", "be finite", "NaN or infinity"))
    if not s.cell.isfinite().all():
        raise InputError(error_message("cell", "be finite", "NaN or infinity"))
    wrong = (s.numbers < 0) | (s.numbers >= len(SYMBOLS))
    if wrong.any():
        condition = f"be atomic numbers from 0 to {len(SYMBOLS) - 1}"
        raise InputError(error_message("numbers", condition, s.numbers[wrong][0].item()))
    _check_index(s.index, len(s))
    if s.pbc.any() and (_periodic_span(s.cell, s.pbc) < MIN_PERIODIC_SPAN).any():
        condition = "have independent lattice vectors where `pbc` is true"
        value, hint = "vectors that are zero or parallel", "Set pbc to False along those."
        raise InputError(error_message("cell", condition, value, hint))


def _check_index(index: Tensor, b: int) -> None:
    if (index[1:] < index[:-1]).any():
        raise InputError(error_message("index", "be sorted", "a decreasing one"))
    outside = (index < 0) | (index >= b)
    if outside.any():
        condition = f"be from 0 to {b - 1}, one number for each cell"
        raise InputError(error_message("index", condition, index[outside][0].item()))
    empty = torch.bincount(index, minlength=b) == 0
    if empty.any():
        hint = f"Structure {int(empty.nonzero()[0])} has no atoms."
        raise ShapeError(error_message("index", "give every structure an atom", "none", hint))


def _periodic_span(cell: Tensor, pbc: Tensor) -> Tensor:
    """Return the length, area or volume that the periodic vectors span, `[b]`."""
    eye = torch.eye(3, dtype=cell.dtype, device=cell.device)
    rows = torch.where(pbc.unsqueeze(-1), cell, 0)
    gram = rows @ rows.mT + eye * (~pbc).unsqueeze(-1)
    squared: Tensor = torch.linalg.det(gram)
    return squared.clamp(min=0).sqrt()

"""Structure store: many structures in compact tensors, decoded a few at a time.

An atom takes 30 bytes and a structure some 90 more: a million structures of ten atoms, 0.4 GB.
Initial moments and charges take 8 bytes each, where any structure has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures
from bostruct.structures.structures import ATOM_FIELDS, ELECTRONIC_STATE


@final
@dataclass(frozen=True, eq=False)
class StructureStore:
    """A list of structures in compact tensors.

    Attributes:
        positions: `[n, 3]` Å float64.
        numbers: `[n]` uint8.
        fixed: `[n]` bool.
        tags: `[n]` int32.
        cell: `[b, 3, 3]` Å float64.
        pbc: `[b, 3]` bool.
        start: `[b + 1]` int64, index of the first atom of each structure, and the number of atoms.
        electronic_state: initial moments and charges by the name of their field in `Structures`,
            `[n]` or `[b]` float64; only those that some structure has.
    """

    positions: Tensor
    numbers: Tensor
    fixed: Tensor
    tags: Tensor
    cell: Tensor
    pbc: Tensor
    start: Tensor
    electronic_state: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def from_batches(cls, batches: Iterable[Structures]) -> StructureStore:
        """Return the structures of one or more batches."""
        columns: dict[str, list[Tensor]] = {}
        dtypes = {"numbers": torch.uint8, "tags": torch.int32}
        given: set[str] = set()
        for batch in batches:
            given.update(batch.electronic_state)
            for name in ELECTRONIC_STATE:
                value = batch.value_or_nan(name).detach().cpu().to(torch.float64, copy=True)
                columns.setdefault(name, []).append(value)
            for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc"):
                value = getattr(batch, name).detach().cpu()
                if value.is_floating_point():
                    value = value.double()
                # a copy, as a batch may be a view of a larger one
                value = value.to(dtypes.get(name, value.dtype), copy=True)
                columns.setdefault(name, []).append(value)
            columns.setdefault("counts", []).append(batch.counts.cpu())
        tensors = {name: torch.cat(column) for name, column in columns.items()}
        counts = tensors.pop("counts")
        state = {name: tensors.pop(name) for name in ELECTRONIC_STATE}
        return cls(
            start=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            electronic_state={name: value for name, value in state.items() if name in given},
            **tensors,
        )

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, indices: Tensor) -> Structures:
        """Return the structures with indices `[m]`, on the CPU in float64."""
        counts = self.start[indices + 1] - self.start[indices]
        index = torch.repeat_interleave(counts)  # [atoms]
        offset = (self.start[indices] - (counts.cumsum(0) - counts))[index]
        atoms = torch.arange(len(index)) + offset
        return Structures.unchecked(
            positions=self.positions[atoms],
            numbers=self.numbers[atoms].long(),
            fixed=self.fixed[atoms],
            tags=self.tags[atoms].long(),
            cell=self.cell[indices],
            pbc=self.pbc[indices],
            index=index,
            **{
                name: value[atoms if name in ATOM_FIELDS else indices]
                for name, value in self.electronic_state.items()
            },
        )

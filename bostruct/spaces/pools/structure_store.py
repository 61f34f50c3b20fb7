"""Many structures in little memory, decoded a few at a time.

An atom takes 30 bytes and a structure some 90 more: a million of ten atoms, 0.4 GB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from bostruct.structures import Structures


@final
@dataclass(frozen=True, eq=False)
class StructureStore:
    """A list of structures.

    Attributes:
        positions: `[n, 3]` Å float64.
        numbers: `[n]` uint8.
        fixed: `[n]` bool.
        tags: `[n]` int32.
        cell: `[b, 3, 3]` Å float64.
        pbc: `[b, 3]` bool.
        start: `[b + 1]` int64, the first atom of each.
    """

    positions: Tensor
    numbers: Tensor
    fixed: Tensor
    tags: Tensor
    cell: Tensor
    pbc: Tensor
    start: Tensor

    @classmethod
    def from_batches(cls, parts: Iterable[Structures]) -> StructureStore:
        """Return all structures of one or more batches."""
        columns: dict[str, list[Tensor]] = {}
        kinds = {"numbers": torch.uint8, "tags": torch.int32}
        for part in parts:
            for name in ("positions", "numbers", "fixed", "tags", "cell", "pbc"):
                value: Tensor = getattr(part, name).detach().cpu()
                if value.is_floating_point():
                    value = value.double()
                # a copy, as a batch may be a view of something larger
                value = value.to(kinds.get(name, value.dtype), copy=True)
                columns.setdefault(name, []).append(value)
            columns.setdefault("counts", []).append(part.counts.cpu())
        whole = {name: torch.cat(column) for name, column in columns.items()}
        counts = whole.pop("counts")
        start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(start=start, **whole)

    def __len__(self) -> int:
        return len(self.cell)

    @property
    def counts(self) -> Tensor:
        """Atoms of each structure, `[b]`."""
        return self.start[1:] - self.start[:-1]

    def take(self, indices: Tensor) -> Structures:
        """Return the structures of these places `[m]`, on the CPU in float64."""
        size = self.start[indices + 1] - self.start[indices]
        owner = torch.repeat_interleave(size)  # [atoms]
        first = (self.start[indices] - (size.cumsum(0) - size))[owner]
        atoms = torch.arange(len(owner)) + first
        return Structures.unchecked(
            positions=self.positions[atoms],
            numbers=self.numbers[atoms].long(),
            fixed=self.fixed[atoms],
            tags=self.tags[atoms].long(),
            cell=self.cell[indices],
            pbc=self.pbc[indices],
            index=owner,
        )

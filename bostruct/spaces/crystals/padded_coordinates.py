"""Padded coordinates: X of crystals of several sizes in tensors of one width.

    X = (m, X_m, 0 ... 0)

with the number m of a member and its own coordinates X_m, see `.crystal_coordinates`. All crystals
are decoded together. Nothing depends on the zeros, and m does not change continuously: both have
the gradient zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from bostruct.spaces.crystals.crystal_coordinates import CrystalCoordinates
from bostruct.spaces.crystals.log_strain import log_strain_matrix
from bostruct.structures import Structures

N_STRAIN_COMPONENTS = 6
"""Number of coordinates of a cell that varies freely."""

INDEX_TOLERANCE = 1e-6
"""Largest difference of a number of a member, or of a zero, from a whole number, in float32 too."""


@final
@dataclass(frozen=True, eq=False)
class PaddedCoordinates:
    """Coordinates of several members in tensors of one width.

    Attributes:
        members: coordinates of each member.
        numbers: `[a]` atomic numbers of each member.
    """

    members: Sequence[CrystalCoordinates]
    numbers: Sequence[Tensor]

    @cached_property
    def dimension(self) -> int:
        """Number of coordinates, one more than those of the largest member."""
        return 1 + max(member.dimension for member in self.members)

    def index(self, X: Tensor) -> Tensor:
        """Return the number of the member at X `[..., d]`, `[...]` int64, the nearest one."""
        nearest = X[..., 0].detach().nan_to_num().round().clamp(0, len(self.members) - 1)
        return nearest.to(torch.int64)

    def is_canonical(self, X: Tensor) -> Tensor:
        """Return whether X `[..., d]` names a member, and has zeros after it, `[...]` bool."""
        m = self.index(X)
        columns = torch.arange(self.dimension, device=X.device)
        beyond = columns > self._table("dimension", X)[m].unsqueeze(-1)
        is_zero = (X.abs() < INDEX_TOLERANCE) | ~beyond
        return is_zero.all(-1) & ((X[..., 0] - m).abs() < INDEX_TOLERANCE)

    def pad(self, m: int, X: Tensor) -> Tensor:
        """Return the coordinates `[n, d]` of crystals of member m with X `[n, d_m]`."""
        front = torch.full_like(X[:, :1], m)
        missing = self.dimension - 1 - X.shape[-1]
        return torch.cat((front, torch.nn.functional.pad(X, (0, missing))), -1)

    def crop(self, m: int, X: Tensor) -> Tensor:
        """Return the member's own coordinates `[..., d_m]` of crystals of member m."""
        return X[..., 1 : 1 + self.members[m].dimension]

    def groups(self, X: Tensor) -> list[tuple[int, Tensor]]:
        """Return each member that is among X `[n, d]`, in order, with its rows."""
        m = self.index(X)
        return [(i, (m == i).nonzero().squeeze(-1)) for i in m.unique().tolist()]

    def decode(self, X: Tensor) -> Structures:
        """Return the structures at X `[n, d]`; positions and cells differentiable."""
        n, device = len(X), X.device
        m = self.index(X)
        counts = self._table("n_atoms", X)[m]
        length = self._table("length", X).to(X)[m].reshape(-1, 1, 1)
        strain_length = self._table("strain_length", X).to(X)[m].unsqueeze(-1)
        largest = max(member.n_atoms for member in self.members)
        atom = torch.arange(largest, device=device)
        exists = atom < counts.unsqueeze(-1)  # [n, a]
        first = 1 + 3 * counts.unsqueeze(-1) + torch.arange(N_STRAIN_COMPONENTS, device=device)
        s = X.gather(-1, first) / strain_length
        H = length * torch.linalg.matrix_exp(log_strain_matrix(s))
        F = X[:, 1 : 1 + 3 * largest].unflatten(-1, (largest, 3)) / length
        index = torch.arange(n, device=device).unsqueeze(-1).expand(n, largest)[exists]
        positions = (F @ H)[exists]
        return Structures.unchecked(
            positions=positions,
            numbers=self._numbers_table.to(device)[m][exists],
            cell=H,
            pbc=torch.ones(n, 3, dtype=torch.bool, device=device),
            index=index,
            fixed=torch.zeros(len(index), dtype=torch.bool, device=device),
            tags=torch.zeros(len(index), dtype=torch.int64, device=device),
        )

    def _table(self, name: str, X: Tensor) -> Tensor:
        """Return a number of each member, `[m]`."""
        return self._tables[name].to(X.device)

    @cached_property
    def _tables(self) -> dict[str, Tensor]:
        types = {"dimension": torch.int64, "n_atoms": torch.int64}
        types |= {"length": torch.float64, "strain_length": torch.float64}
        return {
            name: torch.tensor([getattr(c, name) for c in self.members], dtype=dtype)
            for name, dtype in types.items()
        }

    @cached_property
    def _numbers_table(self) -> Tensor:
        """Atomic numbers of each member, filled with zeros, `[m, a]`."""
        return torch.nn.utils.rnn.pad_sequence(list(self.numbers), batch_first=True)

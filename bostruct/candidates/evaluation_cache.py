"""Members of a discrete space with what a look at each is worth, asked once each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import Value
from bostruct.candidates.selection import Candidates


class Names(Protocol):
    """A space in which what is the same has one name."""

    def canonical(self, X: Tensor) -> Tensor:
        """Return the row that stands for what is the same as X, `[..., d]`."""
        ...


@final
class Asked:
    """The members that were asked about, in that order; it grows with every call.

    Args:
        value: the acquisition, X `[b, d]` to `[b]`, larger is better.
        space: names its members.
        known: `[t, d]` evaluated before; they may be asked about, and are never the
            best.
        chunk: the most members in one call of the value.
    """

    def __init__(self, value: Value, space: Names, known: Tensor, chunk: int) -> None:
        self._value, self._space, self._chunk = value, space, chunk
        self._known = set(_keys(space.canonical(known)))
        self._rows: dict[bytes, int] = {}
        self._old: list[bool] = []
        self._origin: list[str] = []
        self.X = known[:0]
        self.value = known.new_zeros(0)

    def __len__(self) -> int:
        return len(self._origin)

    def ask(self, X: Tensor, origin: Sequence[str]) -> Tensor:
        """Return the rows of members `[n, d]`, asking about those that are new, `[n]`.

        Args:
            X: need not be canonical.
            origin: of each.
        """
        X = self._space.canonical(X.to(self.X))
        rows, new = [], []
        for place, key in enumerate(_keys(X)):
            row = self._rows.setdefault(key, len(self._rows))
            rows.append(row)
            if row == len(self._origin):
                new.append(place)
                self._origin.append(origin[place])
                self._old.append(key in self._known)
        if new:
            with torch.no_grad():
                parts = [self._value(part) for part in X[new].split(self._chunk)]
            self.X = torch.cat([self.X, X[new]])
            self.value = torch.cat([self.value, *(part.to(self.X) for part in parts)])
        return torch.tensor(rows, dtype=torch.int64, device=self.X.device)

    @property
    def worth(self) -> Tensor:
        """The values, minus infinity where one is known or its value not finite."""
        old = torch.tensor(self._old, dtype=torch.bool, device=self.X.device)
        return torch.where(self.value.isfinite() & ~old, self.value, -torch.inf)

    def best(self, count: int) -> Tensor:
        """Return the rows of the best that are new, best first, `[<= count]`."""
        worth = self.worth
        order = worth.argsort(descending=True, stable=True)[:count]
        found: Tensor = order[worth[order] > -torch.inf]
        return found

    def origins(self, rows: Tensor) -> list[str]:
        """Return how members were first come by."""
        return [self._origin[row] for row in rows.tolist()]

    def candidates(self) -> Candidates:
        """Return all of them."""
        n = len(self)
        steps = torch.zeros(n, dtype=torch.int64, device=self.X.device)
        converged = torch.ones(n, dtype=torch.bool, device=self.X.device)
        return Candidates(self.X, self.value, list(self._origin), steps, converged)


def _keys(X: Tensor) -> list[bytes]:
    """Return what canonical rows are told apart by."""
    return [row.tobytes() for row in X.detach().cpu().numpy()]

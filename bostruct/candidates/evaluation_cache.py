"""Members of a discrete space with their acquisition values, computed once each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import AcquisitionCallable
from bostruct.candidates.selection import Candidates
from bostruct.spaces import DiscreteSpace


@final
class ScoredMembers:
    """The members scored so far, in the order of their scoring; it grows with every call.

    Args:
        acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
        space: the space with its canonical members.
        X_evaluated: `[t, d]` members evaluated before, which may be scored but are not new.
        chunk_size: the most members in one call of the acquisition function.
    """

    def __init__(
        self,
        acq_function: AcquisitionCallable,
        space: DiscreteSpace,
        X_evaluated: Tensor,
        chunk_size: int,
    ) -> None:
        self._acq_function, self._space, self._chunk_size = acq_function, space, chunk_size
        self._evaluated_keys = set(_row_keys(space.canonical(X_evaluated)))
        self._row_of_key: dict[bytes, int] = {}
        self._is_evaluated: list[bool] = []
        self._generator_names: list[str] = []
        self.X = X_evaluated[:0]
        self.acq_value = X_evaluated.new_zeros(0)

    def __len__(self) -> int:
        return len(self._generator_names)

    def score(self, X: Tensor, generator_names: Sequence[str]) -> Tensor:
        """Score the members that were not scored before, and return the rows of all, `[n]`.

        Args:
            X: `[n, d]` members, which need not be canonical.
            generator_names: the generator of each.
        """
        X = self._space.canonical(X.to(self.X))
        rows, new = [], []
        for i, key in enumerate(_row_keys(X)):
            row = self._row_of_key.setdefault(key, len(self._row_of_key))
            rows.append(row)
            if row == len(self._generator_names):
                new.append(i)
                self._generator_names.append(generator_names[i])
                self._is_evaluated.append(key in self._evaluated_keys)
        if new:
            with torch.no_grad():
                values = [self._acq_function(part) for part in X[new].split(self._chunk_size)]
            self.X = torch.cat([self.X, X[new]])
            self.acq_value = torch.cat([self.acq_value, *(value.to(self.X) for value in values)])
        return torch.tensor(rows, dtype=torch.int64, device=self.X.device)

    @property
    def new_values(self) -> Tensor:
        """The values, minus infinity where a member was evaluated or its value is not finite."""
        old = torch.tensor(self._is_evaluated, dtype=torch.bool, device=self.X.device)
        return torch.where(self.acq_value.isfinite() & ~old, self.acq_value, -torch.inf)

    def best_new(self, count: int) -> Tensor:
        """Return the rows of the best members not yet evaluated, best first, `[<= count]`."""
        values = self.new_values
        order = values.argsort(descending=True, stable=True)[:count]
        rows: Tensor = order[values[order] > -torch.inf]
        return rows

    def generator_names(self, rows: Tensor) -> list[str]:
        """Return the generator that first made each of some members."""
        return [self._generator_names[row] for row in rows.tolist()]

    def candidates(self) -> Candidates:
        """Return all members scored."""
        return Candidates.unrelaxed(self.X, self.acq_value, list(self._generator_names))


def _row_keys(X: Tensor) -> list[bytes]:
    """Return a hashable key of each canonical row."""
    return [row.tobytes() for row in X.detach().cpu().numpy()]

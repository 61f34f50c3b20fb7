"""The search among members of a discrete space that are too many to list.

Random members and changed copies of the best known are scored, the best of all so far
are changed again, round after round; the last ones are followed from neighbor to
neighbor until none is better. No gradient is asked for, and no member is scored twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import Value
from bostruct.candidates.evaluation_cache import Asked, Names
from bostruct.candidates.generators import Samples, drawn, perturbed, ways
from bostruct.candidates.selection import Candidates
from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.spaces import Connected

CHUNK = 256
"""Members scored at once."""


class Members(Names, Samples, Protocol):
    """What the walk needs to know of a space."""

    def moves(self) -> Mapping[str, Any]:
        """Return random changes by name: X `[n, d]`, generator to X `[n, d]`."""
        ...


@final
@dataclass(frozen=True)
class Walk:
    """Evolution and descent on the acquisition, among members of a discrete space.

    Attributes:
        candidates: members made in a round.
        rounds: the most rounds; each but the first changes the best of all before it.
        patience: rounds in a row that find nothing better, after which it ends.
        gain: eV, what counts as better.
        share: of the time of an energy that the search may take; see `at`.
        parents: how many of the best are changed.
        fresh: share of the first round that is random; the rest are changed copies of
            the lowest energies known.
        climbs: how many of the best, and the lowest energy known beside them, are
            followed to where no neighbor is better, if the space knows neighbors.
        near: the most neighbors that are looked at in each step; where there are more,
            as many of them are drawn.

    Raises:
        InputError: a number is out of range.
    """

    candidates: int = 64
    rounds: int = 16
    patience: int = 4
    gain: float = 1e-3
    share: float = 0.03
    parents: int = 16
    fresh: float = 0.5
    climbs: int = 2
    near: int = 1024

    def __post_init__(self) -> None:
        for name in ("candidates", "rounds", "patience", "parents", "near"):
            check_count(name, getattr(self, name))
        check_count("climbs", self.climbs, 0)
        for name in ("gain", "share"):
            check_positive(name, getattr(self, name))
        if not 0 <= self.fresh <= 1:
            raise InputError(must("fresh", "be a share between 0 and 1", self.fresh))

    def at(self, level: int) -> Walk:
        """Return the search with 2^level times the rounds and the patience.

        A campaign raises the level when energies cost so much more than the search
        that `share` of their time allows it.
        """
        more = 2**level
        return replace(self, rounds=self.rounds * more, patience=self.patience * more)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {"search": "walk", **asdict(self)}

    def __call__(
        self,
        value: Value,
        space: Members,
        known: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return every member that was scored, with its value, canonical.

        The lowest energies known are among them; what is new is searched for.

        Args:
            value: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: gives samples and moves, and says what is the same.
            known: `[t, d]` members evaluated so far.
            energies: `[t]`, theirs; lower is better.
            generator: on the CPU; all randomness comes from it.
        """
        asked = Asked(value, space, known, CHUNK)
        lowest = known[energies.argsort(stable=True)[: self.parents]]
        asked.ask(lowest, ["known"] * len(lowest))
        self._evolve(asked, space, lowest, generator)
        if isinstance(space, Connected):
            starts = asked.best(self.climbs).tolist()
            if len(lowest) and self.climbs:
                starts.append(0)  # the first that was asked about
            self._climb(asked, space, starts, generator)
        return asked.candidates()

    def _evolve(
        self, asked: Asked, space: Members, lowest: Tensor, generator: torch.Generator
    ) -> None:
        """Ask about random members, and changed copies of the best, in rounds."""
        moves = space.moves()
        count = self.candidates
        random = count if not len(lowest) else round(self.fresh * count)
        made, names = drawn(ways(space), random, generator, lowest)
        changed, origins = perturbed(moves, lowest, count - random, generator)
        asked.ask(torch.cat((made, changed)), names + origins)
        top, idle = -torch.inf, 0
        for _ in range(self.rounds - 1):
            best = asked.best(self.parents)
            reached = float(asked.value[best[0]]) if len(best) else -torch.inf
            idle = 0 if reached > top + self.gain else idle + 1
            top = max(top, reached)
            if idle == self.patience:
                break
            parents = asked.X[best] if len(best) else asked.X
            paid = asked.origins(best)
            asked.ask(*perturbed(moves, parents, count, generator, paid))

    def _climb(
        self,
        asked: Asked,
        space: Connected,
        starts: list[int],
        generator: torch.Generator,
    ) -> None:
        """Go from each of some rows to its best neighbor until none is better."""
        left, passed = starts, set(starts)
        while left:
            places = []
            for row in left:
                near = self._near(space.neighbors(asked.X[row]), generator)
                places.append(asked.ask(near, ["neighbor"] * len(near)))
            worth = asked.worth
            ahead = []
            for row, rows in zip(left, places, strict=True):
                best = int(rows[worth[rows].argmax()]) if len(rows) else row
                if worth[best] > worth[row] and best not in passed:
                    ahead.append(best)
                    passed.add(best)
            left = ahead

    def _near(self, X: Tensor, generator: torch.Generator) -> Tensor:
        """Return all neighbors `[m, d]`, or some where there are too many."""
        if len(X) <= self.near:
            return X
        drawn = torch.randperm(len(X), generator=generator)[: self.near]
        return X[drawn.sort().values.to(X.device)]

"""The search for the next structure: basin hopping on the acquisition, in batches.

A surrogate that is good to some meV per atom knows the most stable structure long
before it has been evaluated; what is missing is to find it there. So the
acquisition is searched as one would search an energy: many structures are perturbed
and relaxed at once, the best of all so far are perturbed again, round after round.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import Relaxed, Value, relax
from bostruct.candidates.generators import drawn, perturbed, ways
from bostruct.candidates.selection import Candidates, Judges, choose
from bostruct.errors import InputError, check_count, check_positive, must


class Region(Judges, Protocol):
    """What the search needs to know of a space."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return random structures `[n, d]`, on the CPU."""
        ...

    def project(self, X: Tensor) -> Tensor:
        """Return X `[..., d]` put back into the region."""
        ...

    def moves(self) -> Mapping[str, Any]:
        """Return random changes by name: X `[n, d]`, generator to X `[n, d]`."""
        ...


@final
@dataclass(frozen=True)
class Search:
    """Basin hopping on the acquisition in batches.

    Attributes:
        candidates: structures relaxed at once.
        rounds: the most batches; each but the first perturbs the best of all before it.
        patience: batches in a row that find nothing better, after which it ends.
        gain: eV, what counts as better.
        share: of the time of an energy that the search may take; see `at`.
        parents: how many of the best are perturbed.
        fresh: share of the first batch that is random, as many of each kind the space
            knows; the rest are perturbed copies of the lowest energies known.
        steps: the most relaxation steps.
        tolerance: eV/Å, largest gradient component of a relaxed structure.
        step: Å, largest change of a coordinate in one relaxation step.
        without: names of moves and of ways to make random structures that are left
            out: what each is worth shows where it is missing.

    Raises:
        InputError: a number is out of range.
    """

    candidates: int = 32
    rounds: int = 8
    patience: int = 2
    gain: float = 1e-3
    share: float = 0.03
    parents: int = 12
    fresh: float = 0.5
    steps: int = 80
    tolerance: float = 0.05
    step: float = 0.2
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("candidates", "rounds", "patience", "parents", "steps"):
            check_count(name, getattr(self, name))
        for name in ("tolerance", "step", "gain", "share"):
            check_positive(name, getattr(self, name))
        if not 0 <= self.fresh <= 1:
            raise InputError(must("fresh", "be a share between 0 and 1", self.fresh))
        if isinstance(self.without, str):
            got = repr(self.without)
            raise InputError(must("without", "be names, as in ('twist',)", got))
        object.__setattr__(self, "without", tuple(self.without))

    def at(self, level: int) -> Search:
        """Return the search with 2^level times the rounds and the patience.

        A campaign raises the level when energies cost so much more than the search
        that `share` of their time allows it.
        """
        more = 2**level
        return replace(self, rounds=self.rounds * more, patience=self.patience * more)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {
            "search": "basin hopping",
            **asdict(self),
            "without": list(self.without),
        }

    def __call__(
        self,
        value: Value,
        space: Region,
        known: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return every structure that was relaxed, with its value.

        Args:
            value: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: gives samples and moves.
            known: `[t, d]` structures evaluated so far.
            energies: `[t]` eV, theirs.
            generator: on the CPU; all randomness comes from it.

        Raises:
            InputError: a name in `without` is none of the space's, or nothing is left.
        """
        walk = self.walk(space, known, energies, generator)
        starts = next(walk)
        while True:
            end = relax(
                value,
                starts,
                tolerance=self.tolerance,
                steps=self.steps,
                step=self.step,
                project=space.project,
            )
            try:
                starts = walk.send(end)
            except StopIteration as last:
                found: Candidates = last.value
                return found

    def walk(
        self,
        space: Region,
        known: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Generator[Tensor, Relaxed, Candidates]:
        """Search as a dialogue: yield structures, get them relaxed, return them all.

        So several searches may be relaxed together. Arguments as in a call.

        Yields:
            X `[candidates, d]`, where relaxations start.

        Raises:
            InputError: a name in `without` is none of the space's, or nothing is left.
        """
        sources, moves = self.kept(space)
        lowest = energies.argsort(stable=True)[: self.parents]
        random = (
            self.candidates if not len(lowest) else round(self.fresh * self.candidates)
        )
        starts, names = drawn(sources, random, generator, known)
        changed, made = perturbed(
            moves, known[lowest], self.candidates - random, generator
        )
        starts = torch.cat((starts, changed))
        pool = _ended((yield starts), names + made)
        top, idle = -torch.inf, 0
        for _ in range(self.rounds - 1):
            best = choose(pool, self.parents, space=space)
            reached = float(pool.value[best[0]]) if len(best) else -torch.inf
            idle = 0 if reached > top + self.gain else idle + 1
            top = max(top, reached)
            if idle == self.patience:
                break
            parents = pool.X[best] if len(best) else starts
            paid = [pool.origin[row] for row in best.tolist()]
            starts, names = perturbed(moves, parents, self.candidates, generator, paid)
            pool = Candidates.cat((pool, _ended((yield starts), names)))
        return pool

    def kept(self, space: Region) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the space's ways to make random structures, and its moves.

        Raises:
            InputError: a name in `without` is none of them, or nothing is left.
        """
        sources = ways(space)
        moves = space.moves()
        known = (*sources, *moves)
        for name in self.without:
            if name not in known:
                condition = f"name some of {', '.join(known)}"
                raise InputError(must("without", condition, repr(name)))
        left = [
            {name: part[name] for name in part if name not in self.without}
            for part in (sources, moves)
        ]
        if not all(left):
            condition = "leave a move and a way to make random structures"
            raise InputError(must("without", condition, ", ".join(self.without)))
        return left[0], left[1]


def _ended(end: Relaxed, origin: list[str]) -> Candidates:
    return Candidates(end.X, end.value, origin, end.steps, end.converged)

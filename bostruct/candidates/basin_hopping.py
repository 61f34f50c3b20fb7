"""The search for the next structure: basin hopping on the acquisition, in batches.

A surrogate that is good to some meV per atom knows the most stable structure long
before it has been evaluated; what is missing is to find it there. So the
acquisition is searched as one would search an energy: many structures are perturbed
and relaxed at once, the best of all so far are perturbed again, round after round.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import (
    AcquisitionCallable,
    RelaxationResult,
    relax,
)
from bostruct.candidates.generators import mutate, random_generators, sample_from
from bostruct.candidates.selection import Candidates, select_top
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.spaces import ContinuousSpace


@final
@dataclass(frozen=True)
class BasinHopping:
    """Basin hopping on the acquisition in batches.

    Attributes:
        n_candidates: structures relaxed at once.
        n_rounds: the most batches; each but the first perturbs the best of all before it.
        patience: batches in a row that find nothing better, after which it ends.
        min_improvement: eV, what counts as better.
        max_time_fraction: of the time of an energy that the search may take; see `at`.
        n_parents: how many of the best are perturbed.
        random_fraction: share of the first batch that is random, as many of each kind the space
            knows; the rest are perturbed copies of the lowest energies known.
        max_steps: the most relaxation steps.
        fmax: eV/Å, largest gradient component of a relaxed structure.
        max_step: Å, largest change of a coordinate in one relaxation step.
        exclude: names of moves and of ways to make random structures that are left
            out: what each is worth shows where it is missing.

    Raises:
        InputError: a number is out of range.
    """

    n_candidates: int = 32
    n_rounds: int = 8
    patience: int = 2
    min_improvement: float = 1e-3
    max_time_fraction: float = 0.03
    n_parents: int = 12
    random_fraction: float = 0.5
    max_steps: int = 80
    fmax: float = 0.05
    max_step: float = 0.2
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("n_candidates", "n_rounds", "patience", "n_parents", "max_steps"):
            check_count(name, getattr(self, name))
        for name in ("fmax", "max_step", "min_improvement", "max_time_fraction"):
            check_positive(name, getattr(self, name))
        if not 0 <= self.random_fraction <= 1:
            raise InputError(
                error_message(
                    "random_fraction",
                    "be a share between 0 and 1",
                    self.random_fraction,
                )
            )
        if isinstance(self.exclude, str):
            got = repr(self.exclude)
            raise InputError(error_message("exclude", "be names, as in ('twist',)", got))
        object.__setattr__(self, "exclude", tuple(self.exclude))

    def with_effort(self, effort: int) -> BasinHopping:
        """Return the search with 2^level times the rounds and the patience.

        A campaign raises the level when energies cost so much more than the search
        that `share` of their time allows it.
        """
        more = 2**effort
        return replace(self, n_rounds=self.n_rounds * more, patience=self.patience * more)

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        return {
            "type": "BasinHopping",
            **asdict(self),
            "exclude": list(self.exclude),
        }

    def __call__(
        self,
        acq_function: AcquisitionCallable,
        space: ContinuousSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return every structure that was relaxed, with its value.

        Args:
            acq_function: the acquisition, X `[b, d]` to `[b]`, larger is better.
            space: gives samples and moves.
            X_evaluated: `[t, d]` structures evaluated so far.
            energies: `[t]` eV, theirs.
            generator: on the CPU; all randomness comes from it.

        Raises:
            InputError: a name in `without` is none of the space's, or nothing is left.
        """
        walk = self.ask_and_tell(space, X_evaluated, energies, generator)
        starts = next(walk)
        while True:
            end = relax(
                acq_function,
                starts,
                fmax=self.fmax,
                max_steps=self.max_steps,
                max_step=self.max_step,
                project=space.project,
            )
            try:
                starts = walk.send(end)
            except StopIteration as last:
                found: Candidates = last.value
                return found

    def ask_and_tell(
        self,
        space: ContinuousSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Generator[Tensor, RelaxationResult, Candidates]:
        """Search as a dialogue: yield structures, get them relaxed, return them all.

        So several searches may be relaxed together. Arguments as in a call.

        Yields:
            X `[candidates, d]`, where relaxations start.

        Raises:
            InputError: a name in `without` is none of the space's, or nothing is left.
        """
        sources, moves = self.generators_and_moves(space)
        lowest = energies.argsort(stable=True)[: self.n_parents]
        random = (
            self.n_candidates
            if not len(lowest)
            else round(self.random_fraction * self.n_candidates)
        )
        starts, names = sample_from(sources, random, generator, X_evaluated)
        changed, made = mutate(moves, X_evaluated[lowest], self.n_candidates - random, generator)
        starts = torch.cat((starts, changed))
        pool = _to_candidates((yield starts), names + made)
        top, idle = -torch.inf, 0
        for _ in range(self.n_rounds - 1):
            best = select_top(pool, self.n_parents, space=space)
            reached = float(pool.acq_value[best[0]]) if len(best) else -torch.inf
            idle = 0 if reached > top + self.min_improvement else idle + 1
            top = max(top, reached)
            if idle == self.patience:
                break
            parents = pool.X[best] if len(best) else starts
            paid = [pool.generator_names[row] for row in best.tolist()]
            starts, names = mutate(moves, parents, self.n_candidates, generator, paid)
            pool = Candidates.cat((pool, _to_candidates((yield starts), names)))
        return pool

    def generators_and_moves(self, space: ContinuousSpace) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the space's ways to make random structures, and its moves.

        Raises:
            InputError: a name in `without` is none of them, or nothing is left.
        """
        sources = random_generators(space)
        moves = space.moves()
        known = (*sources, *moves)
        for name in self.exclude:
            if name not in known:
                condition = f"name some of {', '.join(known)}"
                raise InputError(error_message("exclude", condition, repr(name)))
        left = [
            {name: part[name] for name in part if name not in self.exclude}
            for part in (sources, moves)
        ]
        if not all(left):
            condition = "leave a move and a way to make random structures"
            raise InputError(error_message("exclude", condition, ", ".join(self.exclude)))
        return left[0], left[1]


def _to_candidates(result: RelaxationResult, generator_names: list[str]) -> Candidates:
    return Candidates(result.X, result.acq_value, generator_names, result.n_steps, result.converged)

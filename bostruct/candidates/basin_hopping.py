"""Basin hopping on the acquisition function, in batches.

A surrogate that is good to some meV per atom predicts the most stable structure long
before it has been evaluated; what is missing is to find it there. So the
acquisition is searched as one would search an energy: many structures are perturbed
and relaxed at once, the best of all so far are perturbed again, round after round.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from bostruct.candidates.batched_lbfgs import (
    AcquisitionCallable,
    RelaxationResult,
    relax,
)
from bostruct.candidates.generators import (
    MIN_IMPROVEMENT,
    PopulationSearch,
    mutate,
    random_generators,
    sample_from,
)
from bostruct.candidates.relaxation_in_units import relax_in_units
from bostruct.candidates.rigid_relaxation import relax_rigidly
from bostruct.candidates.selection import Candidates, select_top
from bostruct.errors import (
    InputError,
    check_choice,
    check_count,
    check_positive,
    error_message,
)
from bostruct.spaces import ContinuousSpace
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.space import SupportsMolecules
from bostruct.structures.problem_scale import ProblemScale

MAX_GRADIENT = 0.05
"""Largest gradient component of a relaxed structure, in this unit for each bond length."""

RELAXATIONS = ("free", "rigid", "rigid_free")
"""Ways to relax a structure that holds molecules."""

MAX_NEW_STRAIN = 0.05
"""Strain of molecules beyond that of all evaluated structures to which free relaxations lead."""

MAX_STEP = 0.075
"""Largest change of a coordinate in one relaxation step, in bond lengths."""


@final
@dataclass(frozen=True)
class BasinHopping(PopulationSearch):
    """Basin hopping on the acquisition in batches.

    Attributes:
        n_candidates: the number of structures relaxed at once.
        n_rounds: the most batches; each but the first perturbs the best of all before it.
        patience: the number of batches in a row without an improvement after which it ends.
        min_improvement: the least increase of the acquisition that is an improvement, in its unit;
            None for a fraction of the scale of its values.
        max_time_fraction: the time of the search as a fraction of that of an energy, up to which a
            campaign raises `effort`; see `with_effort`.
        n_parents: the number of best structures that are perturbed.
        random_fraction: the fraction of the first batch that is random, equally many of each
            generator of the space; the rest are perturbed copies of the lowest energies.
        max_steps: the most relaxation steps.
        fmax: the largest gradient component of a relaxed structure, eV/Å; None for a fraction of
            the scale of the values over a bond length.
        max_step: the largest change of a coordinate in one relaxation step, Å; None for a fraction
            of a bond length.
        exclude: names of moves and of random generators that are not used.
        relaxation: "free" for all atoms, "rigid" for motions of whole molecules and their torsions,
            "rigid_free" for one after the other; None for "rigid_free" where the space has
            molecules.

    Raises:
        InputError: A number is out of range.
    """

    n_candidates: int = 32
    n_rounds: int = 8
    patience: int = 2
    min_improvement: float | None = None
    max_time_fraction: float = 0.03
    n_parents: int = 12
    random_fraction: float = 0.5
    max_steps: int = 80
    fmax: float | None = None
    max_step: float | None = None
    exclude: tuple[str, ...] = ()
    relaxation: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_steps", self.max_steps)
        for name in ("fmax", "max_step"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if isinstance(self.exclude, str):
            got = repr(self.exclude)
            raise InputError(error_message("exclude", "be names, as in ('twist',)", got))
        object.__setattr__(self, "exclude", tuple(self.exclude))
        if self.relaxation is not None:
            check_choice("relaxation", self.relaxation, RELAXATIONS)

    def with_scale(self, value_scale: float, length: float) -> BasinHopping:
        """Return the search with the tolerances that suit a problem, but for those it has.

        Args:
            value_scale: the scale of differences of the acquisition.
            length: the length of a bond, Å.
        """
        tolerances = {
            "min_improvement": MIN_IMPROVEMENT * value_scale,
            "fmax": MAX_GRADIENT * value_scale / length,
            "max_step": MAX_STEP * length,
        }
        unknown = {name: x for name, x in tolerances.items() if getattr(self, name) is None}
        return replace(self, **unknown)  # type: ignore[arg-type]

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, as JSON values."""
        described = {"type": "BasinHopping", **asdict(self), "exclude": list(self.exclude)}
        if self.relaxation is None:  # as campaigns were described before there was a choice
            del described["relaxation"]
        return described

    def __call__(
        self,
        acq_function: AcquisitionCallable,
        space: ContinuousSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return every structure that was relaxed, with its value.

        A model of a few structures may send all of a batch out of the space, as crowded ones that
        repel each other: that batch is relaxed again, up to the border. Where only some leave, they
        are not worth it.

        Tolerances that are None follow the spread of `energies` and the radii of the space; a
        campaign, which knows forces too, sets them before, see `with_scale`.

        Args:
            acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
            space: the space with its generators and moves.
            X_evaluated: `[t, d]` structures evaluated so far.
            energies: `[t]` their energies, eV.
            generator: the source of all randomness, on the CPU.

        Raises:
            InputError: A name in `exclude` is none of the space's, or nothing is left.
        """
        search = self._in_scale_of(space, energies)
        climb = partial(search.climb, acq_function, space, X_evaluated)
        dialogue = search.ask_and_tell(space, X_evaluated, energies, generator)
        starts = next(dialogue)
        while True:
            relaxed = climb(starts)
            if not bool(space.contains(relaxed.X.nan_to_num()).any()):
                relaxed = climb(starts, contains=space.contains)
            try:
                starts = dialogue.send(relaxed)
            except StopIteration as last:
                candidates: Candidates = last.value
                return candidates

    def climb(
        self,
        acq_function: AcquisitionCallable,
        space: ContinuousSpace,
        X_evaluated: Tensor,
        X: Tensor,
        contains: Callable[[Tensor], Tensor] | None = None,
    ) -> RelaxationResult:
        """Return structures relaxed on the acquisition.

        Molecules are relaxed as rigid bodies first. Then all atoms move, as far as bonds and angles
        are strained at most `MAX_NEW_STRAIN` more than in a structure that has been evaluated: of
        larger strains the model knows nothing.

        Args:
            acq_function: the acquisition function, X `[b, d]` to `[b]`, larger is better.
            space: the space.
            X_evaluated: `[t, d]` structures evaluated so far.
            X: `[b, d]` the starts.
            contains: a function that says which structures a step may lead to; by default all of
                atoms, and whole molecules.
        """
        assert self.fmax is not None
        assert self.max_step is not None
        limits: dict[str, Any] = {
            "fmax": self.fmax,
            "max_steps": self.max_steps,
            "max_step": self.max_step,
        }
        if isinstance(space, SupportsDomain):
            named = partial(relax, **limits)
            return relax_in_units(named, acq_function, space.domain, X, contains)
        if not isinstance(space, SupportsMolecules) or not space.rigid_dimension:
            return relax(acq_function, X, project=space.project, contains=contains, **limits)
        n_steps = torch.zeros(len(X), dtype=torch.int64, device=X.device)
        if self.relaxation != "free":
            rigid = relax_rigidly(acq_function, space, X, **limits)
            if self.relaxation == "rigid":
                return rigid
            X, n_steps = rigid.X, rigid.n_steps
        known = partial(_is_known_strain, space, space.strains(X_evaluated.to(X)))
        end = relax(acq_function, X, project=space.project, contains=known, **limits)
        return replace(end, n_steps=n_steps + end.n_steps)

    def ask_and_tell(
        self,
        space: ContinuousSpace,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Generator[Tensor, RelaxationResult, Candidates]:
        """Yield structures, receive them relaxed, and return them all.

        So several searches may be relaxed together. Arguments as in a call.

        Yields:
            X `[n_candidates, d]`, where relaxations start.

        Raises:
            InputError: A name in `exclude` is none of the space's, or nothing is left.
        """
        min_improvement = self._in_scale_of(space, energies).min_improvement
        assert min_improvement is not None
        generators, moves = self.generators_and_moves(space)
        lowest = energies.argsort(stable=True)[: self.n_parents]
        n_random = self.n_candidates
        if len(lowest):
            n_random = round(self.random_fraction * self.n_candidates)
        starts, names = sample_from(generators, n_random, generator, X_evaluated)
        n_mutated = self.n_candidates - n_random
        mutated, move_names = mutate(moves, X_evaluated[lowest], n_mutated, generator)
        starts = torch.cat((starts, mutated))
        pool = _to_candidates((yield starts), names + move_names)
        top, n_idle = -torch.inf, 0
        for _ in range(self.n_rounds - 1):
            best = select_top(pool, self.n_parents, space=space)
            reached = float(pool.acq_value[best[0]]) if len(best) else -torch.inf
            n_idle = 0 if reached > top + min_improvement else n_idle + 1
            top = max(top, reached)
            if n_idle == self.patience:
                break
            parents = pool.X[best] if len(best) else starts
            successful = [pool.generator_names[row] for row in best.tolist()]
            starts, names = mutate(moves, parents, self.n_candidates, generator, successful)
            pool = Candidates.cat((pool, _to_candidates((yield starts), names)))
        return pool

    def _in_scale_of(self, space: ContinuousSpace, energies: Tensor) -> BasinHopping:
        """Return the search with all tolerances known, if need be from energies `[t]` eV."""
        scale = ProblemScale.from_energies(energies, space.atomic_radii, space.numbers)
        return self.with_scale(scale.energy, scale.length)

    def generators_and_moves(self, space: ContinuousSpace) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the space's ways to make random structures, and its moves.

        Raises:
            InputError: A name in `exclude` is none of them, or nothing is left.
        """
        every = random_generators(space), space.moves()
        names = (*every[0], *every[1])
        for name in self.exclude:
            if name not in names:
                condition = f"name some of {', '.join(names)}"
                raise InputError(error_message("exclude", condition, repr(name)))
        generators, moves = (
            {name: functions[name] for name in functions if name not in self.exclude}
            for functions in every
        )
        if not (generators and moves):
            condition = "leave a move and a random generator"
            raise InputError(error_message("exclude", condition, ", ".join(self.exclude)))
        return generators, moves


def _is_known_strain(space: SupportsMolecules, known: Tensor, X: Tensor) -> Tensor:
    """Return whether structures are inside and little more strained than known ones, `[b]` bool."""
    strains = space.strains(X)
    low, high = (float(known.min()), float(known.max())) if known.numel() else (0.0, 0.0)
    low, high = min(low, 0.0) - MAX_NEW_STRAIN, max(high, 0.0) + MAX_NEW_STRAIN
    return space.contains(X) & ((strains >= low) & (strains <= high)).all(-1)


def _to_candidates(result: RelaxationResult, generator_names: list[str]) -> Candidates:
    return Candidates(result.X, result.acq_value, generator_names, result.n_steps, result.converged)

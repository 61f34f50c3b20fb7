"""Stopping criteria of campaigns, consulted before every evaluation.

Criteria are joined with `|`: the first that holds ends the run. They are no part of a campaign's
identity; a finished campaign resumes with a more generous criterion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Protocol, runtime_checkable

from bostruct.campaign.analysis.hypervolume_history import FrontState
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.objectives import OptimizationConfig

RELATIVE_IMPROVEMENT = 1e-3
"""Smallest improvement, in units of the difference of the median and the lowest energy."""


@dataclass(frozen=True)
class Progress:
    """Progress of a run, as stopping criteria see it.

    Args:
        energies: Energies, or enthalpies under a pressure, of the finished evaluations in order,
            eV; None for failures, and for results that are doubted or retracted; NaN where an
            evaluation returned other outcomes only. Initial data are no evaluations. Where
            compositions vary, the mean of the convex hull after each evaluation, eV per atom.
        seconds: Wall time since the start of this run.
        relaxation_indices: Indices of evaluations in final relaxations.
        lowest_initial_energy: Lowest energy of the initial data, eV; None without any.
        n_model_evaluations: Number of evaluations that a model selected.
        front_history: Function from a number of evaluations to the front after them, under the
            present reference point, computed on demand; None in a campaign without objectives.
        n_consecutive_failures: Number of failures since the last result of this session.
        n_failed: Number of failed evaluations.
        has_hull: True where the energies are those of a convex hull.
    """

    energies: tuple[float | None, ...] = ()
    seconds: float = 0.0
    relaxation_indices: frozenset[int] = frozenset()
    lowest_initial_energy: float | None = None
    n_model_evaluations: int = 0
    front_history: Callable[[int], FrontState] | None = None
    n_consecutive_failures: int = 0
    n_failed: int = 0
    has_hull: bool = False

    @property
    def best_index(self) -> int | None:
        """Index of the lowest energy, or None."""
        energies = [(e, i) for i, e in enumerate(self.energies) if e is not None]
        return min(energies)[1] if energies else None


@runtime_checkable
class StoppingCriterion(Protocol):
    """Rule that ends a run; a subclass needs `reason` alone."""

    def reason(self, progress: Progress) -> str | None:
        """Return the reason to end the campaign, or None."""
        ...

    def remaining(self, progress: Progress) -> int | None:
        """Return the number of evaluations that may still be started, None for any number."""
        return None

    def __or__(self, other: StoppingCriterion) -> StoppingCriterion:
        """Return the criterion that holds when either of the two does."""
        return any_of(self, other)


@dataclass(frozen=True)
class AnyOf(StoppingCriterion):
    """Criterion that holds when one of several does."""

    criteria: tuple[StoppingCriterion, ...]

    def reason(self, progress: Progress) -> str | None:
        """Return the first reason among the criteria, or None."""
        reasons = (criterion.reason(progress) for criterion in self.criteria)
        return next((reason for reason in reasons if reason), None)

    def remaining(self, progress: Progress) -> int | None:
        """Return the smallest remaining number among the criteria."""
        counts = [criterion.remaining(progress) for criterion in self.criteria]
        return min((count for count in counts if count is not None), default=None)


def any_of(first: StoppingCriterion, second: StoppingCriterion) -> StoppingCriterion:
    """Return the criterion that holds when one of the two does."""
    return AnyOf((*_criteria(first), *_criteria(second)))


def _criteria(criterion: StoppingCriterion) -> tuple[StoppingCriterion, ...]:
    return criterion.criteria if isinstance(criterion, AnyOf) else (criterion,)


@dataclass(frozen=True)
class Evaluations(StoppingCriterion):
    """Criterion on the number of evaluations, failed, initial and relaxation ones included.

    Args:
        n: Number of evaluations.

    >>> Evaluations(2).reason(Progress((1.0, None)))
    '2 evaluations'
    """

    n: int

    def __post_init__(self) -> None:
        check_count("evaluations", self.n)

    def reason(self, progress: Progress) -> str | None:
        """Return the number once it is reached."""
        reached = len(progress.energies) >= self.n
        return f"{len(progress.energies)} evaluations" if reached else None

    def remaining(self, progress: Progress) -> int | None:
        """Return the number of evaluations left."""
        return max(self.n - len(progress.energies), 0)


@dataclass(frozen=True)
class WallTime(StoppingCriterion):
    """Criterion on the wall time since the start of this run.

    Running evaluations are waited for: allow for the time of one.

    Args:
        seconds: Wall time, s.
    """

    seconds: float

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)

    def reason(self, progress: Progress) -> str | None:
        """Return the wall time once it has passed."""
        passed = progress.seconds >= self.seconds
        return f"{progress.seconds:.0f} s of wall time" if passed else None


@dataclass(frozen=True)
class EnergyReached(StoppingCriterion):
    """Criterion on the lowest energy, under a pressure the lowest enthalpy.

    Args:
        energy: Energy at or below which the run ends, eV.
    """

    energy: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.energy):
            hint = "Give the energy in eV at which to stop."
            raise InputError(error_message("energy", "be finite", self.energy, hint))

    def reason(self, progress: Progress) -> str | None:
        """Return the lowest energy once it is low enough."""
        lowest = min((e for e in progress.energies if e is not None), default=math.inf)
        return f"an energy of {lowest:.6g} eV" if lowest <= self.energy else None


@dataclass(frozen=True)
class NoImprovement(StoppingCriterion):
    """Criterion on the number of evaluations since the lowest energy last decreased.

    Where compositions vary, it is the mean of the convex hull over the formulas of the space.
    Initial data count for the lowest energy. Final relaxations count for the lowest energy and not
    for the number.

    Args:
        patience: Number of evaluations without improvement, failed ones included.
        min_improvement: Smallest decrease that is an improvement, eV, or eV per atom of the hull;
            None for a thousandth of the difference between the median and the lowest energy so far.
    """

    patience: int
    min_improvement: float | None = None

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        value = self.min_improvement
        if value is not None and not (math.isfinite(value) and value >= 0):
            condition = "be finite and not negative"
            raise InputError(error_message("min_improvement", condition, value, "In eV."))

    def reason(self, progress: Progress) -> str | None:
        """Return the number of evaluations once it reaches `patience`."""
        initial = progress.lowest_initial_energy
        best, since = math.inf if initial is None else initial, 0
        least = self._min_improvement(progress)
        for i, energy in enumerate(progress.energies):
            if i in progress.relaxation_indices:
                best = best if energy is None else min(best, energy)
                continue
            since += 1
            if energy is not None and energy < best - least:
                best, since = energy, 0
        holds = math.isfinite(best) and since >= self.patience
        return f"{since} evaluations without improvement" if holds else None

    def _min_improvement(self, progress: Progress) -> float:
        """Return the smallest decrease that is an improvement, eV."""
        if self.min_improvement is not None:
            return self.min_improvement
        known = [energy for energy in progress.energies if energy is not None]
        known = [energy for energy in known if math.isfinite(energy)]
        return RELATIVE_IMPROVEMENT * (median(known) - min(known)) if known else 0.0


@dataclass(frozen=True)
class ConsecutiveFailures(StoppingCriterion):
    """Criterion on the number of failures in a row, which ends a run with an error.

    It is part of every run unless the stopping criterion has one of its own, which may have another
    number or none. Counted are failures since the last result of this session, whatever their step;
    evaluations that run side by side count in the order in which they end.

    Where a part p of all structures fails by itself, n failures in a row come once in
    (p⁻ⁿ - 1) / (1 - p) evaluations on average: with the default of 10, once in 2,046 for one
    structure in two, once in 67 for three in four.

    Args:
        n: Number of failures in a row; None switches the criterion off.

    Raises:
        InputError: `n` is no count.

    >>> ConsecutiveFailures(2).reason(Progress((1.0, None, None), n_consecutive_failures=2))
    '2 failures in a row'
    """

    n: int | None = 10

    def __post_init__(self) -> None:
        if self.n is not None:
            check_count("n", self.n, hint="None switches the criterion off.")

    def reason(self, progress: Progress) -> str | None:
        """Return the number of failures once it is reached."""
        count = progress.n_consecutive_failures
        return f"{count} failures in a row" if self.n is not None and count >= self.n else None

    def remaining(self, progress: Progress) -> int | None:
        """Return 0 once the number is reached, also for the final relaxation; else None."""
        return None if self.reason(progress) is None else 0


@dataclass(frozen=True)
class HypervolumeStagnation(StoppingCriterion):
    """Criterion on the relative increase of the hypervolume.

    Both hypervolumes are computed from the results trusted now, under the present reference point.
    Random structures before the first model do not count, and without a front it never holds.

    Args:
        patience: Number of evaluations that a model selected, failed ones included.
        min_relative_improvement: Smallest relative increase that is an improvement.

    Raises:
        InputError: `patience` is no count, or the improvement no positive number.
    """

    patience: int
    min_relative_improvement: float = 1e-3

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        hint = "A fraction: 0.001 is a thousandth."
        check_positive("min_relative_improvement", self.min_relative_improvement, hint)

    def reason(self, progress: Progress) -> str | None:
        """Return the increase once it is too small."""
        count = len(progress.energies)
        if progress.front_history is None or progress.n_model_evaluations < self.patience:
            return None
        before = progress.front_history(count - self.patience).hypervolume
        if before <= 0:
            return None
        gain = progress.front_history(count).hypervolume / before - 1
        if gain >= self.min_relative_improvement:
            return None
        return f"{self.patience} evaluations that raised the hypervolume by {gain:.2%}"


@dataclass(frozen=True)
class FeasibleStructures(StoppingCriterion):
    """Criterion on the number of feasible structures.

    A structure counts once all its outcomes are known, those of the objectives included.

    Args:
        n: Number of structures that keep all constraints.

    Raises:
        InputError: `n` is no count.
    """

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def reason(self, progress: Progress) -> str | None:
        """Return the number once it is reached."""
        if progress.front_history is None:
            return None
        count = progress.front_history(len(progress.energies)).n_feasible
        structures = "structure that keeps" if count == 1 else "structures that keep"
        return f"{count} {structures} all constraints" if count >= self.n else None


def check_criterion_suits_goals(
    criterion: StoppingCriterion,
    optimization_config: OptimizationConfig | None,
    has_compositions: bool = False,
) -> None:
    """Refuse criteria on results that a campaign does not have.

    Args:
        criterion: Stopping criterion; criteria of other classes are not checked.
        optimization_config: Objectives and constraints of the campaign, if any.
        has_compositions: True where the energy above a convex hull is minimized.

    Raises:
        InputError: a criterion on energies with objectives, on fronts without, on constraints where
            there are none, or on one energy where compositions vary.
    """
    for each in _criteria(criterion):
        if optimization_config is not None and isinstance(each, EnergyReached | NoImprovement):
            condition = "be a criterion for objectives"
            hint = "HypervolumeStagnation, FeasibleStructures, Evaluations and WallTime are."
        elif optimization_config is None and isinstance(
            each, HypervolumeStagnation | FeasibleStructures
        ):
            condition = "be a criterion for energies in a campaign without objectives"
            hint = "NoImprovement, EnergyReached, Evaluations and WallTime are."
        elif has_compositions and isinstance(each, EnergyReached):
            condition = "be another criterion where compositions or sizes vary"
            hint = "Each has an energy of its own: NoImprovement, Evaluations and WallTime do."
        elif (
            isinstance(each, FeasibleStructures)
            and optimization_config
            and not optimization_config.constraints
        ):
            condition = "be another criterion in a campaign without constraints"
            hint = "Every structure is feasible: Evaluations counts them."
        else:
            continue
        raise InputError(error_message("stop", condition, type(each).__name__, hint))


def with_evaluations(criterion: StoppingCriterion, n: int) -> StoppingCriterion:
    """Return `criterion` with its number of evaluations set to `n`."""
    kept = tuple(each for each in _criteria(criterion) if not isinstance(each, Evaluations))
    return AnyOf((*kept, Evaluations(n))) if kept else Evaluations(n)


def with_consecutive_failures(criterion: StoppingCriterion) -> StoppingCriterion:
    """Return `criterion` with the default one on failures in a row, unless it has its own."""
    if any(isinstance(each, ConsecutiveFailures) for each in _criteria(criterion)):
        return criterion
    return any_of(ConsecutiveFailures(), criterion)


def consecutive_failures_reason(criterion: StoppingCriterion, progress: Progress) -> str | None:
    """Return the reason of a criterion on failures in a row, None where it does not hold."""
    failures = (each for each in _criteria(criterion) if isinstance(each, ConsecutiveFailures))
    return next((reason for each in failures if (reason := each.reason(progress))), None)

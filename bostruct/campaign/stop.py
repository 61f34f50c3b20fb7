"""When a campaign ends: rules that are asked before every evaluation.

Rules are joined with `|`: the first that holds ends the run. They are not part of a
campaign's identity; a finished campaign goes on when its rule is made more generous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bostruct.campaign.analysis.hypervolume_history import FrontState
from bostruct.errors import InputError, check_count, check_positive, error_message
from bostruct.objectives import OptimizationConfig


@dataclass(frozen=True)
class Progress:
    """What a stop rule may look at.

    Args:
        energies: Of the finished evaluations in the order in which they were asked
            for, eV; None where one failed. What the user gave is not among them.
        seconds: Since this run was started.
        relaxation_indices: Which of them were steps of a relaxation in a check.
        lowest_initial_energy: The lowest energy that the user gave, eV; None without one.
        n_model_evaluations: How many of them a model chose.
        front_history: Where the front of a campaign with goals stood after so many evaluations,
            always under the reference point of now; None in a campaign without. It is
            worked out when a rule asks.
    """

    energies: tuple[float | None, ...] = ()
    seconds: float = 0.0
    relaxation_indices: frozenset[int] = frozenset()
    lowest_initial_energy: float | None = None
    n_model_evaluations: int = 0
    front_history: Callable[[int], FrontState] | None = None

    @property
    def best_index(self) -> int | None:
        """The index of the lowest energy, or None."""
        found = [(e, i) for i, e in enumerate(self.energies) if e is not None]
        return min(found)[1] if found else None


@runtime_checkable
class StoppingCriterion(Protocol):
    """One rule."""

    def reason(self, progress: Progress) -> str | None:
        """Return why the campaign ends here, or None."""
        ...

    def remaining(self, progress: Progress) -> int | None:
        """Return how many more evaluations may be started, or None for any number."""
        ...

    def __or__(self, other: StoppingCriterion) -> StoppingCriterion:
        """Return the rule that ends the run when either of the two does."""
        ...


@dataclass(frozen=True)
class AnyOf:
    """Ends the run when one of its rules does."""

    criteria: tuple[StoppingCriterion, ...]

    def reason(self, progress: Progress) -> str | None:
        """Return the reason of the first rule that has one."""
        reasons = (rule.reason(progress) for rule in self.criteria)
        return next((reason for reason in reasons if reason), None)

    def remaining(self, progress: Progress) -> int | None:
        """Return the room of the tightest rule."""
        rooms = [rule.remaining(progress) for rule in self.criteria]
        return min((room for room in rooms if room is not None), default=None)

    def __or__(self, other: StoppingCriterion) -> StoppingCriterion:
        """Return the rule that also ends with `other`."""
        return any_of(self, other)


def any_of(first: StoppingCriterion, second: StoppingCriterion) -> StoppingCriterion:
    """Return the rule that ends the run when one of the two does."""
    rules: list[StoppingCriterion] = []
    for rule in (first, second):
        rules.extend(rule.criteria if isinstance(rule, AnyOf) else (rule,))
    return AnyOf(tuple(rules))


@dataclass(frozen=True)
class Evaluations:
    """Ends after `n` evaluations; failed ones count, the first ones, those of a check.

    >>> Evaluations(2).reason(Progress((1.0, None)))
    '2 evaluations'
    """

    n: int

    def __post_init__(self) -> None:
        check_count("evaluations", self.n)

    def reason(self, progress: Progress) -> str | None:
        """Return the count once it is reached."""
        reached = len(progress.energies) >= self.n
        return f"{len(progress.energies)} evaluations" if reached else None

    def remaining(self, progress: Progress) -> int | None:
        """Return how many are left."""
        return max(self.n - len(progress.energies), 0)

    __or__ = any_of


@dataclass(frozen=True)
class WallTime:
    """Ends `seconds` after this run was started.

    What is being evaluated then is waited for: leave room for one evaluation.
    """

    seconds: float

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)

    def reason(self, progress: Progress) -> str | None:
        """Return the wall time once it has passed."""
        passed = progress.seconds >= self.seconds
        return f"{progress.seconds:.0f} s of wall time" if passed else None

    def remaining(self, progress: Progress) -> int | None:
        """Return None: time sets no number."""
        return None

    __or__ = any_of


@dataclass(frozen=True)
class EnergyReached:
    """Ends with the first energy at or below `energy` eV."""

    energy: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.energy):
            way_out = "Give the energy in eV at which you are content."
            raise InputError(error_message("energy", "be finite", self.energy, way_out))

    def reason(self, progress: Progress) -> str | None:
        """Return the best energy once it is low enough."""
        best = progress.best_index
        if best is None:
            return None
        energy = progress.energies[best]
        reached = energy is not None and energy <= self.energy
        return f"an energy of {energy:.6g} eV" if reached else None

    def remaining(self, progress: Progress) -> int | None:
        """Return None: an energy sets no number."""
        return None

    __or__ = any_of


@dataclass(frozen=True)
class NoImprovement:
    """Ends when the last `patience` evaluations found no energy lower by `min_improvement` eV.

    Lower than all before, those that the user gave included. The evaluations of a check
    are not counted, but the search has to find lower energies than theirs.

    Args:
        patience: Evaluations since the last improvement, failed ones counted.
        min_improvement: A smaller gain is no improvement, eV.
    """

    patience: int
    min_improvement: float = 1e-3

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        if not (math.isfinite(self.min_improvement) and self.min_improvement >= 0):
            condition = "be finite and not negative"
            raise InputError(
                error_message("min_improvement", condition, self.min_improvement, "In eV.")
            )

    def reason(self, progress: Progress) -> str | None:
        """Return the count once nothing better was found for so long."""
        best, since = (
            math.inf if progress.lowest_initial_energy is None else progress.lowest_initial_energy,
            0,
        )
        for i, energy in enumerate(progress.energies):
            if i in progress.relaxation_indices:
                best = best if energy is None else min(best, energy)
                continue
            since += 1
            if energy is not None and energy < best - self.min_improvement:
                best, since = energy, 0
        stale = math.isfinite(best) and since >= self.patience
        return f"{since} evaluations without improvement" if stale else None

    def remaining(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = any_of


@dataclass(frozen=True)
class HypervolumeStagnation:
    """Ends when the last `patience` evaluations have hardly raised the hypervolume.

    Both hypervolumes are those of the trials as they are believed now, under the
    reference point of now. Random structures before there is a model do not count, and
    while there is no front, nothing stagnates.

    Args:
        patience: Evaluations that a model chose, failed ones counted.
        min_relative_improvement: A smaller share of what it was before is hardly anything.

    Raises:
        InputError: `patience` is no count, or the gain no positive number.
    """

    patience: int
    min_relative_improvement: float = 1e-3

    def __post_init__(self) -> None:
        check_count("patience", self.patience)
        check_positive(
            "min_relative_improvement",
            self.min_relative_improvement,
            "A share: 0.001 is a thousandth.",
        )

    def reason(self, progress: Progress) -> str | None:
        """Return the gain once it is too small."""
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

    def remaining(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = any_of


@dataclass(frozen=True)
class FeasibleStructures:
    """Ends when `n` structures keep all constraints.

    Of each every outcome is known, those of the objectives included.

    Args:
        n: Structures.

    Raises:
        InputError: `n` is no count.
    """

    n: int

    def __post_init__(self) -> None:
        check_count("n", self.n)

    def reason(self, progress: Progress) -> str | None:
        """Return the count once it is reached."""
        if progress.front_history is None:
            return None
        found = progress.front_history(len(progress.energies)).n_feasible
        one = found == 1
        what = "structure that keeps" if one else "structures that keep"
        return f"{found} {what} all constraints" if found >= self.n else None

    def remaining(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = any_of


def check_criterion_suits_goals(
    criterion: StoppingCriterion, optimization_config: OptimizationConfig | None
) -> None:
    """Refuse rules about what a campaign does not look for.

    Args:
        criterion: When it ends; rules of your own are not looked into.
        optimization_config: Of the campaign; None where it looks for a low energy.

    Raises:
        InputError: a rule about energies with goals, about fronts without, or about
            constraints where there are none.
    """
    for each in criterion.criteria if isinstance(criterion, AnyOf) else (criterion,):
        kind = type(each).__name__
        if optimization_config is not None and isinstance(each, EnergyReached | NoImprovement):
            condition = "be a rule for objectives"
            way_out = "HypervolumeStagnation, Satisfied, Evaluations and WallTime are."
        elif optimization_config is None and isinstance(
            each, HypervolumeStagnation | FeasibleStructures
        ):
            condition = "be a rule for energies in a campaign without objectives"
            way_out = "NoImprovement, EnergyReached, Evaluations and WallTime are."
        elif (
            isinstance(each, FeasibleStructures)
            and optimization_config
            and not optimization_config.constraints
        ):
            condition = "be another rule in a campaign without constraints"
            way_out = "Every structure is good enough: Evaluations counts them."
        else:
            continue
        raise InputError(error_message("stop", condition, kind, way_out))


def with_evaluations(criterion: StoppingCriterion, n: int) -> StoppingCriterion:
    """Return `criterion` with its number of evaluations set to `n`."""
    rules = criterion.criteria if isinstance(criterion, AnyOf) else (criterion,)
    kept = tuple(rule for rule in rules if not isinstance(rule, Evaluations))
    return AnyOf((*kept, Evaluations(n))) if kept else Evaluations(n)

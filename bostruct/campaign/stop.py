"""When a campaign ends: rules that are asked before every evaluation.

Rules are joined with `|`: the first that holds ends the run. They are not part of a
campaign's identity; a finished campaign goes on when its rule is made more generous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bostruct.campaign.analysis.hypervolume_history import Standing
from bostruct.errors import InputError, check_count, check_positive, must
from bostruct.objectives import Goals


@dataclass(frozen=True)
class Progress:
    """What a stop rule may look at.

    Args:
        energies: Of the finished evaluations in the order in which they were asked
            for, eV; None where one failed. What the user gave is not among them.
        seconds: Since this run was started.
        checks: Which of them were steps of a relaxation in a check.
        given: The lowest energy that the user gave, eV; None without one.
        searched: How many of them a model chose.
        stood: Where the front of a campaign with goals stood after so many evaluations,
            always under the reference point of now; None in a campaign without. It is
            worked out when a rule asks.
    """

    energies: tuple[float | None, ...] = ()
    seconds: float = 0.0
    checks: frozenset[int] = frozenset()
    given: float | None = None
    searched: int = 0
    stood: Callable[[int], Standing] | None = None

    @property
    def best(self) -> int | None:
        """The index of the lowest energy, or None."""
        found = [(e, i) for i, e in enumerate(self.energies) if e is not None]
        return min(found)[1] if found else None


@runtime_checkable
class Stop(Protocol):
    """One rule."""

    def reason(self, progress: Progress) -> str | None:
        """Return why the campaign ends here, or None."""
        ...

    def room(self, progress: Progress) -> int | None:
        """Return how many more evaluations may be started, or None for any number."""
        ...

    def __or__(self, other: Stop) -> Stop:
        """Return the rule that ends the run when either of the two does."""
        ...


@dataclass(frozen=True)
class Either:
    """Ends the run when one of its rules does."""

    rules: tuple[Stop, ...]

    def reason(self, progress: Progress) -> str | None:
        """Return the reason of the first rule that has one."""
        reasons = (rule.reason(progress) for rule in self.rules)
        return next((reason for reason in reasons if reason), None)

    def room(self, progress: Progress) -> int | None:
        """Return the room of the tightest rule."""
        rooms = [rule.room(progress) for rule in self.rules]
        return min((room for room in rooms if room is not None), default=None)

    def __or__(self, other: Stop) -> Stop:
        """Return the rule that also ends with `other`."""
        return either(self, other)


def either(first: Stop, second: Stop) -> Stop:
    """Return the rule that ends the run when one of the two does."""
    rules: list[Stop] = []
    for rule in (first, second):
        rules.extend(rule.rules if isinstance(rule, Either) else (rule,))
    return Either(tuple(rules))


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

    def room(self, progress: Progress) -> int | None:
        """Return how many are left."""
        return max(self.n - len(progress.energies), 0)

    __or__ = either


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

    def room(self, progress: Progress) -> int | None:
        """Return None: time sets no number."""
        return None

    __or__ = either


@dataclass(frozen=True)
class EnergyReached:
    """Ends with the first energy at or below `energy` eV."""

    energy: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.energy):
            way_out = "Give the energy in eV at which you are content."
            raise InputError(must("energy", "be finite", self.energy, way_out))

    def reason(self, progress: Progress) -> str | None:
        """Return the best energy once it is low enough."""
        best = progress.best
        if best is None:
            return None
        energy = progress.energies[best]
        reached = energy is not None and energy <= self.energy
        return f"an energy of {energy:.6g} eV" if reached else None

    def room(self, progress: Progress) -> int | None:
        """Return None: an energy sets no number."""
        return None

    __or__ = either


@dataclass(frozen=True)
class NoImprovement:
    """Ends when the last `n` evaluations found no energy lower by `tolerance` eV.

    Lower than all before, those that the user gave included. The evaluations of a check
    are not counted, but the search has to find lower energies than theirs.

    Args:
        n: Evaluations since the last improvement, failed ones counted.
        tolerance: A smaller gain is no improvement, eV.
    """

    n: int
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        check_count("n", self.n)
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            condition = "be finite and not negative"
            raise InputError(must("tolerance", condition, self.tolerance, "In eV."))

    def reason(self, progress: Progress) -> str | None:
        """Return the count once nothing better was found for so long."""
        best, since = math.inf if progress.given is None else progress.given, 0
        for i, energy in enumerate(progress.energies):
            if i in progress.checks:
                best = best if energy is None else min(best, energy)
                continue
            since += 1
            if energy is not None and energy < best - self.tolerance:
                best, since = energy, 0
        stale = math.isfinite(best) and since >= self.n
        return f"{since} evaluations without improvement" if stale else None

    def room(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = either


@dataclass(frozen=True)
class HypervolumeStagnation:
    """Ends when the last `n` evaluations have hardly raised the hypervolume.

    Both hypervolumes are those of the trials as they are believed now, under the
    reference point of now. Random structures before there is a model do not count, and
    while there is no front, nothing stagnates.

    Args:
        n: Evaluations that a model chose, failed ones counted.
        gain: A smaller share of what it was before is hardly anything.

    Raises:
        InputError: `n` is no count, or the gain no positive number.
    """

    n: int
    gain: float = 1e-3

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_positive("gain", self.gain, "A share: 0.001 is a thousandth.")

    def reason(self, progress: Progress) -> str | None:
        """Return the gain once it is too small."""
        count = len(progress.energies)
        if progress.stood is None or progress.searched < self.n:
            return None
        before = progress.stood(count - self.n).hypervolume
        if before <= 0:
            return None
        gain = progress.stood(count).hypervolume / before - 1
        if gain >= self.gain:
            return None
        return f"{self.n} evaluations that raised the hypervolume by {gain:.2%}"

    def room(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = either


@dataclass(frozen=True)
class Satisfied:
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
        if progress.stood is None:
            return None
        found = progress.stood(len(progress.energies)).feasible
        one = found == 1
        what = "structure that keeps" if one else "structures that keep"
        return f"{found} {what} all constraints" if found >= self.n else None

    def room(self, progress: Progress) -> int | None:
        """Return None: it is asked again after every evaluation."""
        return None

    __or__ = either


def check_suited(rule: Stop, goals: Goals | None) -> None:
    """Refuse rules about what a campaign does not look for.

    Args:
        rule: When it ends; rules of your own are not looked into.
        goals: Of the campaign; None where it looks for a low energy.

    Raises:
        InputError: a rule about energies with goals, about fronts without, or about
            constraints where there are none.
    """
    for each in rule.rules if isinstance(rule, Either) else (rule,):
        kind = type(each).__name__
        if goals is not None and isinstance(each, EnergyReached | NoImprovement):
            condition = "be a rule for objectives"
            way_out = "HypervolumeStagnation, Satisfied, Evaluations and WallTime are."
        elif goals is None and isinstance(each, HypervolumeStagnation | Satisfied):
            condition = "be a rule for energies in a campaign without objectives"
            way_out = "NoImprovement, EnergyReached, Evaluations and WallTime are."
        elif isinstance(each, Satisfied) and goals and not goals.constraints:
            condition = "be another rule in a campaign without constraints"
            way_out = "Every structure is good enough: Evaluations counts them."
        else:
            continue
        raise InputError(must("stop", condition, kind, way_out))


def limit(rule: Stop, n: int) -> Stop:
    """Return `rule` with its number of evaluations set to `n`."""
    rules = rule.rules if isinstance(rule, Either) else (rule,)
    kept = tuple(rule for rule in rules if not isinstance(rule, Evaluations))
    return Either((*kept, Evaluations(n))) if kept else Evaluations(n)

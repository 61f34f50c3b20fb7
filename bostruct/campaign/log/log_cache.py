"""Steps and trials of a log as its writer holds them in memory.

The writer is the only one that changes the log, so it decodes each row when it is written and never
again: planning costs what the rows of one step cost, not those of all steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from bostruct.campaign.records import Step, Trial


@final
class LogCache:
    """Decoded steps and trials by number, and the trials by state and by key."""

    def __init__(self, steps: Iterable[Step], trials: Iterable[Trial]) -> None:
        self._steps: list[Step] = []
        self._trials: list[Trial] = []
        self._numbers_by_kind: dict[str, set[int]] = {}
        self._numbers_by_state: dict[str, set[int]] = {}
        self._numbers_by_key: dict[str, int] = {}
        self._selections: dict[tuple[str, ...], list[Trial]] = {}
        for step in steps:
            self.put_step(step)
        for trial in trials:
            self.put_trial(trial)

    def put_step(self, step: Step) -> None:
        """Take the step of the next number, or one that was changed."""
        self._steps[step.number : step.number + 1] = [step]
        self._numbers_by_kind.setdefault(step.kind, set()).add(step.number)

    def put_trial(self, trial: Trial) -> None:
        """Take the trial of the next number, or one that was changed."""
        for old in self._trials[trial.number : trial.number + 1]:
            self._numbers_by_state[old.state].discard(old.number)
        self._trials[trial.number : trial.number + 1] = [trial]
        self._numbers_by_state.setdefault(trial.state, set()).add(trial.number)
        self._numbers_by_key[_key_prefix(trial.key)] = trial.number
        self._selections.clear()

    def steps(self) -> list[Step]:
        """Return all steps."""
        return self._steps.copy()

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self._steps)

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self._trials)

    def trials(self, *states: str) -> list[Trial]:
        """Return the trials in the order of their numbers, those in the given states if any.

        Until a trial is put, it is the same list, not to be changed.
        """
        if states not in self._selections:
            selected = self._trials.copy()
            if states:
                by_state = self._numbers_by_state
                numbers = set[int]().union(*(by_state.get(state, ()) for state in states))
                selected = [self._trials[number] for number in sorted(numbers)]
            self._selections[states] = selected
        return self._selections[states]

    def step_numbers(self, kind: str) -> frozenset[int]:
        """Return the numbers of the steps of one kind."""
        return frozenset(self._numbers_by_kind.get(kind, ()))

    def trial_with_key(self, key: str) -> Trial | None:
        """Return the trial of which a key names an attempt, the last or an earlier one."""
        number = self._numbers_by_key.get(_key_prefix(key))
        return None if number is None else self._trials[number]


def _key_prefix(key: str) -> str:
    """Return the part of a key that all attempts at a trial share."""
    return key.rpartition("-")[0]

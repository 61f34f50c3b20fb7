"""Retry of failed trials after a repair, in a folder without its campaign."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import OPEN_STATES, Trial
from bostruct.errors import InputError, error_message


def failed_trials(log: Log, numbers: Sequence[int] | None = None) -> list[Trial]:
    """Return the failed trials that are to be evaluated again.

    Args:
        log: Log of a campaign.
        numbers: Numbers of failed trials; None takes all whose structure has neither an energy nor
            a place among the planned ones by another trial.

    Raises:
        InputError: a trial does not exist or has not failed, or none has.
    """
    trials = log.trial_records()
    failed = {t.number: t for t in trials if t.state == "failed" and not t.is_initial_data}
    if numbers is None:
        known = {t.X.numpy().tobytes() for t in trials if t.state in ("done", *OPEN_STATES)}
        found = [t for t in failed.values() if t.X.numpy().tobytes() not in known]
        if not found:
            value = f"{log.folder}, where none is left to evaluate again"
            raise InputError(error_message("folder", "hold failed trials", value))
        return found
    for number in numbers:
        if number not in failed:
            state = "given with its energy"
            if not 0 <= number < len(trials):
                state = f"none of the {len(trials)} trials of the log"
            elif not trials[number].is_initial_data:
                state = trials[number].state
            hint = "`bostruct show` prints the last failures."
            raise InputError(error_message("trial", "have failed", f"{number}, {state}", hint))
    return [failed[number] for number in sorted(set(numbers))]


def retry_trials(folder: Path, numbers: Sequence[int] | None = None) -> list[int]:
    """Plan failed trials again, which the next run evaluates first; return their numbers.

    The log keeps the reasons of their former attempts, see `Log.attempts`.

    Args:
        folder: Run folder.
        numbers: Numbers of failed trials; None takes all.

    Raises:
        InputError: a trial does not exist or has not failed, or none has.
        LockedError: another process writes there.
        LogError: the folder holds no campaign, cannot be written, or has an earlier log format.
    """
    log = open_log(folder)
    failed_trials(log, numbers)
    writer = LogWriter(
        folder, log.description, log.seed, space=log.space, surrogate=log.surrogate, device="cpu"
    )
    status, text = "failed", "failed trials could not be planned again"
    try:
        trials = failed_trials(writer, numbers)  # another process may have been faster
        writer.mark_asked_again(trials, "asked by the user")
        status, text = "paused", f"{len(trials)} failed trials were planned again"
    finally:
        writer.close(status, text)
    return [trial.number for trial in trials]

"""Retraction of the result of a trial, in a folder without its campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bostruct.campaign.log.doubt import DoubtScreen
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, error_message


def find_result(log: Log, number: int, reason: str) -> Trial:
    """Return a trial with a result, on which a judgement is to be recorded.

    Raises:
        InputError: there is no such trial, it has no result, or no reason is given.
    """
    trials = log.trial_records()
    if not 0 <= number < len(trials):
        condition = f"be 0 to {len(trials) - 1}, one of the log"
        hint = "`bostruct show` and `bostruct front` print the numbers."
        raise InputError(error_message("trial", condition, number, hint))
    trial = trials[number]
    if trial.state != "done":
        raise InputError(error_message("trial", "have a result", f"{number}, {trial.state}"))
    if not reason.strip():
        condition = "be a sentence for the readers of the log"
        raise InputError(error_message("reason", condition, repr(reason)))
    return trial


def record_judgement(
    folder: Path, check: Callable[[Log], Trial], mark: Callable[[LogWriter], None], name: str
) -> None:
    """Record a judgement on a trial in a folder without its campaign.

    Args:
        folder: Run folder.
        check: Check that raises where the judgement is not possible, before and after the folder
            is locked: another process may have been faster.
        mark: Function that records the judgement.
        name: Participle that says what becomes of the trial.

    Raises:
        LockedError: another process writes there.
        LogError: the folder holds no campaign, cannot be written, or has an earlier log format.
    """
    log = open_log(folder)
    number = check(log).number
    writer = LogWriter(
        folder, log.description, log.seed, space=log.space, surrogate=log.surrogate, device="cpu"
    )
    status, text = "failed", f"trial {number} could not be {name}"
    try:
        check(writer)
        mark(writer)
        minimizes_energy = log.optimization_config is None
        # Without the surrogate the doubts about energies far below all others would go.
        if log.space is not None and (log.surrogate is not None or not minimizes_energy):
            DoubtScreen(writer, log.space, log.surrogate if minimizes_energy else None)
        status, text = "paused", f"trial {number} was {name}"
    finally:
        writer.close(status, text)


def retract_trial(folder: Path, number: int, reason: str) -> None:
    """Retract the result of a trial: the log keeps it, and nothing is learned from it any more.

    Raises:
        InputError: there is no such trial, it has no result, or no reason is given.
        LockedError: another process writes there.
        LogError: the folder holds no campaign, cannot be written, or has an earlier log format.
    """
    record_judgement(
        folder,
        lambda log: find_result(log, number, reason),
        lambda writer: writer.mark_retracted(number, reason),
        "retracted",
    )

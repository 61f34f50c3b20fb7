"""Retraction of the result of a trial, in a folder without its campaign."""

from __future__ import annotations

from pathlib import Path

from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, error_message


def check_retractable(log: Log, number: int, reason: str) -> Trial:
    """Return a trial whose result may be retracted.

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


def retract_trial(folder: Path, number: int, reason: str) -> None:
    """Retract the result of a trial: the log keeps it, and nothing is learned from it any more.

    Args:
        folder: Run folder.
        number: Number of the trial.
        reason: One sentence.

    Raises:
        InputError: there is no such trial, it has no result, or no reason is given.
        LockedError: another process writes there.
        LogError: the folder holds no campaign, cannot be written, or has an earlier log format.
    """
    log = open_log(folder)
    check_retractable(log, number, reason)
    writer = LogWriter(
        folder, log.description, log.seed, space=log.space, surrogate=log.surrogate, device="cpu"
    )
    status, text = "failed", f"trial {number} could not be retracted"
    try:
        check_retractable(writer, number, reason)  # another process may have been faster
        writer.mark_retracted(number, reason)
        status, text = "paused", f"trial {number} was retracted"
    finally:
        writer.close(status, text)

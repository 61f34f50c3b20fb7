"""Taking back what a trial found, in a folder whose campaign is not at hand."""

from __future__ import annotations

from pathlib import Path

from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, error_message


def check_retractable(log: Log, number: int, reason: str) -> Trial:
    """Return a trial that may be retracted.

    Raises:
        InputError: there is no such trial, it found nothing, or no reason is given.
    """
    trials = log.trial_records()
    if not 0 <= number < len(trials):
        condition = f"be 0 to {len(trials) - 1}, one of the log"
        way_out = "`bostruct show` and `bostruct front` print the numbers."
        raise InputError(error_message("trial", condition, number, way_out))
    found = trials[number]
    if found.state != "done":
        state = f"{number}, {found.state}"
        raise InputError(error_message("trial", "be one that found something", state))
    if not reason.strip():
        condition = "be a sentence for who reads the log"
        raise InputError(error_message("reason", condition, repr(reason)))
    return found


def retract_trial(folder: Path, number: int, reason: str) -> None:
    """Record that what a trial found is not believed any more.

    A campaign that is run again learns without it; the log keeps the numbers.

    Args:
        folder: The run folder.
        number: Of the trial.
        reason: One sentence.

    Raises:
        InputError: there is no such trial, it found nothing, or no reason is given.
        LockedError: another process writes there.
        LogError: it is no run folder, cannot be written, or was begun by a version
            that could not retract.
    """
    log = open_log(folder)
    check_retractable(log, number, reason)
    ledger = LogWriter(
        folder,
        log.description,
        log.seed,
        space=log.space,
        surrogate=log.surrogate,
        device="cpu",
    )
    status, text = "paused", f"trial {number} was retracted"
    try:
        check_retractable(ledger, number, reason)  # someone may have been faster
        ledger.mark_retracted(number, reason)
    except BaseException:
        status, text = "failed", f"trial {number} could not be retracted"
        raise
    finally:
        ledger.close(status, text)

"""Dismissal of the doubt about the result of a trial."""

from __future__ import annotations

from pathlib import Path

from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.retraction import find_result, record_judgement
from bostruct.campaign.records import Trial
from bostruct.errors import InputError, error_message


def check_doubted(log: Log, number: int, reason: str) -> Trial:
    """Return a trial whose result is doubted, so that the doubt can be dismissed.

    Raises:
        InputError: there is no such trial, its result is not doubted, or no reason is given.
    """
    trial = find_result(log, number, reason)
    if not trial.doubt:
        condition, hint = "have a doubted result", "`bostruct show` lists the doubts."
        state = f"trusted already, {trial.trust}" if trial.trust else "not doubted"
        raise InputError(error_message("trial", condition, f"{number}, {state}", hint))
    return trial


def trust_trial(folder: Path, number: int, reason: str) -> None:
    """Dismiss the doubt about the result of a trial: it is learnt from, and never doubted again.

    Raises:
        InputError: there is no such trial, its result is not doubted, or no reason is given.
        LockedError: another process writes there.
        LogError: the folder holds no campaign, cannot be written, or has an earlier log format.
    """
    record_judgement(
        folder,
        lambda log: check_doubted(log, number, reason),
        lambda writer: writer.mark_trusted(number, reason),
        "trusted",
    )

"""List of all campaigns below a folder, a line each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from bostruct.campaign.energy_above_hull import SystemHull
from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.malformed_log import reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import DATABASE_NAME
from bostruct.campaign.report.html.methods_text import subject_text
from bostruct.campaign.report.summary import best_evaluation, campaign_status
from bostruct.errors import LogError

COLUMNS = ("folder", "searched", "status", "seed", "evaluations", "failed", "best")


@final
@dataclass(frozen=True)
class ListedCampaign:
    """One campaign of a list.

    Attributes:
        folder: Run folder, relative to the one that was searched.
        subject: Structures that are searched, "" where the log cannot be read.
        status: Status, as in `CampaignSummary`, or the reason why the log cannot be read.
        seed: Seed; None where the log cannot be read.
        n_evaluations: Number of evaluations, failed ones included.
        n_failed: Number of failed evaluations.
        best: Lowest energy or size of the front, with its unit; "" without one.
    """

    folder: str
    subject: str
    status: str
    seed: int | None = None
    n_evaluations: int = 0
    n_failed: int = 0
    best: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Values of the columns as text."""
        if self.seed is None:
            return self.folder, self.subject, self.status, "", "", "", ""
        counts = (str(self.seed), str(self.n_evaluations), str(self.n_failed))
        return self.folder, self.subject, self.status, *counts, self.best


def list_campaigns(folder: Path) -> list[ListedCampaign]:
    """Return the campaigns in a folder and below it, by the names of their folders.

    The campaigns that a campaign keeps in its own run folder are a part of it, and not listed.

    Raises:
        LogError: there is no such folder.
    """
    if not folder.is_dir():
        raise LogError(f"{folder} is no folder.")
    return [_listed(path, os.path.relpath(path, folder)) for path in _run_folders(folder)]


def list_lines(campaigns: Sequence[ListedCampaign]) -> list[str]:
    """Return a list of campaigns as a table with a line of names above."""
    rows = [COLUMNS, *(campaign.cells for campaign in campaigns)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, names, files in os.walk(folder):
        names.sort()
        if DATABASE_NAME in files:
            names.clear()
            yield Path(path)


def _listed(path: Path, name: str) -> ListedCampaign:
    try:
        return _read_campaign(open_log(path), name)
    except LogError as error:
        return ListedCampaign(name, "", str(error))


@reads_log
def _read_campaign(log: Log, name: str) -> ListedCampaign:
    trials, sessions = log.trial_records(), log.sessions()
    finished = [trial for trial in trials if trial.is_finished and not trial.is_initial_data]
    return ListedCampaign(
        folder=name,
        subject=subject_text(log.description),
        status=campaign_status(log, sessions[-1] if sessions else {})[0],
        seed=log.seed,
        n_evaluations=len(finished),
        n_failed=sum(trial.state == "failed" for trial in finished),
        best=_best_text(log),
    )


def _best_text(log: Log) -> str:
    if log.optimization_config is not None:
        return f"{len(log.pareto_front().points)} on the front"
    hull, trials = SystemHull.from_log(log), log.trial_records()
    if hull is not None:
        on_hull = [t for t in trials if hull.is_complete and hull.energy_above(t) == 0]
        return f"{len(on_hull)} on the hull"
    initial_data = [trial for trial in trials if trial.is_initial_data]
    finished = [trial for trial in trials if trial.is_finished and not trial.is_initial_data]
    best = best_evaluation(finished, initial_data)
    return "" if best is None else f"{best.value:.6f} eV"

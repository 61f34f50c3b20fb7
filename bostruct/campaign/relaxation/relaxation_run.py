"""Relaxation of one structure as a campaign of its own, in a subfolder of the run folder.

Nothing but a final relaxation happens in it. So its evaluations are counted, logged and resumed as
all others, in the coordinates in which all atoms move, which may not be those of the search.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from torch import Tensor

from bostruct.campaign.log.from_description import open_log
from bostruct.campaign.log.malformed_log import refuse_malformed
from bostruct.campaign.log.run_folder import database_path
from bostruct.campaign.records import RelaxationReport, Trial, to_bytes
from bostruct.spaces import Space
from bostruct.structures import Structures

RELAXATION_FOLDER_NAME = "relaxations"
"""Name of the folder in a run folder that holds the relaxations of single structures."""

TRIAL_PREFIX, MINIMUM_PREFIX = "trial-", "minimum-"
"""Beginnings of the names of relaxations of evaluated structures, and of other ones."""

DIGEST_LENGTH = 12
"""Hexadecimal digits that tell structures without a trial apart."""


@final
@dataclass(frozen=True, eq=False)
class RelaxationRun:
    """Relaxation of one structure as its log tells it.

    Attributes:
        folder: Folder of the relaxation.
        trial: Number of the trial of the search that it began from; None of a structure that had
            not been evaluated.
        space: Space of its structures, of all atoms; None where bostruct does not have it.
        start: First structure; None where bostruct does not have the space.
        energies: Energies of its evaluations in order, eV; None where one failed or is doubted.
        end: Relaxed trial, else the one of the lowest energy so far, with its structure if there
            is a space; None without any.
        report: Progress; None before the first record of it.
    """

    folder: Path
    trial: int | None
    space: Space | None
    start: Structures | None
    energies: tuple[float | None, ...]
    end: Trial | None
    report: RelaxationReport | None

    @classmethod
    def from_folder(cls, folder: Path) -> RelaxationRun:
        """Return the relaxation in a folder.

        Raises:
            LogError: the folder holds no readable log.
        """
        log = open_log(folder)
        with refuse_malformed(folder):
            trials = log.trial_records()
            report = next(iter(log.relaxations()), None)
            known = [trial for trial in trials if trial.is_known and trial.enthalpy is not None]
            ends = [t for t in known if report is not None and t.number == report.relaxed_trial]
            ends = ends or sorted(known, key=lambda t: (t.enthalpy, t.number))
            end = log.with_structures(ends[:1])[0] if ends else None
            start = log.with_structures(trials[:1])[0].structures if trials else None
        number = folder.name.removeprefix(TRIAL_PREFIX)
        return cls(
            folder=folder,
            trial=int(number) if number != folder.name and number.isdigit() else None,
            space=log.space,
            start=start,
            energies=tuple(
                trial.enthalpy if trial.is_known else None
                for trial in trials
                if trial.is_finished and not trial.is_initial_data
            ),
            end=end,
            report=report,
        )

    @property
    def is_converged(self) -> bool:
        """True if forces are below the tolerance of the relaxation."""
        return self.report is not None and self.report.converged

    def report_of_search(self) -> RelaxationReport | None:
        """Return the progress with the number of the search's trial, None without one."""
        if self.report is None or self.trial is None:
            return None
        state = f"{self.report.state}, all atoms, in {RELAXATION_FOLDER_NAME}/{self.folder.name}"
        return replace(self.report, trial=self.trial, relaxed_trial=self.trial, state=state)


def read_relaxation_runs(folder: Path) -> list[RelaxationRun]:
    """Return the relaxations of single structures in a run folder, by their names.

    Raises:
        LogError: one of them is not readable.
    """
    path = folder / RELAXATION_FOLDER_NAME
    names = sorted(path.iterdir()) if path.is_dir() else []
    return [RelaxationRun.from_folder(each) for each in names if database_path(each).is_file()]


def relaxation_folder(folder: Path, trial: int | None, X: Tensor) -> Path:
    """Return the folder of the relaxation of a structure.

    Args:
        folder: Run folder.
        trial: Number of its trial; None where it was not evaluated.
        X: Coordinates `[d]` of the structure.
    """
    name = f"{MINIMUM_PREFIX}{hashlib.sha256(to_bytes(X)).hexdigest()[:DIGEST_LENGTH]}"
    if trial is not None:
        name = f"{TRIAL_PREFIX}{trial:06d}"
    return folder / RELAXATION_FOLDER_NAME / name

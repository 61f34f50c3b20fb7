"""Relaxation of single structures with the evaluator, each in a folder and a log of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor

from bostruct.campaign.analysis.best_trials import best_trials
from bostruct.campaign.components import CampaignComponents
from bostruct.campaign.initial_structures import InitialData
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.loop import run_loop
from bostruct.campaign.planning.radius_correction import (
    logged_radius_factors,
    with_radius_factors,
)
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.records import Trial
from bostruct.campaign.relaxation.all_atoms import all_atoms_space
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.relaxation.relaxation_run import (
    read_relaxation_runs,
    relaxation_folder,
)
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Progress, StoppingCriterion
from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluation
from bostruct.evaluators.evaluation_context import KeepFolders
from bostruct.spaces import Space


@final
@dataclass(frozen=True)
class StartEvaluated(StoppingCriterion):
    """Criterion that ends the search once the structure to relax was evaluated.

    Where that has failed nothing is relaxed: no other structure is searched in its place.

    Args:
        max_evaluations: Number of evaluations that the relaxation may take; None for any number.
        is_time_up: Function of the wall time, s, that says whether it is up.
    """

    max_evaluations: int | None = None
    is_time_up: Callable[[float], bool] | None = None

    def reason(self, progress: Progress) -> str | None:
        """Return that there is nothing to search, once there is a result."""
        energies = (progress.lowest_initial_energy, *progress.energies)
        if any(energy is not None for energy in energies):
            return "one structure, which was to be relaxed"
        return "the structure to relax has no energy" if progress.energies else None

    def remaining(self, progress: Progress) -> int | None:
        """Return the number of evaluations left."""
        if self.is_time_up is not None and self.is_time_up(progress.seconds):
            return 0
        if self.max_evaluations is None:
            return None
        return max(self.max_evaluations - len(progress.energies), 0)


@final
@dataclass(frozen=True)
class SeparateRelaxation:
    """Relaxations of structures of an open campaign, each a campaign of its own.

    Args:
        session: Session of the campaign.
        settings: Tolerance and number of steps.
        executor: Executor of the evaluations.
        progress_line: Line that shows the progress.
        keep: Working folders of evaluations that stay.
    """

    session: Session
    settings: FinalRelaxation
    executor: Executor
    progress_line: ProgressLine
    keep: KeepFolders = "failed"

    def relax_best(self, stop: StoppingCriterion, start: float) -> None:
        """Relax the best structures within a stopping criterion, and record how far they are.

        Args:
            stop: Criterion of the campaign.
            start: Reading of the monotonic clock at which the run began, s.
        """
        components, writer = self.session.components, self.session.writer
        trials = writer.trial_records()
        count = self.settings.n_structures
        for trial in best_trials(trials, count, components.space):
            progress = self.session.progress(time.monotonic() - start)
            before = progress.seconds
            remaining = stop.remaining(progress)
            if remaining == 0:
                break
            n_done = self.session.n_separate_evaluations(trial.number)

            def is_time_up(seconds: float, before: float = before) -> bool:
                return stop.reason(Progress(seconds=before + seconds)) is not None

            most = None if remaining is None else remaining + n_done
            self.relax(trial.X, trial, StartEvaluated(most, is_time_up))
        self.session.record_relaxations()

    def relax(
        self,
        X: Tensor,
        trial: Trial | None,
        stop: StartEvaluated,
        folder: Path | None = None,
    ) -> None:
        """Relax one structure, or go on where an earlier run has ended.

        Args:
            X: Coordinates `[d]` of the structure in the space of the campaign.
            trial: Trial in which it was evaluated; None where it was not.
            stop: Criterion on the number of evaluations, those of earlier runs included.
            folder: Folder of an earlier run; None takes that of the trial or of X.

        Raises:
            InputError: the structure is not in the space of all atoms.
        """
        components, writer = self.session.components, self.session.writer
        number = None if trial is None else trial.number
        relaxed = CampaignComponents(
            space=all_atoms_space(self._space),
            evaluator=components.evaluator,
            surrogate=components.surrogate,
            acquisition=components.acquisition,
            search=components.search,
            n_initial=0,
            batch_size=1,
            initial_data=self._initial_data(X, trial),
            final_relaxation=FinalRelaxation(1, self.settings.fmax, self.settings.max_steps),
        )
        child = LogWriter(
            folder or relaxation_folder(writer.folder, number, X),
            relaxed.description(),
            writer.seed,
            space=relaxed.space,
            surrogate=relaxed.surrogate,
            device=str(self.session.device),
        )
        status, reason = "interrupted", "run the campaign again to go on"
        try:
            child_session = Session(relaxed, child, self.session.device)
            reason = run_loop(child_session, self.executor, stop, self.progress_line, self.keep)
            status = "finished"
        finally:
            child.close(status, reason)
            self.session.relaxation_runs = read_relaxation_runs(writer.folder)

    @property
    def _space(self) -> Space:
        """Space of the campaign with its last radii, within which its structures are."""
        factors = logged_radius_factors(self.session.writer.steps())
        return with_radius_factors(self.session.components.space, factors)

    def _initial_data(self, X: Tensor, trial: Trial | None) -> InitialData:
        """Return one structure in the space of all atoms, with what is known of its energy."""
        space = self._space
        all_atoms = all_atoms_space(space)
        x = X if all_atoms is space else all_atoms.encode(space.decode(X))[0].double().cpu()
        if not bool(all_atoms.contains(x)):
            condition = "be one that all atoms can be relaxed from, with bonds that are whole"
            value = "one outside of the space of all atoms"
            raise InputError(error_message("structure", condition, value))
        X, empty = x.unsqueeze(0), x.new_zeros(0, len(x))
        if trial is None or trial.energy is None or trial.forces is None:
            return InitialData(empty, (), X)
        result = Evaluation(trial.energy, trial.forces, trial.properties, stress=trial.stress)
        return InitialData(X, (result,), empty)

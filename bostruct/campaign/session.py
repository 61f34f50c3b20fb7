"""A campaign that is open in a run folder: `ask`, `tell`, and what is between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import median
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.hypervolume_history import FrontState, front_state_after
from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.campaign.analysis.pareto_front import resolve_reference_point
from bostruct.campaign.components import CampaignComponents
from bostruct.campaign.log.retraction import check_retractable
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.planning.adaptive_kappa import adapt_kappa_factor
from bostruct.campaign.planning.search_effort import choose_effort
from bostruct.campaign.planning.step import initial_data_step, plan_step
from bostruct.campaign.planning.step_context import StepContext
from bostruct.campaign.records import OPEN_STATES, Trial
from bostruct.campaign.relaxation.final_relaxation import (
    FinalRelaxation,
    missing_forces_message,
)
from bostruct.campaign.relaxation.relaxation_state import RelaxationQueue
from bostruct.campaign.stop import Progress
from bostruct.errors import ExhaustedError, InputError, error_message
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.base import check_evaluation, evaluation_limits

FINISHED_TRIALS_QUERY = """
SELECT CASE t.state WHEN 'done' THEN t.energy END AS energy, t.attempt, t.seconds,
    t.step, s.kind
FROM bostruct_trial t JOIN bostruct_step s ON s.number = t.step
WHERE t.state IN ('done', 'failed', 'retracted') ORDER BY t.number
"""


@final
class Session:
    """The steps of one campaign in one folder, written by this process alone.

    Args:
        components: What the campaign is made of.
        writer: Its log.
        device: Of the tensor work.
    """

    def __init__(
        self, components: CampaignComponents, writer: LogWriter, device: torch.device
    ) -> None:
        self.components = components
        self.writer = writer
        self.device = device
        self._started_trials: set[int] = set()  # handed out in this session
        start = components.initial_data
        if start is not None and len(start.X_evaluated) and not writer.steps():
            writer.write_step(initial_data_step(start))

    def planned_trials(self) -> list[Trial]:
        """Return the trials that are planned and not handed out."""
        trials = self.writer.trial_records(*OPEN_STATES)
        return [trial for trial in trials if trial.number not in self._started_trials]

    def plan_step(self, q: int) -> list[Trial]:
        """Plan the next step and return its trials, recorded.

        Raises:
            ExhaustedError: no structure is left that was not asked for.
        """
        ledger = self.writer
        steps, trials = ledger.steps(), ledger.trial_records()
        asked = [trial for trial in trials if not trial.is_initial_data]
        effort = choose_effort(self.components.search, asked, steps)
        bold = adapt_kappa_factor(trials)
        task = StepContext(self.components, ledger.seed, self.device, len(steps), q, effort, bold)
        planned = plan_step(task, trials)
        if len(planned.X) == 0:
            raise ExhaustedError(
                "every structure found in the space has been evaluated already: "
                "the campaign has nothing left to ask for."
            )
        return ledger.write_step(planned)

    def is_relaxation_due(self) -> bool:
        """Return whether a check comes before the next step of the search.

        That is where one has begun, or where the last step brought the evaluations of
        the search past a multiple of `every`.
        """
        check = self.components.final_relaxation
        if check is None or not self.writer.steps():
            return False
        if self._relaxation_queue(check).has_started:
            return True
        rows = [row for row in self.writer.query(FINISHED_TRIALS_QUERY) if row["attempt"]]
        searched = [row["step"] for row in rows if row["kind"] != "relaxation"]
        if check.interval is None or not searched:
            return False
        before = len(searched) - searched.count(max(searched))
        return len(searched) // check.interval > before // check.interval

    def plan_relaxation_step(self) -> list[Trial]:
        """Plan the next step of the check; return its trial, or none if it is through.

        Raises:
            InputError: the evaluator has no forces.
        """
        check = self.components.final_relaxation
        if check is None:
            return []
        self.require_forces()
        found = self._relaxation_queue(check)
        planned = found.next_step()
        self.writer.write_relaxation_report(found.reports())
        return [] if planned is None else self.writer.write_step(planned)

    def planned_relaxation_trials(self) -> list[Trial]:
        """Return the trials of a check that are planned and not handed out."""
        kinds = {step.number: step.kind for step in self.writer.steps()}
        return [trial for trial in self.planned_trials() if kinds[trial.step] == "relaxation"]

    def record_relaxations(self) -> None:
        """Record how far the check is, at the end of a run."""
        if self.components.final_relaxation is not None:
            self.writer.write_relaxation_report(
                self._relaxation_queue(self.components.final_relaxation).reports()
            )

    def require_forces(self) -> None:
        """Refuse to go on without the forces that a check needs.

        Raises:
            InputError: the evaluator returned none.
        """
        query = (
            "SELECT number FROM bostruct_trial WHERE state = 'done' "
            "AND attempt > 0 AND forces IS NULL LIMIT 1"
        )
        found = self.writer.query(query) if self.components.final_relaxation is not None else []
        if found:
            raise InputError(missing_forces_message(f"none for trial {found[0]['number']}"))

    def _relaxation_queue(self, final_relaxation: FinalRelaxation) -> RelaxationQueue:
        steps, trials = self.writer.steps(), self.writer.trial_records()
        return RelaxationQueue(final_relaxation, self.components.space, steps, trials)

    def start_evaluations(self, trials: Sequence[Trial]) -> list[Trial]:
        """Record that energies are asked for; return the trials with structures."""
        self.writer.mark_running(trials)
        self._started_trials.update(trial.number for trial in trials)
        return self.writer.with_structures(trials)

    def tell(self, trial: Trial | str, result: Evaluation | Failure) -> None:
        """Record what came of a trial."""
        found = self._find_trial(trial)
        if found.is_finished:
            raise InputError(_finished_message(found))
        if isinstance(result, Evaluation):
            atoms = len(self.components.space.decode(found.X).positions)
            result = check_evaluation(result, atoms, **evaluation_limits(self.components.evaluator))
        elif not isinstance(result, Failure):
            kind = type(result).__name__
            raise InputError(error_message("result", "be an Evaluation or a Failure", kind))
        elif result.retryable and not found.retryable:
            self.writer.mark_retry(found, result)
            self._started_trials.discard(found.number)
            return
        self.writer.write_result(found.number, result)

    def retract(self, trial: Trial | int | str, reason: str) -> None:
        """Take back what a trial found."""
        number = trial if isinstance(trial, int) else self._find_trial(trial).number
        self.writer.mark_retracted(check_retractable(self.writer, number, reason).number, reason)

    def abandon(self, trial: Trial | str, reason: str) -> None:
        """Record that the energy of a trial will not be asked for any more."""
        found = self._find_trial(trial)
        if found.state not in OPEN_STATES:
            raise InputError(_finished_message(found))
        self.writer.mark_abandoned(found.number, reason)

    def progress(self, seconds: float) -> Progress:
        """Return what a stop rule looks at, `seconds` after the run was started."""
        rows = self.writer.query(FINISHED_TRIALS_QUERY)
        asked = [row for row in rows if row["attempt"]]
        known = [row["energy"] for row in rows if not row["attempt"]]
        checks = (i for i, row in enumerate(asked) if row["kind"] == "relaxation")
        return Progress(
            energies=tuple(row["energy"] for row in asked),
            seconds=seconds,
            relaxation_indices=frozenset(checks),
            lowest_initial_energy=min((e for e in known if e is not None), default=None),
            n_model_evaluations=sum(row["kind"] == "model" for row in asked),
            front_history=self._front_history(),
        )

    def _front_history(self) -> Callable[[int], FrontState] | None:
        """Return what says where the front stood; None in a campaign without goals.

        Nothing is read or computed before it is asked, and nothing twice after.
        """
        goals, ledger = self.components.optimization_config, self.writer
        if goals is None:
            return None

        @cache
        def believed() -> tuple[list[Trial], Tensor | None]:
            trials = ledger.trial_records("done", "failed", "retracted")
            return trials, resolve_reference_point(
                outcome_matrix(trials, goals), ledger.steps(), goals
            )[0]

        @cache
        def stood(n: int) -> FrontState:
            trials, reference = believed()
            return front_state_after(trials, goals, reference, n)

        return stood

    def median_evaluation_seconds(self) -> float:
        """Return what an evaluation takes, s; 0 before there is one."""
        rows = self.writer.query(FINISHED_TRIALS_QUERY)
        found = [row["seconds"] for row in rows if row["attempt"]]
        return median(found) if found else 0.0

    def _find_trial(self, trial: Trial | str) -> Trial:
        key = trial if isinstance(trial, str) else trial.key
        # A late result of an earlier attempt is as good as that of the last one.
        wanted = key.rpartition("-")[0]
        for found in self.writer.trial_records():
            if found.key.rpartition("-")[0] == wanted:
                return found
        raise InputError(error_message("trial", "be one of this campaign", repr(key)))


def _finished_message(trial: Trial) -> str:
    found = f"{trial.number}, {trial.state}"
    return error_message("trial", "be one without an outcome", found)

"""Session of a campaign in a run folder: planning, start and results of evaluations."""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import takewhile
from statistics import median
from typing import final

import torch
from torch import Tensor

from bostruct.campaign.analysis.hypervolume_history import FrontState, front_state
from bostruct.campaign.analysis.pareto_front import resolve_reference_point
from bostruct.campaign.components import CampaignComponents
from bostruct.campaign.energy_above_hull import add_to_hull, mean_hull_history
from bostruct.campaign.enthalpy import (
    missing_stress_message,
    needs_stress,
    pressure_of,
    with_pressure_energy,
)
from bostruct.campaign.log.doubt import DoubtScreen
from bostruct.campaign.log.retraction import find_result
from bostruct.campaign.log.retry import failed_trials
from bostruct.campaign.log.run_folder import evaluation_folder
from bostruct.campaign.log.trust import check_doubted
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.planning.force_consistency import contradiction_at_step
from bostruct.campaign.planning.radius_correction import (
    logged_radius_factors,
    with_radius_factors,
)
from bostruct.campaign.planning.step import initial_data_step
from bostruct.campaign.planning.step_planner import StepPlanner
from bostruct.campaign.planning.trial_columns import TrialColumns
from bostruct.campaign.records import FINISHED_STATES, OPEN_STATES, PlannedStep, Trial
from bostruct.campaign.relaxation.all_atoms import relaxes_in_other_space
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation, missing_forces_message
from bostruct.campaign.relaxation.relaxation_run import RelaxationRun, read_relaxation_runs
from bostruct.campaign.relaxation.relaxation_state import RelaxationQueue
from bostruct.campaign.retry_policy import AT_ONCE, RetryPolicy
from bostruct.campaign.stop import Progress, StoppingCriterion, consecutive_failures_reason
from bostruct.errors import ExhaustedError, InputError, error_message
from bostruct.evaluators import Evaluation, EvaluationContext, Failure
from bostruct.evaluators.base import check_result, evaluation_limits
from bostruct.spaces import Pool

NO_ENERGY = "the evaluator returned no energy, which a campaign without objectives searches by"
"""Reason of the failure of an evaluation that returned other outcomes only."""


LAST_RESULTS_QUERY = """
SELECT number, state FROM bostruct_trial
WHERE attempt > 0 AND state IN ('done', 'failed', 'retracted') ORDER BY finished DESC, number DESC
"""

N_LAST_REASONS = 3
"""Reasons of failures in the message of a run that ends because of them."""


@final
class Session:
    """Campaign opened for writing in one run folder by one process."""

    def __init__(
        self,
        components: CampaignComponents,
        writer: LogWriter,
        device: torch.device,
        retries: RetryPolicy = AT_ONCE,
    ) -> None:
        self.components = components
        self.writer = writer
        self._retries = retries
        self._retry_times: dict[int, float] = {}  # of trials, on the monotonic clock
        self._planner = StepPlanner(components, writer.seed, device)
        # By the number of later evaluations: each of these fronts moves on with the campaign.
        self._front_columns: defaultdict[int, TrialColumns] = defaultdict(TrialColumns)
        self._n_consecutive_failures = 0  # since the last result of this session
        self._has_warned = False
        data = components.initial_data
        if data is not None and len(data.X_evaluated) and not writer.steps():
            writer.write_step(initial_data_step(data, components.learned_objectives))
        minimizes_energy = components.optimization_config is None
        surrogate = components.surrogate if minimizes_energy else None
        self._doubts = DoubtScreen(writer, components.space, surrogate)
        self.relaxation_runs: list[RelaxationRun] = read_relaxation_runs(writer.folder)

    @property
    def relaxes_separately(self) -> bool:
        """True if the final relaxation moves other coordinates than those of the space."""
        components = self.components
        return components.final_relaxation is not None and relaxes_in_other_space(components.space)

    def n_separate_evaluations(self, trial: int) -> int:
        """Return how many evaluations the relaxation of a trial in its own folder has taken."""
        return sum(len(run.energies) for run in self.relaxation_runs if run.trial == trial)

    @property
    def device(self) -> torch.device:
        """Device of the tensor work."""
        return self._planner.device

    def planned_trials(self) -> list[Trial]:
        """Return the trials whose evaluation has not begun."""
        return self.writer.trial_records("planned")

    def ready_trials(self) -> list[Trial]:
        """Return the planned trials that no delay of a retry keeps."""
        now = time.monotonic()
        return [t for t in self.planned_trials() if self._retry_times.get(t.number, now) <= now]

    @property
    def seconds_to_retry(self) -> float | None:
        """Time until the next retry may begin, s; None where none waits."""
        planned = (self._retry_times.get(trial.number) for trial in self.planned_trials())
        now = time.monotonic()
        return min((at - now for at in planned if at is not None and at > now), default=None)

    @property
    def n_open(self) -> int:
        """Number of trials without a result, planned or under evaluation."""
        return len(self.writer.trial_records(*OPEN_STATES))

    def trials_to_ask(self, q: int | None) -> list[Trial]:
        """Return the trials that `Campaign.ask` hands out, planned where there are too few."""
        count, queue = self.components.batch_size if q is None else q, self.planned_trials()
        if not self.components.asynchronous:
            return (queue or self.plan_step(count))[:count]
        if q is None:
            count = max(count - len(self.writer.trial_records("running")), 0)
        if len(queue) < count:
            queue = self.plan_trials(count - len(queue))
        return queue[:count]

    def plan_trials(self, n: int) -> list[Trial]:
        """Plan `n` more trials, or as many as there are; return all that are planned.

        In an asynchronous campaign the first step, which has a number of trials of its own, is
        followed by others where that is too small.

        Raises:
            ExhaustedError: every structure found in the space has been evaluated.
        """
        n_wanted = n + len(self.planned_trials())
        while (n_missing := n_wanted - len(self.planned_trials())) > 0:
            try:
                self.plan_step(n_missing)
            except ExhaustedError:
                if self.components.asynchronous and self.n_open:
                    break  # a failure may leave some
                raise
            if not self.components.asynchronous:
                break
        return self.planned_trials()

    def plan_step(self, q: int) -> list[Trial]:
        """Plan the next step, record it, and return its trials.

        Raises:
            ExhaustedError: every structure found in the space has been evaluated.
        """
        steps, trials = self.writer.steps(), self.writer.trial_records()
        planned = self._planner.plan(steps, trials, q)
        if len(planned.X) == 0:
            n_failed = sum(trial.state == "failed" for trial in trials)
            hint = f" {n_failed} failed: `retry` evaluates them again." if n_failed else ""
            raise ExhaustedError(
                "every structure found in the space has been evaluated already: the campaign has "
                f"no structure left to propose.{hint}"
            )
        trials = self.writer.write_step(planned)
        self._warn_of_contradiction(planned)
        return trials

    def _warn_of_contradiction(self, planned: PlannedStep) -> None:
        """Warn, once in a session, that the forces contradict the energies."""
        sentence = contradiction_at_step(planned.hyperparameters)
        if sentence and not self._has_warned:
            self._has_warned = True
            warnings.warn(f"{self.writer.folder}: {sentence}", stacklevel=2)

    def is_relaxation_due(self) -> bool:
        """Return whether a relaxation comes before the next step of the search.

        So it is where one has begun, or where the last step brought the evaluations of the search
        past a multiple of `interval`.
        """
        final_relaxation = self.components.final_relaxation
        trials = self.writer.trial_records()
        if final_relaxation is None or not trials:
            return False
        relaxation_steps = self.writer.step_numbers("relaxation")
        if trials[-1].step in relaxation_steps and (
            self._relaxation_queue(final_relaxation).has_started
        ):
            return True
        search_steps = [
            trial.step for trial in self._evaluated_trials() if trial.step not in relaxation_steps
        ]
        interval = final_relaxation.interval
        if interval is None or not search_steps:
            return False
        n_before = len(search_steps) - search_steps.count(max(search_steps))
        return len(search_steps) // interval > n_before // interval

    def plan_relaxation_step(self) -> list[Trial]:
        """Plan the next step of the final relaxation; return its trial, none at the end.

        Raises:
            InputError: the evaluator returned no forces.
        """
        if self.components.final_relaxation is None:
            return []
        self.require_results()
        queue = self._relaxation_queue(self.components.final_relaxation)
        planned = queue.next_step()
        self.writer.write_relaxation_report(queue.reports())
        return [] if planned is None else self.writer.write_step(planned)

    def planned_relaxation_trials(self) -> list[Trial]:
        """Return the planned trials of the final relaxation."""
        relaxation_steps = self.writer.step_numbers("relaxation")
        return [trial for trial in self.planned_trials() if trial.step in relaxation_steps]

    def record_relaxations(self) -> None:
        """Record the progress of the final relaxation, at the end of a run."""
        if self.relaxes_separately:
            found = (run.report_of_search() for run in self.relaxation_runs)
            self.writer.write_relaxation_report([report for report in found if report])
        elif self.components.final_relaxation is not None:
            queue = self._relaxation_queue(self.components.final_relaxation)
            self.writer.write_relaxation_report(queue.reports())

    def require_results(self) -> None:
        """Refuse to go on without forces for the final relaxation, or stresses under a pressure.

        Raises:
            InputError: the evaluator returned none.
        """
        relaxes = self.components.final_relaxation is not None
        has_pressure = bool(pressure_of(self.components.space))
        if not (relaxes or has_pressure):
            return
        for trial in self.writer.trial_records("done"):
            value = f"none for trial {trial.number}"
            if trial.is_initial_data:
                continue
            if relaxes and trial.forces is None:
                raise InputError(missing_forces_message(value))
            if has_pressure and trial.stress is None:
                raise InputError(missing_stress_message(value))

    def _relaxation_queue(self, final_relaxation: FinalRelaxation) -> RelaxationQueue:
        steps, trials = self.writer.steps(), self.writer.trial_records()
        factors = logged_radius_factors(steps)
        columns = self._planner.columns_with_radii(factors)
        space = with_radius_factors(self.components.space, factors)
        references = self.components.references
        return RelaxationQueue(final_relaxation, space, steps, trials, columns, references)

    def start_evaluations(self, trials: Sequence[Trial]) -> list[Trial]:
        """Record that evaluations begin; return the trials with structures."""
        self.writer.mark_running(trials)
        return self.writer.with_structures(trials)

    def evaluation_context(self, trial: Trial) -> EvaluationContext:
        """Return trial number, attempt, working folder and member name of an evaluation."""
        folder = evaluation_folder(self.writer.folder, trial.number)
        space = self.components.space
        member = space.names_at(trial.X)[0] if isinstance(space, Pool) else ""
        with_stress = needs_stress(space)
        return EvaluationContext(trial.number, trial.attempt, folder, member, with_stress)

    def begin_run(self, stop: StoppingCriterion) -> None:
        """Begin a run of the loop.

        Trials whose failures in a row ended the last run are planned again, each of them once: the
        cause was hardly their structures, and may be repaired. In an asynchronous campaign trials
        that another session has begun are taken back from it.
        """
        if self.components.asynchronous:
            self.writer.resume_trials()
        again = self._failures_in_a_row()
        streak = Progress(n_consecutive_failures=len(again))
        if consecutive_failures_reason(stop, streak) or self.has_only_failures():
            asked = {a.trial for a in self.writer.attempts() if a.cause == "failures in a row"}
            trials = {t.X.numpy().tobytes(): t for t in reversed(again) if t.number not in asked}
            self.writer.mark_asked_again(list(trials.values()), "failures in a row")

    def _failures_in_a_row(self) -> list[Trial]:
        """Return the trials that have failed since the last result, the last one first."""
        rows = self.writer.query(LAST_RESULTS_QUERY)
        numbers = [row["number"] for row in takewhile(lambda row: row["state"] == "failed", rows)]
        failed = {trial.number: trial for trial in self.writer.trial_records("failed")}
        return [failed[number] for number in numbers]

    def has_only_failures(self) -> bool:
        """Return whether evaluations have failed, and none has given a result."""
        rows = self.writer.query(LAST_RESULTS_QUERY)
        return bool(rows) and all(row["state"] == "failed" for row in rows)

    def failure_message(self, failures: str | None) -> str:
        """Return the message of a run that ends because its evaluations fail.

        Args:
            failures: Reason of the criterion on failures in a row; None if all have failed.
        """
        again = self._failures_in_a_row()
        lead = failures or f"all evaluations have failed, {len(again)} of {len(again)}"
        reasons = {trial.reason: trial.number for trial in reversed(again)}
        last = list(reversed(reasons.items()))[:N_LAST_REASONS]
        listed = "; ".join(f"trial {number}: {reason}" for reason, number in last)
        return (
            f"{lead}. The last ones: {listed}. Once the cause is repaired, run the same campaign "
            f"again, or ask with `bostruct retry {self.writer.folder}` for all that have failed. "
            "`stop.ConsecutiveFailures(n)` in the stopping criterion sets how many are too many."
        )

    def is_retried(self, trial: Trial) -> bool:
        """Return whether a trial is planned again after a failure."""
        return self._find_trial(trial).state == "planned"

    def put_back(self, trials: Sequence[Trial]) -> None:
        """Record that evaluations were not begun after all."""
        self.writer.mark_planned(trials)

    def retry(self, trials: Sequence[Trial | int | str] | None) -> list[Trial]:
        """Plan failed trials again."""
        numbers = None
        if trials is not None:
            numbers = [t if isinstance(t, int) else self._find_trial(t).number for t in trials]
        failed = failed_trials(self.writer, numbers)
        self.writer.mark_asked_again(failed, "asked by the user")
        planned = {trial.number: trial for trial in self.writer.trials("planned")}
        return [planned[trial.number] for trial in failed]

    def tell_death(self, trial: Trial, reason: str) -> None:
        """Record that a process died which may have evaluated a trial; it is evaluated again."""
        self.writer.mark_death(trial, reason)

    def tell(self, trial: Trial | str, result: Evaluation | Failure) -> Evaluation | Failure:
        """Record the result of a trial; return it as it was recorded."""
        trial = self._find_trial(trial)
        if trial.is_finished:
            raise InputError(_finished_message(trial))
        if not isinstance(result, Evaluation | Failure):
            value = type(result).__name__
            raise InputError(error_message("result", "be an Evaluation or a Failure", value))
        structures = self.components.space.decode(trial.X)
        limits = evaluation_limits(self.components.evaluator)
        result = check_result(result, structures, **limits)
        searches_by_energy = self.components.optimization_config is None
        if isinstance(result, Evaluation) and result.energy is None and searches_by_energy:
            result = Failure(NO_ENERGY, seconds=result.seconds)
        if isinstance(result, Evaluation):
            result = with_pressure_energy(result, self.components.space, trial.X)
            self._n_consecutive_failures = 0
        elif (retry := self.writer.n_retries(trial) + 1) <= self._retries.n_retries(result):
            self.writer.mark_retry(trial, result)
            self._retry_times[trial.number] = time.monotonic() + self._retries.delay_before(retry)
            return result
        else:
            self._n_consecutive_failures += 1
        self.writer.write_result(trial.number, result)
        if isinstance(result, Evaluation):
            self._doubts.judge(trial, result.energy)
        return result

    def doubt(self, trial: Trial) -> str:
        """Return the reason for which the result of a trial is doubted, "" without a doubt."""
        return self._find_trial(trial).doubt

    def retract(self, trial: Trial | int | str, reason: str) -> None:
        """Retract the result of a trial."""
        number = trial if isinstance(trial, int) else self._find_trial(trial).number
        self.writer.mark_retracted(find_result(self.writer, number, reason).number, reason)
        self._doubts.judge_all()

    def trust(self, trial: Trial | int | str, reason: str) -> None:
        """Dismiss the doubt about the result of a trial."""
        number = trial if isinstance(trial, int) else self._find_trial(trial).number
        self.writer.mark_trusted(check_doubted(self.writer, number, reason).number, reason)
        self._doubts.judge_all()

    def abandon(self, trial: Trial | str, reason: str) -> None:
        """Record that a trial will not be evaluated."""
        trial = self._find_trial(trial)
        if trial.state not in OPEN_STATES:
            raise InputError(_finished_message(trial))
        self.writer.mark_abandoned(trial.number, reason)

    def progress(self, seconds: float) -> Progress:
        """Return the progress that stopping criteria see, `seconds` after the start of the run."""
        evaluated = self._evaluated_trials()
        initial: list[float | None] = []
        if self.writer.step_numbers("initial_data"):
            done = self.writer.trial_records("done")
            initial = [t.enthalpy for t in done if t.is_initial_data and t.is_known]
        energies = self._planner.columns.each("known energy", evaluated, _known_energy)
        first_hull = self.components.initial_hull
        if first_hull is not None:
            given = [t for t in self.writer.trial_records("done") if t.is_initial_data]
            hull = functools.reduce(add_to_hull, given, first_hull)
            initial = [hull.mean_energy if hull.is_complete else None]
            energies = self._planner.columns.cached(
                ("mean hull", len(given)), evaluated, lambda: mean_hull_history(evaluated, hull)
            )
        relaxation_steps = self.writer.step_numbers("relaxation")
        model_steps = self.writer.step_numbers("model")
        apart = [energy for run in self.relaxation_runs for energy in run.energies]
        n = len(evaluated)
        return Progress(
            energies=(*energies, *apart),
            seconds=seconds,
            relaxation_indices=frozenset(
                [i for i, trial in enumerate(evaluated) if trial.step in relaxation_steps]
                if relaxation_steps
                else ()
            ).union(range(n, n + len(apart))),
            lowest_initial_energy=min((e for e in initial if e is not None), default=None),
            n_model_evaluations=sum(
                self._planner.columns.each(
                    "model step", evaluated, lambda trial: trial.step in model_steps
                )
            ),
            front_history=self._front_history(),
            n_consecutive_failures=self._n_consecutive_failures,
            n_failed=sum(self._planner.columns.each("is failed", evaluated, _is_failed)),
            has_hull=first_hull is not None,
        )

    def _evaluated_trials(self) -> list[Trial]:
        """Return the finished trials in order, without initial data."""
        finished = self.writer.trial_records(*FINISHED_STATES)
        return self._planner.columns.select("is evaluated", finished, _is_evaluated)

    def _front_history(self) -> Callable[[int], FrontState] | None:
        """Return the front after a number of evaluations, as a function; None without objectives.

        Nothing is read or computed before the first call, and nothing twice afterwards.
        """
        config, writer = self.components.optimization_config, self.writer
        if config is None:
            return None

        @functools.cache
        def trials_and_reference() -> tuple[list[Trial], Tensor | None]:
            trials = sorted(writer.trial_records(*FINISHED_STATES), key=_is_evaluated)
            Y = self._front_columns[0].outcomes(trials, config)
            return trials, resolve_reference_point(Y, writer.steps(), config)[0]

        @functools.cache
        def front_after(n: int) -> FrontState:
            trials, reference = trials_and_reference()
            n_later = max(0, sum(map(_is_evaluated, trials)) - n)
            columns, trials = self._front_columns[n_later], trials[: len(trials) - n_later]
            Y, front = columns.outcomes(trials, config), columns.front(trials, config)
            return front_state(Y, config, reference, front)

        return front_after

    def best_name(self) -> str:
        """Return the name of the best evaluated structure, "" without one."""
        known = [t for t in self.writer.trial_records("done") if t.attempt and t.is_known]
        ranked = [(t.enthalpy, t.number, t.member) for t in known if t.enthalpy is not None]
        return min(ranked)[2] if ranked else ""

    def median_evaluation_seconds(self) -> float:
        """Return the median wall time of an evaluation, s; 0 before the first."""
        seconds = [trial.seconds for trial in self._evaluated_trials()]
        return median(seconds) if seconds else 0.0

    def _find_trial(self, trial: Trial | str) -> Trial:
        key = trial if isinstance(trial, str) else trial.key
        # A late result of an earlier attempt is as good as that of the last one.
        found = self.writer.trial_with_key(key)
        if found is None:
            raise InputError(error_message("trial", "be one of this campaign", repr(key)))
        return found


def _known_energy(trial: Trial) -> float | None:
    """Return the enthalpy of a trial, eV; NaN for a result without one, None for no result."""
    if not trial.is_known:
        return None
    return math.nan if trial.enthalpy is None else trial.enthalpy


def _is_evaluated(trial: Trial) -> bool:
    """Return whether a trial is none of the initial data."""
    return not trial.is_initial_data


def _is_failed(trial: Trial) -> bool:
    return trial.state == "failed"


def _finished_message(trial: Trial) -> str:
    return error_message("trial", "be one without a result", f"{trial.number}, {trial.state}")

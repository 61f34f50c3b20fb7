"""Campaign: a closed optimization loop over a space, an evaluator, a surrogate and a search.

`ask` and `tell` are the core, `run` is a loop over them. The state of a campaign is its log:
wherever a process is killed, the next start continues as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final, get_args

from bostruct.acquisition import Acquisition
from bostruct.campaign.analysis.minima import ROOM_TEMPERATURE, Minima
from bostruct.campaign.components import (
    CampaignComponents,
    CandidateSearch,
    check_executor,
    check_stop,
    default_acquisition,
    default_search,
    default_surrogate,
    make_optimization_config,
)
from bostruct.campaign.engines.dask_workers import DaskWorkers
from bostruct.campaign.initial_structures import (
    MIN_ENERGIES,
    StructuresLike,
    read_initial_structures,
)
from bostruct.campaign.log.legacy_formats import check_writable_format
from bostruct.campaign.log.malformed_log import refuse_malformed
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import check_writable, has_campaign
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.loop import run_loop, shutdown_on_exit
from bostruct.campaign.planning.replanning import replan_step
from bostruct.campaign.planning.step_planner import StepPlanner
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.records import PlannedStep, Trial
from bostruct.campaign.reference_entries import space_references
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation, check_final_relaxation
from bostruct.campaign.relaxation.separate_relaxation import SeparateRelaxation, StartEvaluated
from bostruct.campaign.retry_policy import AT_ONCE, RetryPolicy
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Evaluations, StoppingCriterion
from bostruct.errors import (
    ExecutorError,
    InputError,
    LockedError,
    LogError,
    MismatchError,
    check_choice,
    check_count,
    check_flag,
    check_instance,
    error_message,
)
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.evaluators.evaluation_context import KeepFolders
from bostruct.objectives import Constraint, Objective
from bostruct.runtime.callable_name import without_entry_point_names
from bostruct.runtime.canonical_json import describe_differences
from bostruct.runtime.device import resolve_device
from bostruct.runtime.executors import InProcess, Workers
from bostruct.runtime.interruption import TerminationError, interruptible
from bostruct.runtime.main_guard import check_main_guard, imports_main
from bostruct.spaces import Space
from bostruct.structures.energy_labels import EnergyLabels
from bostruct.surrogates import Surrogate

LOCK_POLL_SECONDS = 0.05
"""Time between two looks at a folder that another process has open, s."""

MAX_SEED = 2**63 - 1
"""Largest integer of SQLite."""


@final
class Campaign:
    """Search for the most stable structure in a space, or for a Pareto front.

    Args:
        space: Space of the structures.
        evaluator: Evaluator of energies, forces and properties.
        surrogate: Surrogate model; `LocalGP()` by default, `IndependentProperties()` with
            objectives.
        acquisition: Acquisition function; `LowerConfidenceBound(kappa=1.3)` by default,
            `ParetoProbabilityOfImprovement()` with objectives.
        search: Optimizer of the acquisition function; by default `BasinHopping()`, and in discrete
            spaces `ExhaustiveSearch()` up to 10⁶ members, else `EvolutionarySearch()`.
        stop: Stopping criterion, `Evaluations(100)` by default; no part of the identity.
        initial_structures: Structures to start from: `ase.Atoms`, `Structures`, or files that ASE
            reads, with all their images. Those with an energy are training data and are never
            evaluated; the others are evaluated first. With objectives, training data are those
            that carry the outcomes in `info`.
        energy_key: Name of the energy of initial structures in the results of a calculator or in
            `info`, as "REF_energy"; "" evaluates all of them.
        forces_key: Name of the forces in the results of a calculator or in `arrays`; None takes
            that of the energy, as "REF_forces", and "" reads none.
        stress_key: Name of the stress, eV/Å³, or of the virial, eV, in the results of a calculator
            or in `info`; None takes that of the energy, as "REF_stress" or "REF_virial", and ""
            reads none. Stresses are of use in spaces whose cell varies.
        n_initial: Number of random structures before the first surrogate; by default as many as
            `initial_structures` lack of two energies; with objectives, of two more than twice
            the number of elements. Where compositions vary, ends of the hull without an energy
            come first, in addition.
        batch_size: Number of structures selected in a step, or in an asynchronous campaign of
            those that have no result yet.
        asynchronous: True plans anew after each result, with the other structures pending, so that
            no worker waits for the slowest; False plans when all results of a step are known.
        final_relaxation: Relaxation of the best structures with the evaluator at the end of `run`.
        retries: Retries of failed evaluations; no part of the identity. By default a retryable
            failure is repeated once, at once, and in an asynchronous campaign lost evaluations too,
            see `RetryPolicy`.
        keep: Working folders of evaluations that stay on disk: "failed", "all" or "none"; no part
            of the identity.
        executor: Executor of the evaluations; no part of the identity. This process by default;
            `Workers` for parallel evaluations or a time limit.
        objectives: Objectives instead of a low energy: outcomes that the evaluator returns as
            properties ("energy" is one of them) or that the space knows. The campaign searches
            their Pareto front; see `bostruct.Objective`.
        constraints: Bounds that structures on the front keep.
        references: Phases of known energy that the convex hull is drawn to beside the structures
            of the campaign, by the same evaluator: energies in eV per atom by formula, as in
            {"Cu": -3.72}, under a pressure enthalpies; crystals with energies, as
            `initial_structures`; or entries of pymatgen. Nothing is learnt from them. Where the
            space is a `Crystal` they tell how far the best one is above the hull.

    Raises:
        InputError: a component lacks a method or a description, components do not fit together,
            or an initial structure is not in the space.
    """

    def __init__(
        self,
        space: Space,
        evaluator: Evaluator,
        surrogate: Surrogate | None = None,
        acquisition: Acquisition | None = None,
        search: CandidateSearch | None = None,
        stop: StoppingCriterion | None = None,
        *,
        initial_structures: StructuresLike | None = None,
        energy_key: str = "energy",
        forces_key: str | None = None,
        stress_key: str | None = None,
        n_initial: int | None = None,
        batch_size: int = 1,
        asynchronous: bool = False,
        final_relaxation: FinalRelaxation | None = None,
        executor: Executor | None = None,
        keep: KeepFolders = "failed",
        retries: RetryPolicy | None = None,
        objectives: Sequence[Objective] | None = None,
        constraints: Sequence[Constraint] | None = None,
        references: object = None,
    ) -> None:
        config = make_optimization_config(objectives, constraints)
        default = MIN_ENERGIES if config is None else 2 * len(space.numbers) + MIN_ENERGIES
        components = CampaignComponents(
            space=space,
            evaluator=evaluator,
            surrogate=default_surrogate(space, config) if surrogate is None else surrogate,
            acquisition=default_acquisition(config) if acquisition is None else acquisition,
            search=default_search(space, config) if search is None else search,
            n_initial=default if n_initial is None else check_count("n_initial", n_initial),
            batch_size=check_count("batch_size", batch_size),
            final_relaxation=check_final_relaxation(final_relaxation, evaluator),
            optimization_config=config,
            references=None if references is None else space_references(references, space),
            asynchronous=check_flag("asynchronous", asynchronous),
        )
        hull = components.initial_hull
        if hull is not None and n_initial is None:
            n_ends = len(hull.missing_members())
            components = replace(components, n_initial=default + n_ends)
        if initial_structures is not None:
            objectives_of_space = components.learned_objectives
            initial_data = read_initial_structures(
                initial_structures,
                space,
                evaluator,
                () if objectives_of_space is None else objectives_of_space.learned_names,
                EnergyLabels(energy_key, forces_key, stress_key),
            )
            missing = max(0, default - initial_data.n_energies)
            components = replace(
                components,
                initial_data=initial_data,
                n_initial=missing if n_initial is None else components.n_initial,
            )
        self.components = components
        self.executor = check_executor(executor)
        if retries is not None:
            check_instance("retries", retries, RetryPolicy, "Such as RetryPolicy(lost=2).")
        self.retries = retries or (RetryPolicy() if asynchronous else AT_ONCE)
        self.keep = check_choice("keep", keep, get_args(KeepFolders))
        self._stop = check_stop(Evaluations(100) if stop is None else stop, config, space)
        self._session: Session | None = None
        self._folder: Path | None = None

    @property
    def space(self) -> Space:
        """Space of the structures."""
        return self.components.space

    @property
    def evaluator(self) -> Evaluator:
        """Evaluator of energies, forces and properties."""
        return self.components.evaluator

    @property
    def surrogate(self) -> Surrogate:
        """Surrogate model."""
        return self.components.surrogate

    @property
    def acquisition(self) -> Acquisition:
        """Acquisition function."""
        return self.components.acquisition

    @property
    def search(self) -> CandidateSearch:
        """Optimizer of the acquisition function."""
        return self.components.search

    @property
    def stop(self) -> StoppingCriterion:
        """Stopping criterion."""
        return self._stop

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Objectives; empty where the energy is minimized."""
        config = self.components.optimization_config
        return () if config is None else config.objectives

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Constraints; empty where the energy is minimized."""
        config = self.components.optimization_config
        return () if config is None else config.constraints

    def description(self) -> dict[str, Any]:
        """Return the identity of the campaign beside its seed, as JSON values."""
        return self.components.description()

    def validate(self, folder: str | Path, seed: int = 0, device: str = "auto") -> bool:
        """Check whether the campaign can run in a folder, without changing it.

        Returns:
            Whether the campaign has been started there.

        Raises:
            InputError: the seed or the device is not valid.
            DeviceError: there is no such device on this machine.
            LogError: the folder holds something else, has an earlier log format, or cannot be
                written.
            MismatchError: the folder holds another campaign; the message states the differences.
        """
        if check_count("seed", seed, 0) > MAX_SEED:
            raise InputError(error_message("seed", f"be at most {MAX_SEED}", seed))
        resolve_device(device)
        is_started = has_campaign(Path(folder))
        if is_started:
            log = Log(folder)
            check_writable_format(log.format, log.folder)
            self._check_same_campaign(log, seed)
        check_writable(Path(folder))
        return is_started

    def _check_same_campaign(self, log: Log, seed: int | None) -> CampaignComponents:
        """Return the components with the region of the log, if the campaign is that of the log."""
        with refuse_malformed(log.folder):
            components = self.components.with_region_of(log.description)
        stored, current = log.description, components.description()
        if seed is not None:
            stored, current = {**stored, "seed": log.seed}, {**current, "seed": seed}
        with refuse_malformed(log.folder):
            differences = describe_differences(stored, current)
            with without_entry_point_names():  # as earlier versions described a script
                earlier = {**current, **components.description()}
            is_other = bool(differences and describe_differences(stored, earlier))
        if is_other:
            raise MismatchError(
                f"{log.folder} holds another campaign: {'; '.join(differences)}. Take another "
                "folder, or run the campaign that was started there."
            )
        return components

    def open(
        self, folder: str | Path, seed: int = 0, device: str = "auto", *, wait: float = 0.0
    ) -> Self:
        """Open the run folder for `ask` and `tell`; use it in a `with` statement.

        Args:
            folder: Run folder, created if it does not exist.
            seed: Seed of the random numbers, part of the campaign's identity.
            device: Device of the tensor work: auto, cpu or cuda.
            wait: Longest time, s, to wait for another process that has the folder open.

        Raises:
            LockedError: another process writes there.
            BostructError: the folder is refused as by `validate`.
        """
        if not wait >= 0:
            raise InputError(error_message("wait", "be at least 0", wait, "In seconds."))
        if self._session is not None:
            value = f"open in {self._folder}"
            raise LogError(error_message("campaign", "be closed before it is opened", value))
        check_main_guard(starts_processes=False)
        components = self.components
        if self.validate(folder, seed, device):
            components = components.with_region_of(Log(folder).description)
        torch_device = resolve_device(device)
        deadline = time.monotonic() + wait
        while True:
            try:
                writer = LogWriter(
                    folder,
                    components.description(),
                    seed,
                    space=components.space,
                    surrogate=self.surrogate,
                    device=str(torch_device),
                )
                break
            except LockedError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(LOCK_POLL_SECONDS)
        try:
            components = self._check_same_campaign(writer, seed)  # another process may be faster
            self._session = Session(components, writer, torch_device, self.retries)
        except BaseException as error:
            is_mismatch = isinstance(error, MismatchError)
            writer.close("failed", "another campaign" if is_mismatch else "could not be opened")
            raise
        self._folder = writer.folder
        return self

    def close(self, status: str = "paused", reason: str = "") -> None:
        """Close the run folder; its log stays readable as `log`."""
        if self._session is not None:
            session, self._session = self._session, None
            session.writer.close(status, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None:
            self.close()
            return
        try:
            self.close(*_status_after(error_type, error))
        except LogError:
            if not issubclass(error_type, LogError):
                raise  # else the first error states the cause

    @property
    def log(self) -> Log:
        """Log of the folder that was opened last.

        Raises:
            LogError: no folder was opened.
        """
        if self._session is not None:
            return self._session.writer
        if self._folder is None:
            raise LogError("no folder was opened yet: run the campaign or read(folder).")
        return self.read(self._folder)

    def read(self, folder: str | Path) -> Log:
        """Return the log of this campaign in a folder, with any seed, for reading.

        Raises:
            LogError: the folder holds no campaign.
            MismatchError: the folder holds another campaign.
        """
        log = Log(folder, self.space, self.surrogate)
        components = self._check_same_campaign(log, None)
        if components is not self.components:
            log = Log(folder, components.space, self.surrogate)
        return log

    def replan(self, folder: str | Path, step: int, device: str = "auto") -> PlannedStep:
        """Return what a step of the log selects when it is planned again, from what was known then.

        With the same versions and machine these are the structures that the log holds, to the last
        bit. Nothing is written.

        Args:
            folder: Run folder.
            step: Number of the step.
            device: Device of the tensor work: auto, cpu or cuda.

        Raises:
            InputError: there is no such step, or it holds initial data or relaxes.
            LogError: the folder holds no campaign.
            MismatchError: the folder holds another campaign.
        """
        log = self.read(folder)
        components = self._check_same_campaign(log, None)
        planner = StepPlanner(components, log.seed, resolve_device(device))
        return replan_step(log, step, planner)

    @property
    def _open_session(self) -> Session:
        if self._session is None:
            raise LogError("the campaign is not open: use `with campaign.open(folder):`.")
        return self._session

    def ask(self, q: int | None = None) -> list[Trial]:
        """Return the next trials to evaluate; they are on disk before.

        Trials that an interrupted session did not finish come first, then the rest of the last
        step; only then a new step is planned. So fewer than `q` may be returned, never none.

        An asynchronous campaign plans as many as are missing, with those pending that were asked
        for in this session or an earlier one and have no result yet. By default these and the new
        ones together are `batch_size`, so that none is returned where as many are pending.

        Args:
            q: Maximum number of trials, the campaign's batch size by default.

        Raises:
            ExhaustedError: every structure found in the space has been evaluated.
        """
        session, count = self._open_session, None if q is None else check_count("q", q)
        return session.start_evaluations(session.trials_to_ask(count))

    def tell(self, trial: Trial | str, result: Evaluation | Failure) -> None:
        """Record the result of a trial; it is on disk when this returns.

        Args:
            trial: Trial that `ask` returned, in this session or an earlier one, or its key.
            result: Evaluation or failure. An implausible energy is recorded as a failure.

        Raises:
            InputError: there is no such trial, or it has a result already.
        """
        self._open_session.tell(trial, result)

    def retract(self, trial: Trial | int | str, reason: str = "retracted") -> None:
        """Retract the result of a trial: it is no training data any more, and on no front.

        The structure is not evaluated again, and the log keeps the numbers.

        Args:
            trial: Trial that `ask` or `log.trials()` returned, or its number or key.
            reason: One sentence for the readers of the log.

        Raises:
            InputError: there is no such trial, it has no result, or no reason is given.
        """
        self._open_session.retract(trial, reason)

    def retry(self, trials: Sequence[Trial | int | str] | None = None) -> list[Trial]:
        """Plan failed trials again, after a repair; the next `ask` or `run` evaluates them first.

        The log keeps the reasons of their former attempts, see `Log.attempts`.

        Args:
            trials: Failed trials, or their numbers or keys; None takes all whose structure has no
                energy and no place among the planned ones.

        Returns:
            Trials that are planned now.

        Raises:
            InputError: there is no such trial or it has not failed, or no trial has.
        """
        return self._open_session.retry(trials)

    def trust(self, trial: Trial | int | str, reason: str) -> None:
        """Dismiss the doubt about the result of a trial: it is training data again.

        Args:
            trial: Trial that `ask` or `log.trials()` returned, or its number or key.
            reason: One sentence for the readers of the log.

        Raises:
            InputError: there is no such trial, its result is not doubted, or no reason is given.
        """
        self._open_session.trust(trial, reason)

    def abandon(self, trial: Trial | str, reason: str = "abandoned") -> None:
        """Record that a trial will not be evaluated.

        Raises:
            InputError: there is no such trial, or it has a result already.
        """
        self._open_session.abandon(trial, reason)

    def run(
        self,
        folder: str | Path,
        seed: int = 0,
        device: str = "auto",
        *,
        executor: Executor | None = None,
        stop: StoppingCriterion | None = None,
        progress: bool | None = None,
    ) -> Log:
        """Run the loop until a stopping criterion holds; on the same folder again, resume.

        Args:
            folder: Run folder.
            seed: Seed of the random numbers.
            device: Device of the tensor work: auto, cpu or cuda.
            executor: Executor of the evaluations instead of the campaign's own.
            stop: Stopping criterion instead of the campaign's own.
            progress: False to show no progress on stderr; else it is one line that changes on a
                terminal, and a line for each evaluation in a batch job.

        Returns:
            Log of the campaign.

        Raises:
            InputError: the executor starts processes that import the script, and the script has
                no `if __name__ == "__main__":` around this call.
            BostructError: the folder is refused as by `open`.
            EvaluationError: evaluations fail one after the other (`stop.ConsecutiveFailures`), or
                all structures that were found have failed. The next run begins with them.
            ExecutorError: the executor takes no evaluations any more.
            KeyboardInterrupt: Ctrl-C or SIGTERM; the next run goes on.
        """
        executor = check_executor(executor) or self.executor or InProcess()
        check_main_guard(_starts_processes(executor))
        stop = self.stop if stop is None else stop
        check_stop(stop, self.components.optimization_config, self.space)
        with (
            interruptible(),
            self.open(folder, seed, device),
            shutdown_on_exit(executor),
            ProgressLine(progress) as line,
        ):
            session, start = self._open_session, time.monotonic()
            reason = run_loop(session, executor, stop, line, self.keep)
            settings = self.components.final_relaxation
            if settings is not None and session.relaxes_separately:
                relaxation = SeparateRelaxation(session, settings, executor, line, self.keep)
                relaxation.relax_best(stop, start)
            self.close("finished", reason)
        return self.log

    def relax_minima(
        self,
        folder: str | Path,
        energy_window: float | None = None,
        temperature: float = ROOM_TEMPERATURE,
        *,
        rmsd_threshold: float | None = None,
        device: str = "auto",
        executor: Executor | None = None,
        progress: bool | None = None,
    ) -> Minima:
        """Relax all minima of low energy with the evaluator; again, resume.

        Each is a campaign of its own in the folder `relaxations` of the run folder, from which the
        search learns nothing; minima of the model that were not evaluated are so first. Tolerance
        and number of steps are those of `final_relaxation`, or its defaults.

        Args:
            folder: Run folder of the campaign.
            energy_window: Highest energy of a minimum above the lowest one, eV; 10 kT by default.
            temperature: Temperature of the Boltzmann weights, K.
            rmsd_threshold: RMSD of heavy atoms, Å, up to which conformers of one molecule are one.
            device: Device of the tensor work: auto, cpu or cuda.
            executor: Executor of the evaluations instead of the campaign's own.
            progress: False to show no progress on stderr.

        Returns:
            Minima after the relaxations.

        Raises:
            InputError: an argument is out of range, or the campaign does not minimize one energy.
            BostructError: the folder is refused as by `open`, or holds no energy.
            EvaluationError: evaluations fail one after the other.
        """
        executor = check_executor(executor) or self.executor or InProcess()
        check_main_guard(_starts_processes(executor))
        limits = (energy_window, temperature, rmsd_threshold)
        settings = self.components.final_relaxation or FinalRelaxation()
        check_final_relaxation(settings, self.evaluator)
        seed = Log(folder).seed
        with (
            interruptible(),
            self.open(folder, seed, device),
            shutdown_on_exit(executor),
            ProgressLine(progress) as line,
        ):
            session = self._open_session
            relaxation = SeparateRelaxation(session, settings, executor, line, self.keep)
            waiting = [m for m in Minima.from_log(self.log, *limits).minima if not m.is_relaxed]
            for minimum in waiting:
                number, run = minimum.trial, minimum.run
                trial = None if number is None else session.writer.read_trial(number)
                earlier = None if run is None else run.folder
                relaxation.relax(minimum.X, trial, StartEvaluated(), earlier)
            session.record_relaxations()
            self.close("finished", f"{len(waiting)} minima relaxed")
        return Minima.from_log(self.log, *limits)


def _starts_processes(executor: Executor) -> bool:
    """Return whether an executor starts processes that import the script."""
    if isinstance(executor, DaskWorkers):
        return executor.starts_processes
    return isinstance(executor, Workers) or imports_main(executor)


def _status_after(error_type: type[BaseException], error: object) -> tuple[str, str]:
    """Return the status of a session that an error ends, and the reason."""
    if issubclass(error_type, Exception):
        status = "paused" if issubclass(error_type, ExecutorError) else "failed"
        return status, f"{error_type.__name__}: {error}"
    signal = "SIGTERM" if issubclass(error_type, TerminationError) else error_type.__name__
    name = "Ctrl-C" if error_type is KeyboardInterrupt else signal
    return "interrupted", f"by {name}; run the same command again to go on"

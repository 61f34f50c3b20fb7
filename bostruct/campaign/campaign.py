"""The campaign: parts put together, and the loop over them.

`ask` and `tell` are the core, `run` is a loop over them. The campaign is the only
object that changes, and its state is its log: whatever is killed, wherever, the next
start continues as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from bostruct.acquisition import Acquisition
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
from bostruct.campaign.initial_structures import (
    MIN_ENERGIES,
    StructuresLike,
    read_initial_structures,
)
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import check_writable, has_campaign
from bostruct.campaign.log.writer import LogWriter
from bostruct.campaign.loop import run_loop, shutdown_on_exit
from bostruct.campaign.progress import ProgressLine
from bostruct.campaign.records import Trial
from bostruct.campaign.relaxation.final_relaxation import (
    FinalRelaxation,
    check_final_relaxation,
)
from bostruct.campaign.session import Session
from bostruct.campaign.stop import Evaluations, StoppingCriterion
from bostruct.errors import (
    InputError,
    LogError,
    MismatchError,
    check_count,
    error_message,
)
from bostruct.evaluators import Evaluation, Evaluator, Failure
from bostruct.objectives import Constraint, Objective
from bostruct.runtime.canonical_json import describe_differences
from bostruct.runtime.device import resolve_device
from bostruct.runtime.executors import InProcess
from bostruct.spaces import Space
from bostruct.surrogates import Surrogate

MAX_SEED = 2**63 - 1
"""SQLite's largest integer."""


@final
class Campaign:
    """A search for the most stable structure in a space, or for a Pareto front.

    Args:
        space: What may be proposed.
        evaluator: What it costs to know.
        surrogate: What is believed; `LocalGP()` by default, `Properties()` with
            objectives.
        acquisition: What a look is worth; `LowerConfidenceBound(kappa=1.3)` by default,
            `EntryProbability()` with objectives.
        search: How candidates are found; by default `Search()`, and in discrete spaces
            `Pick()` for lists of up to 10⁶ members, else `Walk()`.
        stop: When it ends, `Evaluations(100)` by default; not part of its identity.
        initial_structures: Structures to begin with: `ase.Atoms`, `Structures`, or files that ASE
            reads, all their frames. Those that carry an energy are data and are never
            evaluated; the others are evaluated first.
        n_initial: Random structures before there is a surrogate; by default as many as
            `initial_structures` leaves missing to two; with objectives, to two more than twice the
            elements.
        batch_size: Structures chosen together in a step.
        final_relaxation: How `run` relaxes the best structures with the evaluator at the end.
        executor: Where energies are computed; not part of its identity. In this
            process by default; `Workers` for several at once or a time limit.
        objectives: What is wanted instead of a low energy: outcomes that the evaluator
            returns as properties ("energy" is one of them) or the space knows. The
            front of all is looked for; see `bostruct.acquisition.Objective`.
        constraints: What makes a structure good enough to be on the front.

    Raises:
        InputError: a part cannot do its work, or cannot say what it is; or a structure
            to start from is not one of the space.
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
        n_initial: int | None = None,
        batch_size: int = 1,
        final_relaxation: FinalRelaxation | None = None,
        executor: Executor | None = None,
        objectives: Sequence[Objective] | None = None,
        constraints: Sequence[Constraint] = (),
    ) -> None:
        goals = make_optimization_config(objectives, constraints)
        few = MIN_ENERGIES if goals is None else 2 * len(space.numbers) + MIN_ENERGIES
        parts = CampaignComponents(
            space=space,
            evaluator=evaluator,
            surrogate=default_surrogate(goals) if surrogate is None else surrogate,
            acquisition=(default_acquisition(goals) if acquisition is None else acquisition),
            search=default_search(space, goals) if search is None else search,
            n_initial=few if n_initial is None else check_count("n_initial", n_initial),
            batch_size=check_count("batch_size", batch_size),
            final_relaxation=check_final_relaxation(final_relaxation, evaluator),
            optimization_config=goals,
        )
        if initial_structures is not None:
            brought = read_initial_structures(
                initial_structures, space, evaluator, use_energies=goals is None
            )
            missing = max(0, few - brought.n_energies)
            count = missing if n_initial is None else parts.n_initial
            parts = replace(parts, initial_data=brought, n_initial=count)
        self.components = parts
        self.stop = check_stop(Evaluations(100) if stop is None else stop, goals)
        self.executor = check_executor(executor)
        self._session: Session | None = None
        self._folder: Path | None = None

    def description(self) -> dict[str, Any]:
        """Return what identifies the campaign beside its seed, ready for JSON."""
        return self.components.description()

    def validate(self, folder: str | Path, seed: int = 0, device: str = "auto") -> bool:
        """Look whether the campaign can run in a folder; change nothing.

        Returns:
            Whether it has been started there.

        Raises:
            InputError: the seed or the device is none.
            DeviceError: there is no such device here.
            LogError: the folder holds something else, or cannot be written.
            MismatchError: it holds another campaign; the message says what differs.
        """
        if check_count("seed", seed, 0) > MAX_SEED:
            raise InputError(error_message("seed", f"be at most {MAX_SEED}", seed))
        resolve_device(device)
        started = has_campaign(Path(folder))
        if started:
            self._check_same_campaign(Log(folder), seed)
        check_writable(Path(folder))
        return started

    def _check_same_campaign(self, log: Log, seed: int | None) -> None:
        there, here = log.description, self.description()
        if seed is not None:
            there, here = {**there, "seed": log.seed}, {**here, "seed": seed}
        found = describe_differences(there, here)
        if found:
            raise MismatchError(
                f"{log.folder} holds another campaign: {'; '.join(found)}. "
                "Take another folder, or run the campaign that was started there."
            )

    def open(self, folder: str | Path, seed: int = 0, device: str = "auto") -> Self:
        """Open the run folder for `ask` and `tell`; use it in a `with` statement.

        Args:
            folder: The run folder; a new one is made, one of this campaign continued.
            seed: Of all that is random; part of the campaign's identity.
            device: For the tensor work: auto, cpu or cuda.

        Raises:
            LockedError: another process writes there.
            BostructError: as `check` does.
        """
        if self._session is not None:
            condition = "be closed before it is opened"
            raise LogError(error_message("campaign", condition, f"open in {self._folder}"))
        self.validate(folder, seed, device)
        on = resolve_device(device)
        ledger = LogWriter(
            folder,
            self.description(),
            seed,
            space=self.components.space,
            surrogate=self.components.surrogate,
            device=str(on),
        )
        try:
            self._check_same_campaign(ledger, seed)  # someone may have been faster
            self._session = Session(self.components, ledger, on)
        except MismatchError:
            ledger.close("failed", "another campaign")
            raise
        except BaseException:
            ledger.close("failed", "could not be opened")
            raise
        self._folder = Path(folder)
        return self

    def close(self, status: str = "paused", reason: str = "") -> None:
        """Close the run folder; the log stays readable through `log`."""
        if self._session is not None:
            session, self._session = self._session, None
            session.writer.close(status, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close("failed", f"{kind.__name__}: {error}")
        except LogError:
            if not issubclass(kind, LogError):
                raise  # else the first error says why

    @property
    def log(self) -> Log:
        """The log of the folder that was opened last.

        Raises:
            LogError: none was.
        """
        if self._session is not None:
            return self._session.writer
        if self._folder is None:
            raise LogError("no folder was opened yet: run the campaign or read(folder).")
        return Log(self._folder, self.components.space, self.components.surrogate)

    def read(self, folder: str | Path) -> Log:
        """Return the log in a folder of this campaign, for reading; of any seed.

        Raises:
            LogError: there is none.
            MismatchError: it is that of another campaign.
        """
        log = Log(folder, self.components.space, self.components.surrogate)
        self._check_same_campaign(log, None)
        return log

    @property
    def _open_session(self) -> Session:
        if self._session is None:
            message = "the campaign is not open: use `with campaign.open(folder):`."
            raise LogError(message)
        return self._session

    def ask(self, q: int | None = None) -> list[Trial]:
        """Return the next structures to evaluate; they are on disk before.

        What an interrupted session asked for and never learnt comes first, then what
        is left of the last step; only then a new step is planned. So fewer than `q`
        may come back, never none.

        Args:
            q: At most so many; the campaign's batch by default.

        Raises:
            ExhaustedError: no structure is left that was not asked for.
        """
        count = self.components.batch_size if q is None else check_count("q", q)
        queue = self._open_session.planned_trials() or self._open_session.plan_step(count)
        return self._open_session.start_evaluations(queue[:count])

    def tell(self, trial: Trial | str, result: Evaluation | Failure) -> None:
        """Record what came of a trial; it is on disk when this returns.

        Args:
            trial: What `ask` returned, in this session or an earlier one, or its key.
            result: What is known now. An energy that cannot be true is recorded as a
                failure.

        Raises:
            InputError: there is no such trial, or it has an outcome already.
        """
        self._open_session.tell(trial, result)

    def retract(self, trial: Trial | int | str, reason: str = "retracted") -> None:
        """Take back what a trial found: it is neither learnt from nor on a front.

        Its structure is not asked for again, and the log keeps the numbers.

        Args:
            trial: What `ask` returned, or `log.trials()` has, or its number or key.
            reason: One sentence for the person who reads the log.

        Raises:
            InputError: there is no such trial, it found nothing, or no reason is given.
            LogError: the folder was begun by a version that could not.
        """
        self._open_session.retract(trial, reason)

    def abandon(self, trial: Trial | str, reason: str = "abandoned") -> None:
        """Record that the energy of a trial will not be asked for any more.

        Raises:
            InputError: there is no such trial, or it has an outcome already.
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
        """Search until a stop rule ends it; on the same folder again, resume.

        Args:
            folder: The run folder.
            seed: Of all that is random.
            device: For the tensor work: auto, cpu or cuda.
            executor: Where energies are computed, instead of the campaign's own.
            stop: When it ends, instead of the campaign's own rule.
            progress: Whether to show a progress line; None shows it on a terminal.

        Returns:
            The log.
        """
        place = check_executor(executor) or self.executor or InProcess()
        rule = self.stop if stop is None else check_stop(stop, self.components.optimization_config)
        with (
            self.open(folder, seed, device),
            shutdown_on_exit(place),
            ProgressLine(progress) as line,
        ):
            reason = run_loop(self._open_session, place, rule, line)
            self.close("finished", reason)
        return self.log

"""Write access to the log: a step is on disk before any of its structures is evaluated.

Order of writing: the posterior file, then one transaction with the step, its trials and the sha256
of the file, then the evaluation, then one transaction with its result. So an unreferenced file may
exist and is removed at the next start; a row without its file cannot.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bostruct.campaign import records
from bostruct.campaign.log import (
    database,
    hash_chain,
    legacy_formats,
    posterior_file,
    unreferenced_files,
    upgrade,
)
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.lock import Lock
from bostruct.campaign.log.log_cache import LogCache
from bostruct.campaign.log.pending_table import PENDING_TABLE
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import (
    DATABASE_NAME,
    EVALUATION_FOLDER_NAME,
    POSTERIOR_FOLDER_NAME,
    evaluation_folder,
    has_campaign,
    prepare_to_write,
)
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.campaign.log.stress_table import STRESS_TABLE
from bostruct.campaign.member_names import MEMBER_KEY, member_names
from bostruct.campaign.number_ranges import NumberRanges
from bostruct.campaign.records import (
    Attempt,
    AttemptCause,
    AttemptState,
    PlannedStep,
    RelaxationReport,
    Step,
    Trial,
)
from bostruct.errors import InputError, LogError, error_message
from bostruct.evaluators import Evaluation, Failure
from bostruct.evaluators.evaluation_context import remove_running_marks, running_process
from bostruct.runtime import atomic_write
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.runtime.threads import thread_count
from bostruct.runtime.versions import package_versions
from bostruct.spaces import Space
from bostruct.spaces.stored_structures import SupportsStoredStructures
from bostruct.surrogates import Surrogate

MAX_DEATHS = 2
"""Deaths of processes during the evaluation of one trial after which it has failed."""

MAX_STORED_BYTES = 64 * 2**20
"""Size of the structures of a space above which they are not stored in the log."""

PLANNED_COLUMNS = ("kind", "seconds_fit", "seconds_search", "effort")
"""Columns of a step that are fields of the planned one."""

SQLiteValue = str | int | float | bytes | None
"""Types of SQLite values."""


class LogWriter(Log):
    """Log in one run folder, opened by its only writer.

    Args:
        folder: Run folder, created if it does not exist.
        description: Description of the campaign, for a new log.
        seed: Seed of the campaign, for a new log.
        space: Space that decodes the coordinates.
        surrogate: Surrogate that restores the posteriors.
        device: Device of the tensor work, for the record.

    Raises:
        LockedError: another process writes there.
        LogError: the folder cannot be written, or has an earlier log format.
    """

    def __init__(
        self,
        folder: str | Path,
        description: dict[str, Any],
        seed: int,
        *,
        space: Space | None,
        surrogate: Surrogate | None,
        device: str,
    ) -> None:
        path = Path(folder).absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path)
            try:
                prepare_to_write(path)
                if not has_campaign(path):
                    database.create_database(path, description, seed)
                super().__init__(path, space, surrogate)
                legacy_formats.check_writable_format(self.format, path)
                self._open_writer_session(device)
            except BaseException:
                self._disconnect()
                self._lock.release()
                raise
        except OSError as error:
            if isinstance(error, LogError):
                raise
            raise LogError(f"could not write in {path}: {error.strerror or error}") from error
        self._writing_seconds = 0.0  # time of writing that no step has been charged for

    def _open_writer_session(self, device: str) -> None:
        file = self.folder / DATABASE_NAME
        self._session_number = 0
        self._cache: LogCache | None = None
        try:
            # One connection for the tables of the log and of ASE: they commit together.
            seconds = atomic_write.BUSY_MILLISECONDS / 1000
            connection = sqlite3.connect(file, timeout=seconds, isolation_level=None)
            self._connection = connection
            journal = database.set_journal_mode(connection, self.folder)
            upgrade.upgrade_log(connection, self.folder)
            self.format = LOG_FORMAT
            self._check_folder()
            self._ase_rows = AseRows(file, connection)
        except sqlite3.Error as error:
            raise LogError(f"could not open {file}: {error}") from error
        session = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "device": device,
            "threads": thread_count(),
            "journal": journal,
            "versions": to_canonical_json(package_versions()),
            "started": time.time(),
        }
        with self._transaction():
            self._session_number = self._insert_row("session", session)
            self._identity = f"{to_canonical_json(self.description)}|{self.seed}"
            self._store_structures()
            if not self.description.get("asynchronous"):
                self._resume_trials()
        if not self.description.get("asynchronous"):
            remove_running_marks(self.folder / EVALUATION_FOLDER_NAME)

    def resume_trials(self) -> None:
        """Plan the trials again that earlier sessions have begun and not ended."""
        with self._transaction():
            self._resume_trials()
        remove_running_marks(self.folder / EVALUATION_FOLDER_NAME)

    def _resume_trials(self) -> None:
        """Plan the trials again, inside the open transaction."""
        query = "SELECT * FROM bostruct_session WHERE number < ? ORDER BY number DESC"
        former = self.query(query, self._session_number)
        for trial in self.trial_records("running"):
            self._resume_trial(trial, former)

    def _store_structures(self) -> None:
        """Store what the space is made of, inside the open transaction, unless it is there."""
        if not isinstance(self.space, SupportsStoredStructures):
            return
        if self.query("SELECT id FROM bostruct_structures"):
            return
        data = self.space.stored_structures().to_bytes()
        if len(data) <= MAX_STORED_BYTES:
            self._insert_row("structures", {"id": 1, "data": data})

    def _resume_trial(self, trial: Trial, former: Sequence[sqlite3.Row]) -> None:
        """Plan a trial again whose evaluation an earlier session has not ended.

        If that session has died while it evaluated in its own process, the evaluation may have
        killed it, and is not repeated for ever.

        Args:
            trial: Trial.
            former: Earlier sessions, the last one first.
        """
        owner = running_process(evaluation_folder(self.folder, trial.number))
        dead = [s for s in former if s["ended"] is None and (s["host"], s["pid"]) == owner]
        process = "process {pid} on {host}".format_map(dict((dead or former)[0]))
        if not dead:
            self._plan_again(trial, "interrupted", "resumed", f"{process} ended")
            return
        reason = f"{process} died during the evaluation"
        if self._deaths().get(trial.number, 0) + 1 < MAX_DEATHS:
            self._plan_again(trial, "died", "resumed", reason)
            return
        self._write_result(trial.number, Failure(f"{reason}, as one did before"))

    def _deaths(self) -> dict[int, int]:
        """Return how often a process died during each trial, since the user last asked for it."""
        query = (
            "SELECT trial, count(*) AS n FROM bostruct_attempt a WHERE state = 'died' AND "
            "attempt > (SELECT coalesce(max(attempt), 0) FROM bostruct_attempt b "
            "WHERE b.trial = a.trial AND cause = 'asked by the user') GROUP BY trial"
        )
        return {row["trial"]: row["n"] for row in self.query(query)}

    def _plan_again(
        self,
        trial: Trial,
        state: AttemptState,
        cause: AttemptCause,
        reason: str,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how an attempt ended, and plan the next one, inside the open transaction."""
        changes = dict(columns or {})
        seconds = float(changes.get("seconds") or 0.0)
        ended = Attempt(trial.number, trial.attempt, state, cause, reason, seconds)
        row = {**asdict(ended), "session": self._session_number, "recorded": time.time()}
        self._insert_row("attempt", row)
        attempt, x = trial.attempt + 1, records.to_bytes(trial.X)
        key = records.trial_key(self._identity, trial.number, x, attempt)
        changes |= {"state": "planned", "attempt": attempt, "key": key}
        self._update_row("trial", trial.number, **changes)

    def _check_folder(self) -> None:
        """Refuse a log that is not as it was written; remove what an interrupted planning left.

        Raises:
            LogError: a row or a posterior file is not as it was written.
        """
        check = hash_chain.check_rows(self._writing_connection)
        kept = {str(row["file"]) for row in self.query("SELECT file FROM bostruct_posterior")}
        n_steps = self.query("SELECT count(*) AS n FROM bostruct_step")[0]["n"]
        files = unreferenced_files.find_unreferenced(self.folder, kept)
        problems = (
            unreferenced_files.lost_step_problem(file, n_steps, check.hashes) for file in files
        )
        hash_chain.check_unchanged([*check.problems, *filter(None, problems)], self.folder)
        for file in files:
            file.unlink()

    def trial_records(self, *states: str) -> list[Trial]:
        """Return the trials without their structures, those in the given states if any."""
        if self._connection is None:
            return super().trial_records(*states)
        return self._decoded.trials(*states)

    def trial_with_key(self, key: str) -> Trial | None:
        """Return the trial of which a key names an attempt, the last or an earlier one."""
        return self._decoded.trial_with_key(key)

    def step_numbers(self, kind: str) -> frozenset[int]:
        """Return the numbers of the steps of one kind."""
        return self._decoded.step_numbers(kind)

    def steps(self) -> list[Step]:
        """Return all steps."""
        return super().steps() if self._connection is None else self._decoded.steps()

    @property
    def _decoded(self) -> LogCache:
        """Steps and trials as they are on disk."""
        if self._cache is None:
            self._cache = LogCache(super().steps(), super().trial_records())
        return self._cache

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit everything that is written inside, then decode the rows that changed."""
        self._changed_rows: set[tuple[str, int]] = set()
        try:
            with atomic_write.transaction(self._writing_connection):
                yield
            for kind, number in sorted(self._changed_rows):
                if kind == "step":
                    self._decoded.put_step(self.read_step(number))
                elif kind == "trial":
                    self._decoded.put_trial(self.read_trial(number))
        except BaseException:
            self._cache = None  # whether the commit was done is for the disk to tell
            raise

    def _append_row(self, kind: str, *key: int) -> None:
        """Record a row in the hash chain inside the open transaction."""
        hash_chain.append_row(self._writing_connection, kind, *key)
        self._changed_rows.add((kind, key[0]))

    def write_step(self, planned: PlannedStep) -> list[Trial]:
        """Record a step before any of its structures is evaluated; return its trials.

        Trials of initial data are finished at once.
        """
        start = time.perf_counter()
        first = self._decoded.n_trials
        if planned.step != self._decoded.n_steps:
            condition = f"be the next step, {self._decoded.n_steps}"
            raise InputError(error_message("step", condition, planned.step))
        data = b""
        if planned.tensors is not None:
            head = hash_chain.read_head(self._writing_connection)
            header = {**planned.header, posterior_file.CHAIN_KEY: head}
            data = posterior_file.to_safetensors(planned.tensors, header)
            name = posterior_file.posterior_file_name(planned.step)
            atomic_write.write_atomically(self.folder / POSTERIOR_FOLDER_NAME / name, data)
        with self._transaction():
            self._insert_step(planned, data)
            names = member_names(self.space, planned.X)
            for i in range(len(planned.X)):
                self._insert_trial(planned, i, first + i, names[i])
                if planned.results:
                    self._write_result(first + i, planned.results[i])
        atomic_write.checkpoint(self._writing_connection)
        self._writing_seconds += time.perf_counter() - start
        return self._decoded.trials()[first:]

    def _insert_step(self, planned: PlannedStep, data: bytes) -> None:
        step = {
            "number": planned.step,
            "session": self._session_number,
            "training_trials": NumberRanges.from_numbers(planned.training_trials).text,
            "hyperparameters": to_canonical_json(planned.hyperparameters),
            "planned": time.time(),
            **{name: getattr(planned, name) for name in PLANNED_COLUMNS},
        }
        self._insert_row("step", step)
        if planned.pending_trials:
            self._writing_connection.execute(PENDING_TABLE)
            pending = NumberRanges.from_numbers(planned.pending_trials).text
            self._insert_row("pending", {"step": planned.step, "trials": pending})
        if planned.tensors is not None:
            posterior = {
                "step": planned.step,
                "file": posterior_file.posterior_file_name(planned.step),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "content_sha256": posterior_file.content_sha256(data),
            }
            self._insert_row("posterior", posterior)

    def _insert_trial(self, planned: PlannedStep, i: int, number: int, member: str) -> None:
        x, attempt = records.to_bytes(planned.X[i]), 0 if planned.results else 1
        row = {
            "number": number,
            "step": planned.step,
            "key": records.trial_key(self._identity, number, x, attempt),
            "attempt": attempt,
            "state": "planned",
            "generator": planned.generators[i],
            "x": x,
            "provenance": to_canonical_json({MEMBER_KEY: member} if member else {}),
            **(planned.predictions[i] if planned.predictions else {}),
        }
        self._insert_row("trial", row)
        outcomes = planned.outcome_predictions[i] if planned.outcome_predictions else ()
        for position, outcome in enumerate(outcomes):
            self._insert_row("outcome", {"trial": number, "position": position, **asdict(outcome)})

    def _insert_row(self, kind: str, row: dict[str, Any]) -> int:
        """Insert a row inside the open transaction; return its row id."""
        row = row | ({"checksum": ""} if kind in hash_chain.CHECKSUM_KINDS else {})
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO bostruct_{kind} ({names}) VALUES ({marks})"
        row_id = int(self._writing_connection.execute(query, tuple(row.values())).lastrowid or 0)
        self._append_row(kind, *(row.get(name, row_id) for name in hash_chain.KEY_COLUMNS[kind]))
        return row_id

    def _update_row(self, kind: str, number: int, **values: SQLiteValue) -> None:
        """Change a trial or a session inside the open transaction."""
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE bostruct_{kind} SET {names} WHERE number = ?"
        self._writing_connection.execute(query, (*values.values(), number))
        self._append_row(kind, number)

    def mark_running(self, trials: Sequence[Trial]) -> None:
        """Record that the evaluation of planned trials begins."""
        planned = [trial.number for trial in trials if trial.state == "planned"]
        self._mark(*planned, state="running")

    def mark_planned(self, trials: Sequence[Trial]) -> None:
        """Record that the evaluation of trials has not begun after all."""
        self._mark(*(trial.number for trial in trials), state="planned")

    def _mark(self, *numbers: int, **values: SQLiteValue) -> None:
        """Change trials in a transaction; none is opened for none of them."""
        if numbers:
            with self._transaction():
                for number in numbers:
                    self._update_row("trial", number, **values)

    def mark_retry(self, trial: Trial, failure: Failure) -> None:
        """Record that an evaluation failed and is to be retried."""
        columns = {"reason": failure.reason, "retryable": 1, "seconds": failure.seconds}
        with self._transaction():
            self._plan_again(trial, "failed", "retryable", failure.reason, columns)

    def mark_death(self, trial: Trial, reason: str) -> None:
        """Record that a process died which may have evaluated the trial."""
        with self._transaction():
            self._plan_again(trial, "died", "retryable", reason)

    def n_retries(self, trial: Trial) -> int:
        """Return the number of failed attempts at a trial that were retried by themselves.

        Those before the user, or a new run after failures in a row, asked for it do not count.
        """
        query = (
            "SELECT count(*) AS n FROM bostruct_attempt WHERE trial = ? AND state = 'failed' AND "
            "cause = 'retryable' AND attempt > (SELECT coalesce(max(attempt), 0) FROM "
            "bostruct_attempt WHERE trial = ? AND cause IN ('asked by the user', "
            "'failures in a row'))"
        )
        count: int = self.query(query, trial.number, trial.number)[0]["n"]
        return max(count, int(trial.retryable))  # of which earlier logs hold the flag alone

    def mark_asked_again(self, trials: Sequence[Trial], cause: AttemptCause) -> None:
        """Record that failed trials are evaluated again."""
        with self._transaction():
            for trial in trials:
                columns = {"retryable": 0, "finished": None, "seconds": trial.seconds}
                self._plan_again(trial, "failed", cause, trial.reason, columns)

    def suspects(self) -> set[int]:
        """Return the numbers of the trials during which a process has died."""
        return set(self._deaths())

    def write_result(self, number: int, result: Evaluation | Failure) -> None:
        """Record the result of a trial."""
        start = time.perf_counter()
        with self._transaction():
            self._add_log_seconds(self._write_result(number, result))
        atomic_write.checkpoint(self._writing_connection)
        self._writing_seconds += time.perf_counter() - start

    def _write_result(self, number: int, result: Evaluation | Failure) -> int:
        """Record the result of a trial inside the open transaction; return its step."""
        values: dict[str, Any] = {"seconds": result.seconds, "finished": time.time()}
        query = "SELECT * FROM bostruct_trial WHERE number = ?"
        trial = self.with_structures([records.trial_from_row(self.query(query, number)[0])])[0]
        if isinstance(result, Failure):
            values |= {"state": "failed", "reason": result.reason, "retryable": result.retryable}
        else:
            done = replace(trial, energy=result.energy, forces=result.forces, stress=result.stress)
            if result.stress is not None:
                self._writing_connection.execute(STRESS_TABLE)
                stress = records.to_bytes(result.stress)
                self._insert_row("stress", {"trial": number, "stress": stress})
            member = {MEMBER_KEY: trial.member} if trial.member else {}
            values |= {
                "state": "done",
                "energy": result.energy,
                "forces": None if result.forces is None else records.to_bytes(result.forces),
                "properties": to_canonical_json(dict(result.properties)),
                "provenance": to_canonical_json(dict(result.provenance) | member),
                "ase_id": self._ase_rows.write(done),
                **{"reason": "", "retryable": 0},
            }
        self._update_row("trial", number, **values)
        return trial.step

    def _add_log_seconds(self, step: int) -> None:
        """Charge a step with the time of writing so far, inside the open transaction."""
        query = "UPDATE bostruct_step SET seconds_log = seconds_log + ? WHERE number = ?"
        self._writing_connection.execute(query, (self._writing_seconds, step))
        self._changed_rows.add(("step", step))
        self._writing_seconds = 0.0

    def write_relaxation_report(self, reports: Sequence[RelaxationReport]) -> None:
        """Record the progress of the final relaxation."""
        text = to_canonical_json([asdict(report) for report in reports])
        with self._transaction():
            self._update_row("session", self._session_number, relaxations=text)

    def mark_retracted(self, number: int, reason: str) -> None:
        """Record that the result of a trial is retracted."""
        self._mark(number, state="retracted", reason=reason)

    def mark_doubt(self, number: int, reason: str) -> None:
        """Record why the result of a trial is doubted; "" takes the doubt back."""
        self._mark(number, doubt=reason)

    def mark_trusted(self, number: int, reason: str) -> None:
        """Record why the result of a trial is believed in spite of a doubt."""
        self.mark_doubt(number, records.TRUST_PREFIX + reason)

    def mark_abandoned(self, number: int, reason: str) -> None:
        """Record that a trial will not be evaluated."""
        self._mark(number, state="abandoned", reason=reason)

    def close(self, status: str = "paused", reason: str = "") -> None:
        """Record how the session ended, and release the lock."""
        if self._connection is None:
            return
        try:
            with self._transaction():
                ended: dict[str, SQLiteValue] = {"ended": time.time(), "status": status}
                self._update_row("session", self._session_number, **ended, reason=reason)
        finally:
            self._disconnect()
            self._lock.release()

    @property
    def _writing_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogError(f"the log in {self.folder} is closed: open it again.")
        return self._connection

    def _disconnect(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            database.disconnect(connection)
            self._connection = None

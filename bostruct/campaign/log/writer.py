"""The log of a campaign, for writing: what is on disk before an energy is asked for.

Order: the array file first, then one transaction with the step, its trials and the
file's sha256, then the energy is asked for, then one transaction with the outcome. So
an unreferenced file may exist and is swept; a row without its file cannot.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bostruct.campaign import records
from bostruct.campaign.log import database, posterior_file
from bostruct.campaign.log.ase_rows import Rows
from bostruct.campaign.log.lock import Lock
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import DATABASE, POSTERIORS, inspect
from bostruct.campaign.log.schema import OUTCOMES
from bostruct.campaign.records import Checked, Planned, Trial
from bostruct.errors import InputError, LogError, must
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime import atomic_write
from bostruct.runtime.canonical_json import canonical
from bostruct.runtime.versions import versions
from bostruct.spaces import Space
from bostruct.surrogates import Surrogate

Value = str | int | float | bytes | None
"""What SQLite holds."""


class Ledger(Log):
    """The log in one run folder, held by its only writer.

    Args:
        folder: The run folder; made if it does not exist.
        description: Of the campaign, for a new log.
        seed: Of the campaign, for a new log.
        space: Decodes the coordinates.
        surrogate: Rebuilds the posteriors.
        device: On which the tensor work is done; for the record.

    Raises:
        LockedError: another process writes there.
        LogError: the folder cannot be written.
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
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path)
            try:
                if not inspect(path):
                    database.create(path, description, seed)
                super().__init__(path, space, surrogate)
                self._start(device)
            except BaseException:
                self._disconnect()
                self._lock.release()
                raise
        except OSError as error:
            if isinstance(error, LogError):
                raise
            message = f"could not write in {path}: {error.strerror or error}"
            raise LogError(message) from error
        self._seconds = 0.0  # of writing, not yet in the log itself

    def _start(self, device: str) -> None:
        file = self.folder / DATABASE
        self._session = 0
        try:
            # One connection for our tables and ASE's: they commit together.
            connection = sqlite3.connect(file, timeout=20, isolation_level=None)
            self._connection = connection
            journal = database.journal(connection, self.folder)
            self._rows = Rows(file, connection)
        except sqlite3.Error as error:
            raise LogError(f"could not open {file}: {error}") from error
        with atomic_write.transaction(connection):
            cursor = connection.execute(
                "INSERT INTO bostruct_session "
                "(host, pid, device, threads, journal, versions, started) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    socket.gethostname(),
                    os.getpid(),
                    device,
                    torch.get_num_threads(),
                    journal,
                    canonical(versions()),
                    time.time(),
                ),
            )
            self._session = int(cursor.lastrowid or 0)
            self._identity = f"{canonical(self.description)}|{self.seed}"
            for trial in self.undecoded("running"):
                self._set(trial.number, **self._again(trial))
        self._sweep()

    def _again(self, trial: Trial) -> dict[str, Any]:
        """Return what changes of a trial whose energy is asked for another time."""
        attempt = trial.attempt + 1
        x = records.pack(trial.X) or b""
        new = records.key(self._identity, trial.number, x, attempt)
        return {"state": "planned", "attempt": attempt, "key": new}

    def _sweep(self) -> None:
        """Remove posterior files that no step refers to."""
        query = "SELECT file FROM bostruct_posterior"
        kept = {str(row["file"]) for row in self.rows(query)}
        for file in (self.folder / POSTERIORS).iterdir():
            if file.name.startswith("step-") and file.name not in kept:
                file.unlink()

    def add(self, planned: Planned) -> list[Trial]:
        """Record a step before any of its energies is asked for; return its trials.

        What was given with its outcome is finished at once.
        """
        start = time.perf_counter()
        steps = self.rows("SELECT count(*) AS n FROM bostruct_step")[0]["n"]
        first = self.rows("SELECT count(*) AS n FROM bostruct_trial")[0]["n"]
        if planned.step != steps:
            condition = f"be the next step, {steps}"
            raise InputError(must("step", condition, planned.step))
        data = b""
        if planned.tensors is not None:
            data = posterior_file.pack(planned.tensors, planned.header)
            atomic_write.write(
                self.folder / POSTERIORS / posterior_file.name(planned.step), data
            )
        with atomic_write.transaction(self._open):
            self._add_step(planned, data)
            for i in range(len(planned.X)):
                self._add_trial(planned, i, first + i)
                if planned.outcomes:
                    self._finish(first + i, planned.outcomes[i])
        self._seconds += time.perf_counter() - start
        return self.undecoded()[first:]

    def _add_step(self, planned: Planned, data: bytes) -> None:
        row = {
            "number": planned.step,
            "session": self._session,
            "kind": planned.kind,
            "known": canonical(planned.known),
            "hyperparameters": canonical(planned.hyperparameters),
            "planned": time.time(),
            "seconds_fit": planned.seconds_fit,
            "seconds_search": planned.seconds_search,
            "level": planned.level,
        }
        row["checksum"] = records.checksum(row)
        self._insert("bostruct_step", row)
        if planned.tensors is not None:
            posterior = {
                "step": planned.step,
                "file": posterior_file.name(planned.step),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            self._insert("bostruct_posterior", posterior)

    def _add_trial(self, planned: Planned, i: int, number: int) -> None:
        x = records.pack(planned.X[i]) or b""
        values = planned.predictions[i] if planned.predictions else {}
        attempt = 0 if planned.outcomes else 1
        row = {
            "number": number,
            "step": planned.step,
            "key": records.key(self._identity, number, x, attempt),
            "attempt": attempt,
            "state": "planned",
            "origin": planned.origins[i],
            "x": x,
            **values,
        }
        self._insert("bostruct_trial", {**row, "checksum": ""})
        self._set(number)
        for place, each in enumerate(planned.said[i] if planned.said else ()):
            said = {"trial": number, "place": place, **asdict(each)}
            said["exact"] = int(each.exact)
            said["checksum"] = records.checksum(said)
            self._insert("bostruct_outcome", said)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        query = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        self._open.execute(query, tuple(row.values()))

    def _set(self, number: int, **values: Value) -> None:
        """Change a trial inside the open transaction, and its checksum with it."""
        query = "SELECT * FROM bostruct_trial WHERE number = ?"
        row = {**dict(self.rows(query, number)[0]), **values}
        values["checksum"] = records.checksum(row)
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE bostruct_trial SET {names} WHERE number = ?"
        self._open.execute(query, (*values.values(), number))

    def run(self, trials: Sequence[Trial]) -> None:
        """Record that the energies of planned trials are being asked for."""
        planned = [trial for trial in trials if trial.state == "planned"]
        if not planned:
            return
        with atomic_write.transaction(self._open):
            for trial in planned:
                self._set(trial.number, state="running")

    def again(self, trial: Trial, failure: Failure) -> None:
        """Record that a trial failed and is to be asked for once more."""
        said: dict[str, Value] = {"reason": failure.reason, "retryable": 1}
        said["seconds"] = failure.seconds
        with atomic_write.transaction(self._open):
            self._set(trial.number, **self._again(trial), **said)

    def finish(self, number: int, outcome: Evaluation | Failure) -> None:
        """Record what came of a trial."""
        start = time.perf_counter()
        with atomic_write.transaction(self._open):
            self._account(self._finish(number, outcome))
        self._seconds += time.perf_counter() - start

    def _finish(self, number: int, outcome: Evaluation | Failure) -> int:
        """Record what came of a trial inside the open transaction; return its step."""
        values: dict[str, Any] = {"seconds": outcome.seconds, "finished": time.time()}
        query = "SELECT * FROM bostruct_trial WHERE number = ?"
        trial = self.decoded([records.trial(self.rows(query, number)[0])])[0]
        if isinstance(outcome, Failure):
            values |= {
                "state": "failed",
                "reason": outcome.reason,
                "retryable": int(outcome.retryable),
            }
        else:
            done = replace(trial, energy=outcome.energy, forces=outcome.forces)
            values |= {
                "state": "done",
                "energy": outcome.energy,
                "forces": records.pack(outcome.forces),
                "properties": canonical(dict(outcome.properties)),
                "provenance": canonical(dict(outcome.provenance)),
                "row": self._rows.write(done),
                "reason": "",
                "retryable": 0,
            }
        self._set(number, **values)
        return trial.step

    def _account(self, step: int) -> None:
        """Charge a step for the time of writing so far, inside the transaction."""
        query = (
            "UPDATE bostruct_step SET seconds_log = seconds_log + ? WHERE number = ?"
        )
        self._open.execute(query, (self._seconds, step))
        self._seconds = 0.0

    def report(self, checked: Sequence[Checked]) -> None:
        """Record how far the final check is."""
        text = canonical([asdict(each) for each in checked])
        query = "UPDATE bostruct_session SET checked = ? WHERE number = ?"
        with atomic_write.transaction(self._open):
            self._open.execute(query, (text, self._session))

    def retract(self, number: int, reason: str) -> None:
        """Record that what a trial found is not believed any more.

        Raises:
            LogError: the folder was begun by a version that could not.
        """
        if self.format < OUTCOMES:
            raise LogError(
                f"{self.folder} has log format {self.format}, in which nothing can be "
                f"retracted; that takes {OUTCOMES}. Start again in another folder, "
                "with the other structures as `start`."
            )
        with atomic_write.transaction(self._open):
            self._set(number, state="retracted", reason=reason)

    def abandon(self, number: int, reason: str) -> None:
        """Record that the energy of a trial will not be asked for."""
        with atomic_write.transaction(self._open):
            self._set(number, state="abandoned", reason=reason)

    def close(self, status: str = "paused", reason: str = "") -> None:
        """Record how the session ended, and let others write."""
        if self._connection is None:
            return
        try:
            with atomic_write.transaction(self._open):
                self._open.execute(
                    "UPDATE bostruct_session SET ended = ?, status = ?, reason = ? "
                    "WHERE number = ?",
                    (time.time(), status, reason, self._session),
                )
        finally:
            self._disconnect()
            self._lock.release()

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LogError(f"the log in {self.folder} is closed: open it again.")
        return self._connection

    def _disconnect(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
            self._connection = None

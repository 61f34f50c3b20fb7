"""Read access to the log of a run folder: trials, steps, predictions, posteriors and the front."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bostruct.campaign import records
from bostruct.campaign.analysis.calibration import (
    MISCOVERAGE,
    OnlineCalibration,
    calibration_at_step,
    online_calibration,
    trial_z_scores,
)
from bostruct.campaign.analysis.outcome_table import single_outcome
from bostruct.campaign.analysis.pareto_front import ParetoFront
from bostruct.campaign.analysis.predictions import LoggedPrediction, logged_predictions
from bostruct.campaign.log import legacy_formats, posterior_file, upgrade
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS, reads_log
from bostruct.campaign.log.pending_table import read_pending
from bostruct.campaign.log.run_folder import (
    POSTERIOR_FOLDER_NAME,
    database_path,
    has_campaign,
    read_access,
    read_database,
)
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.campaign.log.schema_check import bounded_rows, check_tables
from bostruct.campaign.log.stress_table import read_stresses
from bostruct.campaign.number_ranges import NumberRanges
from bostruct.campaign.records import (
    Attempt,
    OutcomePrediction,
    RelaxationReport,
    Step,
    Trial,
    training_structures,
)
from bostruct.campaign.reference_entries import ReferenceEntries, space_references
from bostruct.errors import InputError, LogError, error_message
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.runtime.canonical_json import parse_json, to_canonical_json
from bostruct.runtime.regular_file import check_folder, read_regular_file
from bostruct.spaces import Space
from bostruct.spaces.stored_structures import StoredStructures
from bostruct.structures import Structures
from bostruct.surrogates import FittedModel, Surrogate
from bostruct.surrogates.legacy_state import upgrade_state

STEPS_QUERY = """
SELECT s.*, p.file, p.sha256 FROM bostruct_step s
LEFT JOIN bostruct_posterior p ON p.step = s.number
"""


class Log:
    """Log in one run folder; folders of earlier formats are read under the present names.

    Args:
        folder: Run folder.
        space: Space that decodes the coordinates; without it trials have no structures.
        surrogate: Surrogate that restores the posteriors; without it `posterior` is refused.
        build_surrogate: Function that returns the surrogate when it is needed; optional.

    Raises:
        LogError: the folder holds no campaign, or one of a newer bostruct.
    """

    def __init__(
        self,
        folder: str | Path,
        space: Space | None = None,
        surrogate: Surrogate | None = None,
        *,
        build_surrogate: Callable[[], Surrogate | None] | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.space = space
        self.added_references = ReferenceEntries(())
        self._build_surrogate = build_surrogate or (lambda: surrogate)
        self.format = LOG_FORMAT
        self._connection: sqlite3.Connection | None = None
        if not has_campaign(self.folder):
            raise LogError(f"{self.folder} holds no campaign.")
        row = self._campaign_row()
        if row["format"] > LOG_FORMAT:
            raise LogError(
                f"{self.folder} has log format {row['format']}, this bostruct reads up to "
                f"{LOG_FORMAT}. Update bostruct."
            )
        self.format = row["format"]
        read_database(self.folder, self._check_tables)
        self.seed: int = row["seed"]
        name = f"{database_path(self.folder)}: description"
        self.description: dict[str, Any] = parse_json(row["description"], name, dict, object)
        if self.format < legacy_formats.RENAMED_FORMAT:
            self.description = legacy_formats.upgrade_description(self.description)
        self.created: float = row["created"]

    @property
    def references(self) -> ReferenceEntries:
        """Phases that the convex hull is drawn to beside the trials: the campaign's, and more."""
        described = ReferenceEntries.from_description(self.description.get("references"))
        return described + self.added_references

    def with_references(self, references: object) -> Log:
        """Return the log with more phases on its convex hull; nothing is written.

        Args:
            references: Energies in eV per atom by formula, crystals with energies
                or files of them, or entries of pymatgen or a JSON file of them.

        Raises:
            InputError: the space is none of crystals, or an entry is none.
        """
        other = copy(self)
        other.added_references += space_references(references, self.space)
        return other

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """Surrogate that restores the posteriors; None where the log was opened without one."""
        return self._build_surrogate()

    def query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query; an SQLite error becomes a `LogError`."""
        if self._connection is None:
            return read_database(self.folder, lambda c: self._read_rows(c, sql, values))
        try:
            cursor = self._connection.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise LogError(f"could not read {database_path(self.folder)}: {error}") from error

    def _campaign_row(self) -> dict[str, Any]:
        """Return the one row of `bostruct_campaign`, whose format is a number."""
        rows = [dict(row) for row in self.query("SELECT * FROM bostruct_campaign LIMIT 2")]
        if len(rows) != 1 or type(rows[0].get("format")) is not int:
            raise LogError(
                f"{database_path(self.folder)} holds no campaign: the table bostruct_campaign is "
                "not as bostruct writes it."
            )
        return rows[0]

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        if self.format < LOG_FORMAT:
            legacy_formats.create_views(connection)
        check_tables(connection, database_path(self.folder), self.format)

    def _read_rows(
        self, connection: sqlite3.Connection, sql: str, values: Sequence[object]
    ) -> list[sqlite3.Row]:
        """Return the rows of a query, read through a read-only connection."""
        if self.format < LOG_FORMAT:
            legacy_formats.create_views(connection)
        cursor = connection.cursor()
        cursor.row_factory = sqlite3.Row
        return bounded_rows(cursor.execute(sql, values), database_path(self.folder))

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer's connection, or a read-only one that is closed afterwards."""
        if self._connection is not None:
            yield self._connection
            return
        try:
            with read_access(self.folder) as connection:
                if self.format < LOG_FORMAT:
                    legacy_formats.create_views(connection)
                yield connection
        except sqlite3.Error as error:
            raise LogError(f"could not read {database_path(self.folder)}: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read all that is read inside from one state of the log.

        Raises:
            LogError: the database could not be read.
        """
        if self._connection is not None:
            yield
            return
        with self.connection() as connection:
            connection.execute("BEGIN")
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    @reads_log
    def trials(self, *states: str) -> list[Trial]:
        """Return the trials in the order of their numbers, those in the given states if any."""
        return self.with_structures(self.trial_records(*states))

    @reads_log
    def trial_records(self, *states: str) -> list[Trial]:
        """Return the same trials without their structures, which take longest to decode."""
        rows = self.query("SELECT * FROM bostruct_trial ORDER BY number")
        return self._trials_from_rows([row for row in rows if not states or row["state"] in states])

    @reads_log
    def trials_before_retraction(self) -> list[Trial]:
        """Return all trials as they were before any of them was retracted or doubted."""
        rows = map(dict, self.query("SELECT * FROM bostruct_trial ORDER BY number"))
        states = {"retracted": "done"}
        return self._trials_from_rows(
            [{**row, "doubt": "", "state": states.get(row["state"], row["state"])} for row in rows]
        )

    def read_trial(self, number: int) -> Trial:
        """Return one trial by its number, without its structure."""
        rows = self.query("SELECT * FROM bostruct_trial WHERE number = ?", number)
        query = "SELECT * FROM bostruct_outcome WHERE trial = ? ORDER BY position"
        outcomes = [] if self.optimization_config is None else self.query(query, number)
        outcome_predictions = tuple(map(records.outcome_from_row, outcomes))
        stress = read_stresses(self.query, number).get(number)
        return records.trial_from_row(rows[0], outcome_predictions, stress)

    def _trials_from_rows(self, rows: Sequence[records.DatabaseRow]) -> list[Trial]:
        predictions: dict[int, list[OutcomePrediction]] = {}
        if self.optimization_config is not None:
            for row in self.query("SELECT * FROM bostruct_outcome ORDER BY trial, position"):
                predictions.setdefault(row["trial"], []).append(records.outcome_from_row(row))
        stresses = read_stresses(self.query)
        return [
            records.trial_from_row(
                row, tuple(predictions.get(row["number"], ())), stresses.get(row["number"])
            )
            for row in rows
        ]

    @cached_property
    @reads_log
    def optimization_config(self) -> OptimizationConfig | None:
        """Objectives and constraints of the campaign; None where it minimizes the energy."""
        described = self.description.get("optimization_config")
        if described is None:
            return None
        return OptimizationConfig(
            tuple(Objective(**part) for part in described["objectives"]),
            tuple(Constraint(**part) for part in described["constraints"]),
        )

    @reads_log
    def with_structures(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return trials with their structures, if the log has a space."""
        if self.space is None or not trials:
            return list(trials)
        for trial in trials:
            if len(trial.X) != self.space.dimension:
                raise LogError(
                    f"trial {trial.number} of {self.folder} has {len(trial.X)} coordinates, its "
                    f"space {self.space.dimension}."
                )
        decoded = self.space.decode(torch.stack([trial.X for trial in trials]))
        return [replace(trial, structures=decoded[i]) for i, trial in enumerate(trials)]

    @reads_log
    def attempts(self) -> list[Attempt]:
        """Return the attempts that others have followed, with their ends, by trial and number."""
        if not self.has_chain:
            return []  # of an earlier bostruct
        rows = self.query("SELECT * FROM bostruct_attempt ORDER BY trial, attempt")
        names = [item.name for item in fields(Attempt)]
        return [Attempt(**{name: row[name] for name in names}) for row in rows]

    @reads_log
    def steps(self) -> list[Step]:
        """Return all steps."""
        n_trials = self.query("SELECT count(*) AS n FROM bostruct_trial")[0]["n"]
        rows, pending = self.query(f"{STEPS_QUERY} ORDER BY s.number"), read_pending(self.query)
        for row in rows:
            for name, text in (
                ("training_trials", row["training_trials"]),
                ("pending trials", pending.get(row["number"], "[]")),
            ):
                parse_json(text, f"step {row['number']}: {name}", list, (int, list))
                ranges = NumberRanges(text).ranges
                if any(run.start < 0 or run.stop > n_trials for run in ranges):
                    raise LogError(
                        f"step {row['number']} of {self.folder} was planned from trials that the "
                        "log does not have."
                    )
        return [records.step_from_row(row, pending.get(row["number"], "[]")) for row in rows]

    def read_step(self, number: int) -> Step:
        """Return one step by its number."""
        (row,) = self.query(f"{STEPS_QUERY} WHERE s.number = ?", number)
        return records.step_from_row(row, read_pending(self.query, number).get(number, "[]"))

    @reads_log
    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions: process, host, device, package versions, times and status."""
        rows = self.query("SELECT * FROM bostruct_session ORDER BY number")
        return [
            {**dict(row), "versions": parse_json(row["versions"], "session: versions", dict, str)}
            for row in rows
        ]

    @reads_log
    def relaxations(self) -> list[RelaxationReport]:
        """Return the reports of the last final relaxation; none without one."""
        texts = [session.get("relaxations") for session in self.sessions()]
        text = next((text for text in reversed(texts) if text), "[]")
        reports: Iterable[dict[str, Any]] = parse_json(text, "session: relaxations", list, dict)
        if self.format < legacy_formats.RENAMED_FORMAT:
            reports = map(legacy_formats.upgrade_relaxation_report, reports)
        return [RelaxationReport(**report) for report in reports]

    @reads_log
    def calibration(self, step: int | None = None, outcome: str | None = None) -> OnlineCalibration:
        """Return the calibration of the predictions so far.

        Args:
            step: Step whose calibration is wanted, from the results known when it was planned;
                None takes all results.
            outcome: Outcome whose predictions are taken, in outcome space; None takes the energy.

        Raises:
            InputError: there is no such step, it had no surrogate, or the campaign has no
                objective or constraint on the outcome.
        """
        if step is None:
            return online_calibration(self._with_outcome(outcome, self.trial_records()))
        self.posterior_path(step)
        return calibration_at_step(
            trial_z_scores(self._with_outcome(outcome, self.trials_before_retraction())),
            self.steps()[step].training_trials,
        )

    def _with_outcome(self, outcome: str | None, trials: list[Trial]) -> list[Trial]:
        """Return trials with one outcome in place of the energy.

        Raises:
            InputError: the campaign has no objective or constraint on it.
        """
        if outcome is None:
            return trials
        config = self.optimization_config
        if config is None or outcome not in config.outcome_names:
            names = "none" if config is None else ", ".join(config.outcome_names)
            condition = "name an outcome of an objective or a constraint"
            hint = f"The campaign has {names}."
            raise InputError(error_message("outcome", condition, repr(outcome), hint))
        return single_outcome(trials, config, outcome)

    @reads_log
    def predictions(
        self, eps: float = MISCOVERAGE, outcome: str | None = None
    ) -> list[LoggedPrediction]:
        """Return the prediction of each trial from before its evaluation.

        Args:
            eps: Miscoverage of the conformal intervals.
            outcome: Outcome whose predictions are taken, in outcome space; None takes the energy.

        Raises:
            InputError: eps is outside 0 to 1, or the campaign has no objective or constraint on
                the outcome.
        """
        before = self._with_outcome(outcome, self.trials_before_retraction())
        trials = self._with_outcome(outcome, self.trial_records())
        return logged_predictions(trials, self.steps(), trial_z_scores(before), eps)

    @reads_log
    def pareto_front(self, reference: Mapping[str, float] | None = None) -> ParetoFront:
        """Return the Pareto front with its history.

        Args:
            reference: Reference point, raw values of all objectives; None takes that of the last
                step.

        Raises:
            InputError: the campaign has no objectives, or the reference does not name them.
        """
        if self.optimization_config is None:
            condition = "be one of a campaign with objectives"
            value = f"that of one that minimizes the energy, {self.folder}"
            raise InputError(error_message("log", condition, value))
        return ParetoFront.from_trials(
            self.trial_records(),
            self.trials_before_retraction(),
            self.steps(),
            self.optimization_config,
            reference,
        )

    @property
    def has_chain(self) -> bool:
        """True if the log has a hash chain and attempts, as from format 5 on."""
        return self.format > upgrade.UPGRADED_FORMAT

    def stored_structures(self) -> StoredStructures | None:
        """Return the structures that the space is made of; None where none were stored.

        Raises:
            InputError: the stored bytes are not those of structures.
        """
        if not self.has_chain:
            return None
        rows = self.query("SELECT data FROM bostruct_structures")
        return StoredStructures.from_bytes(rows[0]["data"]) if rows else None

    @reads_log
    def structures(self) -> Structures:
        """Return all structures with a known energy that is not doubted, and their forces.

        Raises:
            LogError: the log has no space, or no energy yet.
        """
        trials = [t for t in self.trial_records("done") if t.is_known and t.energy is not None]
        if self.space is None or not trials:
            condition = "have a space and at least one energy"
            raise LogError(error_message("log", condition, f"{len(trials)} energies"))
        return training_structures(trials, self.space)

    def posterior_path(self, step: int) -> Path:
        """Return the path of a step's posterior file.

        Raises:
            InputError: there is no such step, or it had no surrogate.
        """
        return self._posterior_file(step)[0]

    def _posterior_file(self, step: int) -> tuple[Path, str, int]:
        """Return path, sha256 and size in bytes of a step's posterior file, as it was written."""
        query = "SELECT file, sha256, bytes FROM bostruct_posterior WHERE step = ?"
        rows = self.query(query, step)
        if not rows:
            query = "SELECT min(step) AS first, max(step) AS last FROM bostruct_posterior"
            (steps,) = self.query(query)
            first, last = steps
            present = "none yet" if last is None else f"{first} to {last}"
            hint = f"Steps with one: {present}; the first are random."
            raise InputError(error_message("step", "be one with a posterior", step, hint))
        name, sha256, size = rows[0]["file"], rows[0]["sha256"], rows[0]["bytes"]
        check_folder(self.folder / POSTERIOR_FOLDER_NAME)
        if not posterior_file.is_posterior_file_name(name):
            raise LogError(
                f"step {step} of {self.folder} names {name!r}, which is no posterior file "
                f"in its folder {POSTERIOR_FOLDER_NAME}."
            )
        return self.folder / POSTERIOR_FOLDER_NAME / name, sha256, size

    def posterior_tensors(self, step: int) -> dict[str, Tensor]:
        """Return the tensors of a step's posterior file; `posterior_file` lists their names.

        Raises:
            LogError: the file is missing, or was changed.
        """
        return self.read_posterior(step)[0]

    @reads_log
    def candidate_generators(self, step: int) -> list[str]:
        """Return the name of the generator of each candidate of a step."""
        return list(map(str, self.read_posterior(step)[1]["generators"]))

    @reads_log
    def posterior(self, step: int) -> FittedModel:
        """Return the fitted surrogate of a step, restored from its posterior file.

        Raises:
            InputError: the step had no surrogate.
            LogError: the log was opened without a surrogate, or the file is damaged or of a
                version that cannot be restored.
        """
        return self.restore(step, self.posterior_tensors(step))

    def restore(self, step: int, tensors: Mapping[str, Tensor]) -> FittedModel:
        """Return the fitted surrogate of a step from the tensors of its posterior file.

        Raises:
            LogError: the log was opened without a surrogate, or the tensors are of a version that
                cannot be restored.
        """
        if self.surrogate is None:
            raise LogError(
                "the log was opened without a surrogate: open it through its campaign, "
                "Campaign.read(folder)."
            )
        try:
            state = posterior_file.model_state(tensors)
            if self.format < legacy_formats.RENAMED_FORMAT:
                kind = str(self.description["surrogate"].get("type", ""))
                state = upgrade_state(kind, state)
            return self.surrogate.restore(state, self.space)
        except CONTENT_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            raise LogError(f"step {step}: could not be rebuilt: {reason}") from error

    @reads_log
    def read_posterior(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the header of a step's posterior file.

        Raises:
            InputError: the step had no surrogate.
            LogError: the file is missing, or was changed.
        """
        path, sha256, size = self._posterior_file(step)
        data = read_regular_file(path, min(size, posterior_file.MAX_BYTES))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LogError(f"{path} is not what was written: its sha256 differs.")
        contents = posterior_file.from_safetensors(data, str(path))
        if self.format < legacy_formats.RENAMED_FORMAT:
            return legacy_formats.upgrade_posterior_file(*contents)
        return contents

    @reads_log
    def fingerprint(self) -> str:
        """Return a digest of all that does not depend on time, host or versions.

        Two runs of one campaign, interrupted or not, have the same one.
        """
        queries = [
            "SELECT number, step, state, generator, candidate_index, x, mean, latent_variance, "
            "predictive_variance, acquisition, energy, forces, reason "
            "FROM bostruct_trial ORDER BY number",
            "SELECT step, CASE content_sha256 WHEN '' THEN sha256 ELSE content_sha256 END "
            "AS sha256 FROM bostruct_posterior ORDER BY step",
            "SELECT number, kind, training_trials, hyperparameters "
            "FROM bostruct_step ORDER BY number",
        ]
        if self.optimization_config is not None:
            queries.append("SELECT * FROM bostruct_outcome ORDER BY trial, position")
        if read_stresses(self.query):
            queries.append("SELECT * FROM bostruct_stress ORDER BY trial")
        if read_pending(self.query):
            queries.append("SELECT step, trials FROM bostruct_pending ORDER BY step")
        digest = hashlib.sha256(f"{to_canonical_json(self.description)}{self.seed}".encode())
        for query in queries:
            for row in self.query(query):
                digest.update(records.row_checksum(dict(row)).encode())
        return digest.hexdigest()

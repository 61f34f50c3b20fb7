"""The log of a campaign, for reading: what was asked, why, and what came of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from bostruct.campaign.log import posterior_file
from bostruct.campaign.log.run_folder import (
    POSTERIOR_FOLDER_NAME,
    connect_read_only,
    database_path,
    has_campaign,
)
from bostruct.campaign.log.schema import LOG_FORMAT
from bostruct.campaign.records import (
    OutcomePrediction,
    RelaxationReport,
    Step,
    Trial,
    training_structures,
)
from bostruct.errors import InputError, LogError, error_message
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.spaces import Space
from bostruct.structures import Structures
from bostruct.surrogates import FittedModel, Surrogate

STEPS_QUERY = """
SELECT s.*, p.file, p.sha256 FROM bostruct_step s
LEFT JOIN bostruct_posterior p ON p.step = s.number ORDER BY s.number
"""


class Log:
    """The log in one run folder.

    Args:
        folder: The run folder.
        space: Decodes the coordinates; without it trials have no structures.
        surrogate: Rebuilds the posteriors; without it `posterior` is refused.

    Raises:
        LogError: there is no campaign in the folder, or a newer bostruct wrote it.
    """

    def __init__(
        self,
        folder: str | Path,
        space: Space | None = None,
        surrogate: Surrogate | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.space = space
        self.surrogate = surrogate
        self._connection: sqlite3.Connection | None = None
        if not has_campaign(self.folder):
            raise LogError(f"{self.folder} holds no campaign.")
        row = self.query("SELECT * FROM bostruct_campaign")[0]
        if row["format"] > LOG_FORMAT:
            raise LogError(
                f"{self.folder} has log format {row['format']}, this bostruct reads "
                f"up to {LOG_FORMAT}. Update bostruct."
            )
        self.format: int = row["format"]
        self.seed: int = row["seed"]
        self.description: dict[str, Any] = json.loads(row["description"])
        self.created: float = row["created"]

    def query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Return the rows of a query; a problem is a `LogError`."""
        try:
            with self.connection() as connection:
                cursor = connection.cursor()
                cursor.row_factory = sqlite3.Row
                return cursor.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            message = f"could not read {database_path(self.folder)}: {error}"
            raise LogError(message) from error

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection: the writer's own, or one that is closed after."""
        if self._connection is not None:
            yield self._connection
            return
        connection = connect_read_only(self.folder)
        try:
            yield connection
        finally:
            connection.close()

    def trials(self, *states: str) -> list[Trial]:
        """Return the trials in the order asked, those in the given states if any."""
        return self.with_structures(self.trial_records(*states))

    def trial_records(self, *states: str) -> list[Trial]:
        """Return the same without their structures, which take longest."""
        found = self.query("SELECT * FROM bostruct_trial ORDER BY number")
        chosen = [row for row in found if not states or row["state"] in states]
        said = self._outcome_predictions()
        return [records.trial_from_row(row, tuple(said.get(row["number"], ()))) for row in chosen]

    def trials_before_retraction(self) -> list[Trial]:
        """Return all trials as they were before any of them was retracted."""
        found = self.query("SELECT * FROM bostruct_trial ORDER BY number")
        said = self._outcome_predictions()
        return [
            records.trial_from_row(
                {**row, "state": "done"} if row["state"] == "retracted" else row,
                tuple(said.get(row["number"], ())),
            )
            for row in map(dict, found)
        ]

    def _outcome_predictions(self) -> dict[int, list[OutcomePrediction]]:
        """Return what was said of the outcomes of trials, by number."""
        said: dict[int, list[OutcomePrediction]] = {}
        if self.optimization_config is not None:
            query = "SELECT * FROM bostruct_outcome ORDER BY trial, position"
            for row in self.query(query):
                said.setdefault(row["trial"], []).append(records.outcome_from_row(row))
        return said

    @cached_property
    def optimization_config(self) -> OptimizationConfig | None:
        """What the campaign wants other than a low energy; None without."""
        described = self.description.get("optimization_config")
        if described is None:
            return None
        return OptimizationConfig(
            tuple(Objective(**part) for part in described["objectives"]),
            tuple(Constraint(**part) for part in described["constraints"]),
        )

    def with_structures(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return trials with their structures, if the log has a space."""
        if self.space is None or not trials:
            return list(trials)
        decoded = self.space.decode(torch.stack([trial.X for trial in trials]))
        return [replace(trial, structures=decoded[i]) for i, trial in enumerate(trials)]

    def steps(self) -> list[Step]:
        """Return all steps."""
        return [records.step_from_row(row) for row in self.query(STEPS_QUERY)]

    def sessions(self) -> list[dict[str, Any]]:
        """Return who wrote the log when, and with which versions."""
        found = self.query("SELECT * FROM bostruct_session ORDER BY number")
        return [{**dict(row), "versions": json.loads(row["versions"])} for row in found]

    def relaxations(self) -> list[RelaxationReport]:
        """Return how far the last check of the best structures is; none without one."""
        texts = [session.get("relaxations") for session in self.sessions()]
        last = next((text for text in reversed(texts) if text), "[]")
        return [RelaxationReport(**each) for each in json.loads(last)]

    def calibration(self, step: int | None = None, outcome: str | None = None) -> OnlineCalibration:
        """Return what the predictions so far have been worth.

        Args:
            step: As it was planned, from the energies known then; now by default.
            outcome: Of which of the goals' outcomes, in outcome space; of the energy
                by default.

        Raises:
            InputError: there is no such step, it had no surrogate, or the campaign has
                no goal for the outcome.
        """
        if step is None:
            return online_calibration(self._with_outcome(outcome, self.trial_records()))
        self.posterior_path(step)
        return calibration_at_step(
            trial_z_scores(self._with_outcome(outcome, self.trials_before_retraction())),
            self.steps()[step].training_trials,
        )

    def _with_outcome(self, outcome: str | None, trials: list[Trial]) -> list[Trial]:
        """Return trials with one of the goals' outcomes in the places of the energy.

        Raises:
            InputError: the campaign has no goal for it.
        """
        if outcome is None:
            return trials
        goals = self.optimization_config
        if goals is None or outcome not in goals.outcome_names:
            known = "none" if goals is None else ", ".join(goals.outcome_names)
            condition = "name an outcome that the campaign has a goal for"
            way_out = f"It has {known}."
            raise InputError(error_message("outcome", condition, repr(outcome), way_out))
        return single_outcome(trials, goals, outcome)

    def predictions(
        self, eps: float = MISCOVERAGE, outcome: str | None = None
    ) -> list[LoggedPrediction]:
        """Return what was predicted of each trial before its energy was known.

        Args:
            eps: Share of the conformal intervals that may miss.
            outcome: Of which of the goals' outcomes, in outcome space; of the energy
                by default.

        Raises:
            InputError: eps outside 0 to 1, or the campaign has no goal for the outcome.
        """
        trials = self._with_outcome(outcome, self.trials_before_retraction())
        return logged_predictions(trials, self.steps(), trial_z_scores(trials), eps)

    def pareto_front(self, reference: Mapping[str, float] | None = None) -> ParetoFront:
        """Return the Pareto front, and how it grew.

        Args:
            reference: Raw values of all objectives behind which nothing counts; by
                default those that the last step took.

        Raises:
            InputError: the campaign has no objectives, or the reference does not name
                them.
        """
        if self.optimization_config is None:
            condition = "be one of a campaign with objectives"
            found = f"that of one which looks for a low energy, {self.folder}"
            raise InputError(error_message("log", condition, found))
        trials, told = self.trial_records(), self.trials_before_retraction()
        return ParetoFront.from_trials(
            trials, told, self.steps(), self.optimization_config, reference
        )

    def structures(self) -> Structures:
        """Return all with a known energy, and their forces: training data."""
        trials = self.trial_records("done")
        if self.space is None or not trials:
            condition = "have a space and at least one energy"
            raise LogError(error_message("log", condition, f"{len(trials)} energies"))
        return training_structures(trials, self.space)

    def posterior_path(self, step: int) -> Path:
        """Return the posterior file of a step.

        Raises:
            InputError: there is no such step, or it had no surrogate.
        """
        query = "SELECT file FROM bostruct_posterior WHERE step = ?"
        found = self.query(query, step)
        if not found:
            query = "SELECT step FROM bostruct_posterior ORDER BY step"
            have = [row["step"] for row in self.query(query)]
            known = f"{have[0]} to {have[-1]}" if have else "none yet"
            way_out = f"Steps with one: {known}; the first are random."
            raise InputError(error_message("step", "be one with a posterior", step, way_out))
        return self.folder / POSTERIOR_FOLDER_NAME / str(found[0]["file"])

    def posterior_tensors(self, step: int) -> dict[str, Tensor]:
        """Return what is logged of a step's posterior; names in `arrays.py`.

        Raises:
            LogError: the file is missing, or is not what was written.
        """
        return self._load_posterior(step)[0]

    def candidate_generators(self, step: int) -> list[str]:
        """Return which generator proposed each candidate of a step."""
        return [str(origin) for origin in self._load_posterior(step)[1]["generators"]]

    def posterior(self, step: int) -> FittedModel:
        """Return the surrogate of a step as it was: a fitted model that predicts.

        Raises:
            InputError: the step had no surrogate.
            LogError: the log was opened without one, its file is damaged, or another
                version wrote it.
        """
        if self.surrogate is None:
            raise LogError(
                "the log was opened without a surrogate: "
                "open it through its campaign, Campaign.read(folder)."
            )
        state = posterior_file.model_state(self.posterior_tensors(step))
        try:
            return self.surrogate.restore(state, self.space)
        except (KeyError, RuntimeError, ValueError) as error:
            found = f"{type(error).__name__}: {error}"
            raise LogError(f"step {step}: could not be rebuilt: {found}") from error

    def _load_posterior(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        path = self.posterior_path(step)
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"could not read {path}: {error.strerror or error}"
            raise LogError(message) from error
        query = "SELECT sha256 FROM bostruct_posterior WHERE step = ?"
        if hashlib.sha256(data).hexdigest() != self.query(query, step)[0]["sha256"]:
            raise LogError(f"{path} is not what was written: its sha256 differs.")
        return posterior_file.from_safetensors(data, str(path))

    def fingerprint(self) -> str:
        """Return a digest of all that does not depend on time, host or versions.

        Two runs of one campaign, interrupted or not, have the same one.
        """
        columns = (
            "number, step, state, generator, candidate_index, x, mean, latent_variance, "
            "predictive_variance, "
            "acquisition, energy, forces, reason"
        )
        trials = f"SELECT {columns} FROM bostruct_trial ORDER BY number"
        posteriors = "SELECT step, sha256 FROM bostruct_posterior ORDER BY step"
        steps = "SELECT number, kind, training_trials, hyperparameters FROM bostruct_step"
        digest = hashlib.sha256(f"{to_canonical_json(self.description)}{self.seed}".encode())
        queries = [trials, posteriors, f"{steps} ORDER BY number"]
        if self.optimization_config is not None:
            queries.append("SELECT * FROM bostruct_outcome ORDER BY trial, position")
        for query in queries:
            for row in self.query(query):
                digest.update(records.row_checksum(dict(row)).encode())
        return digest.hexdigest()

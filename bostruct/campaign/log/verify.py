"""Verification of a log: checksums, posterior files, restored posteriors, rows of ase.db."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bostruct.campaign import records
from bostruct.campaign.analysis.calibration import (
    CALIBRATION_PREFIX,
    calibration_at_step,
    trial_z_scores,
)
from bostruct.campaign.log import ase_rows, verify_pareto
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS, reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import POSTERIOR_FOLDER_NAME, database_path
from bostruct.errors import LogError

PREDICTION_TOLERANCE = 1e-10
"""Absolute and relative tolerance of predictions of a restored posterior."""

MUTABLE_COLUMNS = ("seconds_log",)
"""Columns of a step that grow after it was written."""


@dataclass(frozen=True)
class VerificationReport:
    """Result of `verify_log`.

    Args:
        problems: One sentence for each thing that is not as it was written.
        skipped: One sentence for each thing that could not be compared, with the reason.
        n_trials: Number of trials read.
        n_posteriors: Number of posterior files read.
        n_rebuilt: Number of posteriors that were restored and compared.
    """

    problems: tuple[str, ...]
    skipped: tuple[str, ...]
    n_trials: int
    n_posteriors: int
    n_rebuilt: int

    @property
    def is_valid(self) -> bool:
        """True if everything was compared and is as it was written."""
        return not self.problems and not self.skipped


@reads_log
def verify_log(log: Log) -> VerificationReport:
    """Read a log again: tables, files, posteriors, and the rows of ase.db.

    Raises:
        LogError: the database cannot be read at all.
    """
    problems = [
        f"{database_path(log.folder)}: {row[0]}"
        for row in log.query("PRAGMA integrity_check")
        if row[0] != "ok"
    ]
    problems += _verify_rows(log)
    problems += verify_pareto.verify_outcome_rows(log)
    if log.optimization_config is None:
        problems += _verify_calibrations(log)
    else:
        problems += verify_pareto.verify_fronts(log)
    skipped: list[str] = []
    steps = [step for step in log.steps() if step.file]
    can_rebuild = log.surrogate is not None and log.space is not None
    n_rebuilt = 0
    for step in steps:
        try:
            tensors = log.posterior_tensors(step.number)
            problems += _verify_selection(step.number, tensors, log)
            if can_rebuild:
                problems += _verify_posterior(log, step.number, tensors)
                n_rebuilt += 1
        except LogError as error:
            problems.append(str(error))
        except CONTENT_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            problems.append(f"step {step.number}: could not be rebuilt: {reason}")
    if can_rebuild:
        problems += _verify_structures(log)
    else:
        skipped.append(
            "the posteriors were not rebuilt and the structures not compared: give the campaign "
            "file, `bostruct verify DIR --file FILE`"
        )
    files = {step.file for step in steps}
    for file in sorted((log.folder / POSTERIOR_FOLDER_NAME).glob("step-*")):
        if file.name not in files:
            skipped.append(f"{file.name} belongs to no step: the next run removes it")
    n_trials = len(log.trial_records())
    return VerificationReport(tuple(problems), tuple(skipped), n_trials, len(steps), n_rebuilt)


def _verify_rows(log: Log) -> list[str]:
    """Return the rows of trials and steps that were lost or changed."""
    problems = []
    for table, exclude in (("trial", ()), ("step", MUTABLE_COLUMNS)):
        rows = log.query(f"SELECT * FROM main.bostruct_{table} ORDER BY number")
        for i, row in enumerate(rows):
            if row["number"] != i:
                problems.append(f"{table} {i} is missing")
                break
            if records.row_checksum(dict(row), exclude) != row["checksum"]:
                problems.append(f"{table} {i} is not what was written: its checksum differs")
    without_posterior = log.query(
        "SELECT number FROM bostruct_step WHERE kind = 'model' AND number NOT IN "
        "(SELECT step FROM bostruct_posterior)"
    )
    problems += [f"step {row['number']} has lost its posterior" for row in without_posterior]
    return problems


def _verify_calibrations(log: Log) -> list[str]:
    """Return the steps that logged another calibration than follows from their trials.

    Steps of older versions logged none.
    """
    problems = []
    z = trial_z_scores(log.trials_before_retraction())
    for step in log.steps():
        logged = {k: v for k, v in step.hyperparameters.items() if k.startswith(CALIBRATION_PREFIX)}
        if not logged:
            continue
        expected = calibration_at_step(z, step.training_trials).logged_values()
        if logged.keys() != expected.keys() or not all(
            math.isclose(logged[name], value, rel_tol=PREDICTION_TOLERANCE)
            for name, value in expected.items()
        ):
            problems.append(
                f"step {step.number}: its calibration is not that of the energies it was planned "
                "from"
            )
    return problems


def _verify_selection(step: int, tensors: dict[str, Tensor], log: Log) -> list[str]:
    """Return the trials of a step that are not its selected candidates, or predict otherwise."""
    trials = [trial for trial in log.trial_records() if trial.step == step]
    X = tensors["candidates.X"][tensors["chosen.index"]]
    if len(X) != len(trials):
        return [f"step {step} chose {len(X)} candidates and has {len(trials)} trials"]
    problems = []
    if log.optimization_config is not None:
        problems = verify_pareto.verify_outcome_predictions(step, tensors, trials)
    return problems + [
        f"trial {trial.number} is not the candidate that step {step} chose"
        for trial, x in zip(trials, X, strict=True)
        if not torch.equal(trial.X, x.to(trial.X))
    ]


def _verify_posterior(log: Log, step: int, tensors: dict[str, Tensor]) -> list[str]:
    """Return the moments in which a restored posterior differs from the logged ones."""
    model = log.posterior(step)
    problems = []
    with torch.no_grad():
        for name in ("probe", "candidates"):
            X = tensors[f"{name}.X"]
            if len(X) == 0:
                continue
            posterior = model.posterior(X.unsqueeze(-2))
            for moment, key in (("mean", "mean"), ("variance", "latent_variance")):
                difference = verify_pareto.max_difference(
                    tensors[f"{name}.{key}"], getattr(posterior, moment), PREDICTION_TOLERANCE
                )
                if difference is not None:
                    problems.append(
                        f"step {step}: the rebuilt posterior's {moment} at the {name} differs by "
                        f"up to {difference:.1e}"
                    )
    return problems


def _verify_structures(log: Log) -> list[str]:
    """Return the trials whose row of ase.db holds another structure."""
    problems = []
    with log.connection() as connection:
        rows = AseRows(database_path(log.folder), connection)
        query = "SELECT number, ase_id FROM bostruct_trial WHERE state = 'done'"
        ids = {row["number"]: row["ase_id"] for row in log.query(query)}
        for trial in log.trials("done"):
            try:
                difference = ase_rows.first_difference(rows.read(ids[trial.number]), trial)
            except CONTENT_ERRORS as error:
                difference = f"structure ({type(error).__name__})"
            if difference:
                problems.append(f"trial {trial.number}: the {difference} in ase.db is another one")
    return problems

"""Reads a whole log again and says what is not as it was written."""

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
from bostruct.campaign.log.posterior_file import model_state
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import (
    POSTERIOR_FOLDER_NAME,
    connect_read_only,
    database_path,
)
from bostruct.errors import LogError
from bostruct.surrogates import Surrogate

PREDICTION_TOLERANCE = 1e-10
"""Absolute and relative: a rebuilt posterior repeats what the step predicted."""

MUTABLE_COLUMNS = ("seconds_log",)
"""Columns of a step that grow after it was written."""


@dataclass(frozen=True)
class VerificationReport:
    """What `verify` found.

    Args:
        problems: One sentence for each thing that is not as it was written.
        skipped: What could not be looked at, and why.
        n_trials: Number of trials read.
        n_posteriors: Number of posterior files read.
        n_rebuilt: Number of posteriors that were rebuilt and compared.
    """

    problems: tuple[str, ...]
    skipped: tuple[str, ...]
    n_trials: int
    n_posteriors: int
    n_rebuilt: int

    @property
    def is_valid(self) -> bool:
        """Whether all was looked at and is as it was written."""
        return not self.problems and not self.skipped


def verify_log(log: Log) -> VerificationReport:
    """Read a log again: tables, files, posteriors, and the rows of ase.db.

    Raises:
        LogError: the database cannot be read at all.
    """
    problems: list[str] = []
    skipped: list[str] = []
    for row in log.query("PRAGMA integrity_check"):
        if row[0] != "ok":
            problems.append(f"{database_path(log.folder)}: {row[0]}")
    problems += _verify_rows(log)
    problems += verify_pareto.verify_outcome_rows(log)
    problems += (
        _verify_calibrations(log)
        if log.optimization_config is None
        else verify_pareto.verify_fronts(log)
    )
    steps = [step for step in log.steps() if step.file]
    rebuilt = 0
    for step in steps:
        try:
            tensors = log.posterior_tensors(step.number)
            problems += _verify_selection(step.number, tensors, log)
            if log.surrogate is not None and log.space is not None:
                problems += _verify_posterior(log, log.surrogate, step.number, tensors)
                rebuilt += 1
        except LogError as error:
            problems.append(str(error))
        except (KeyError, RuntimeError, ValueError) as error:
            found = f"{type(error).__name__}: {error}"
            problems.append(f"step {step.number}: could not be rebuilt: {found}")
    if log.surrogate is None or log.space is None:
        skipped.append(
            "the posteriors were not rebuilt and the structures not compared: "
            "give the campaign file, `bostruct verify DIR --file FILE`"
        )
    else:
        problems += _verify_structures(log)
    files = {step.file for step in steps}
    for file in sorted((log.folder / POSTERIOR_FOLDER_NAME).glob("step-*")):
        if file.name not in files:
            skipped.append(f"{file.name} belongs to no step: the next run removes it")
    count = len(log.trial_records())
    return VerificationReport(tuple(problems), tuple(skipped), count, len(steps), rebuilt)


def _verify_rows(log: Log) -> list[str]:
    """Return which rows of our tables are not what was written."""
    problems = []
    for table, but in (("trial", ()), ("step", MUTABLE_COLUMNS)):
        rows = log.query(f"SELECT * FROM bostruct_{table} ORDER BY number")
        for i, row in enumerate(rows):
            if row["number"] != i:
                problems.append(f"{table} {i} is missing")
                break
            if records.row_checksum(dict(row), but) != row["checksum"]:
                problems.append(f"{table} {i} is not what was written: its checksum differs")
    unplanned = log.query(
        "SELECT number FROM bostruct_step WHERE kind = 'model' AND number NOT IN "
        "(SELECT step FROM bostruct_posterior)"
    )
    problems += [f"step {row['number']} has lost its posterior" for row in unplanned]
    return problems


def _verify_calibrations(log: Log) -> list[str]:
    """Return which steps log another calibration than what they knew gives.

    Steps of older versions log none.
    """
    problems = []
    z = trial_z_scores(log.trials_before_retraction())
    for step in log.steps():
        there = {k: v for k, v in step.hyperparameters.items() if k.startswith(CALIBRATION_PREFIX)}
        if not there:
            continue
        wanted = calibration_at_step(z, step.training_trials).logged_values()
        same = there.keys() == wanted.keys() and all(
            math.isclose(there[name], wanted[name], rel_tol=PREDICTION_TOLERANCE) for name in wanted
        )
        if not same:
            problems.append(
                f"step {step.number}: its calibration is not that of the energies "
                "it was planned from"
            )
    return problems


def _verify_selection(step: int, tensors: dict[str, Tensor], log: Log) -> list[str]:
    """Return which trials are not the candidates that were chosen, or not as said."""
    trials = log.trial_records()
    mine = [trial for trial in trials if trial.step == step]
    X = tensors["candidates.X"][tensors["chosen.index"]]
    if len(X) != len(mine):
        return [f"step {step} chose {len(X)} candidates and has {len(mine)} trials"]
    problems = (
        []
        if log.optimization_config is None
        else verify_pareto.verify_outcome_predictions(step, tensors, trials)
    )
    return problems + [
        f"trial {trial.number} is not the candidate that step {step} chose"
        for trial, x in zip(mine, X, strict=True)
        if not torch.equal(trial.X, x.to(trial.X))
    ]


def _verify_posterior(
    log: Log, surrogate: Surrogate, step: int, tensors: dict[str, Tensor]
) -> list[str]:
    """Return where a rebuilt posterior predicts other than it did."""
    model = surrogate.restore(model_state(tensors), log.space)
    problems = []
    with torch.no_grad():
        for name in ("probe", "candidates"):
            X = tensors[f"{name}.X"]
            if len(X) == 0:
                continue
            posterior = model.posterior(X.unsqueeze(-2))
            for moment in ("mean", "variance"):
                before = tensors[f"{name}.{moment}"]
                now = getattr(posterior, moment)
                off = verify_pareto.max_difference(before, now, PREDICTION_TOLERANCE)
                if off is not None:
                    problems.append(
                        f"step {step}: the rebuilt posterior's {moment} at the {name} "
                        f"differs by up to {off:.1e}"
                    )
    return problems


def _verify_structures(log: Log) -> list[str]:
    """Return which rows of ase.db are not the structures that were evaluated."""
    problems = []
    connection = connect_read_only(log.folder)
    try:
        rows = AseRows(database_path(log.folder), connection)
        query = "SELECT number, ase_id FROM bostruct_trial WHERE state = 'done'"
        ids = {row["number"]: row["ase_id"] for row in log.query(query)}
        for trial in log.trials("done"):
            try:
                different = ase_rows.first_difference(rows.read(ids[trial.number]), trial)
            except (KeyError, ValueError, TypeError) as error:
                different = f"structure ({type(error).__name__})"
            if different:
                problems.append(f"trial {trial.number}: the {different} in ase.db is another one")
    finally:
        connection.close()
    return problems

"""Reads a whole log again and says what is not as it was written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bostruct.campaign import records
from bostruct.campaign.analysis.calibration import LOGGED, before, scores
from bostruct.campaign.log import ase_rows, verify_pareto
from bostruct.campaign.log.ase_rows import Rows
from bostruct.campaign.log.posterior_file import model_state
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import POSTERIORS, connect, database
from bostruct.errors import LogError
from bostruct.surrogates import Surrogate

TOLERANCE = 1e-10
"""Absolute and relative: a rebuilt posterior repeats what the step predicted."""

CHANGES = ("seconds_log",)
"""Columns of a step that grow after it was written."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    Args:
        problems: One sentence for each thing that is not as it was written.
        skipped: What could not be looked at, and why.
        trials: Number of trials read.
        posteriors: Number of posterior files read.
        rebuilt: Number of posteriors that were rebuilt and compared.
    """

    problems: tuple[str, ...]
    skipped: tuple[str, ...]
    trials: int
    posteriors: int
    rebuilt: int

    @property
    def good(self) -> bool:
        """Whether all was looked at and is as it was written."""
        return not self.problems and not self.skipped


def verify(log: Log) -> Verdict:
    """Read a log again: tables, files, posteriors, and the rows of ase.db.

    Raises:
        LogError: the database cannot be read at all.
    """
    problems: list[str] = []
    skipped: list[str] = []
    for row in log.rows("PRAGMA integrity_check"):
        if row[0] != "ok":
            problems.append(f"{database(log.folder)}: {row[0]}")
    problems += _rows(log)
    problems += verify_pareto.rows(log)
    problems += _calibrations(log) if log.goals is None else verify_pareto.fronts(log)
    steps = [step for step in log.steps() if step.file]
    rebuilt = 0
    for step in steps:
        try:
            tensors = log.arrays(step.number)
            problems += _chosen(step.number, tensors, log)
            if log.surrogate is not None and log.space is not None:
                problems += _rebuild(log, log.surrogate, step.number, tensors)
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
        problems += _structures(log)
    files = {step.file for step in steps}
    for file in sorted((log.folder / POSTERIORS).glob("step-*")):
        if file.name not in files:
            skipped.append(f"{file.name} belongs to no step: the next run removes it")
    count = len(log.undecoded())
    return Verdict(tuple(problems), tuple(skipped), count, len(steps), rebuilt)


def _rows(log: Log) -> list[str]:
    """Return which rows of our tables are not what was written."""
    problems = []
    for table, but in (("trial", ()), ("step", CHANGES)):
        rows = log.rows(f"SELECT * FROM bostruct_{table} ORDER BY number")
        for i, row in enumerate(rows):
            if row["number"] != i:
                problems.append(f"{table} {i} is missing")
                break
            if records.checksum(dict(row), but) != row["checksum"]:
                problems.append(
                    f"{table} {i} is not what was written: its checksum differs"
                )
    unplanned = log.rows(
        "SELECT number FROM bostruct_step WHERE kind = 'model' AND number NOT IN "
        "(SELECT step FROM bostruct_posterior)"
    )
    problems += [f"step {row['number']} has lost its posterior" for row in unplanned]
    return problems


def _calibrations(log: Log) -> list[str]:
    """Return which steps log another calibration than what they knew gives.

    Steps of older versions log none.
    """
    problems = []
    z = scores(log.told())
    for step in log.steps():
        there = {k: v for k, v in step.hyperparameters.items() if k.startswith(LOGGED)}
        if not there:
            continue
        wanted = before(z, step.known).numbers()
        same = there.keys() == wanted.keys() and all(
            math.isclose(there[name], wanted[name], rel_tol=TOLERANCE)
            for name in wanted
        )
        if not same:
            problems.append(
                f"step {step.number}: its calibration is not that of the energies "
                "it was planned from"
            )
    return problems


def _chosen(step: int, tensors: dict[str, Tensor], log: Log) -> list[str]:
    """Return which trials are not the candidates that were chosen, or not as said."""
    trials = log.undecoded()
    mine = [trial for trial in trials if trial.step == step]
    X = tensors["candidates.X"][tensors["chosen.index"]]
    if len(X) != len(mine):
        return [f"step {step} chose {len(X)} candidates and has {len(mine)} trials"]
    problems = [] if log.goals is None else verify_pareto.said(step, tensors, trials)
    return problems + [
        f"trial {trial.number} is not the candidate that step {step} chose"
        for trial, x in zip(mine, X, strict=True)
        if not torch.equal(trial.X, x.to(trial.X))
    ]


def _rebuild(
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
                off = verify_pareto.differences(before, now, TOLERANCE)
                if off is not None:
                    problems.append(
                        f"step {step}: the rebuilt posterior's {moment} at the {name} "
                        f"differs by up to {off:.1e}"
                    )
    return problems


def _structures(log: Log) -> list[str]:
    """Return which rows of ase.db are not the structures that were evaluated."""
    problems = []
    connection = connect(log.folder)
    try:
        rows = Rows(database(log.folder), connection)
        query = "SELECT number, row FROM bostruct_trial WHERE state = 'done'"
        ids = {row["number"]: row["row"] for row in log.rows(query)}
        for trial in log.trials("done"):
            try:
                different = ase_rows.matches(rows.read(ids[trial.number]), trial)
            except (KeyError, ValueError, TypeError) as error:
                different = f"structure ({type(error).__name__})"
            if different:
                problems.append(
                    f"trial {trial.number}: the {different} in ase.db is another one"
                )
    finally:
        connection.close()
    return problems

"""Verification of a log: hash chain, posterior files, restored posteriors, rows of ase.db."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bostruct.campaign.analysis.calibration import (
    CALIBRATION_PREFIX,
    calibration_at_step,
    trial_z_scores,
)
from bostruct.campaign.analysis.outcome_table import single_outcome
from bostruct.campaign.analysis.recalibration import RECALIBRATION_PREFIX
from bostruct.campaign.log import (
    ase_rows,
    hash_chain,
    posterior_file,
    unreferenced_files,
    verify_pareto,
)
from bostruct.campaign.log.ase_rows import AseRows
from bostruct.campaign.log.hash_chain import ChainCheck
from bostruct.campaign.log.malformed_log import CONTENT_ERRORS, reads_log
from bostruct.campaign.log.reader import Log
from bostruct.campaign.log.run_folder import database_path
from bostruct.campaign.records import Step, Trial
from bostruct.errors import BostructError
from bostruct.spaces import Coordinates

PREDICTION_TOLERANCE = 1e-10
"""Absolute and relative tolerance of predictions of a restored posterior."""

LOGGED_PREFIXES = (CALIBRATION_PREFIX, RECALIBRATION_PREFIX)
"""Prefixes of the calibration among the hyperparameters of a step."""

STRUCTURES_CHUNK_SIZE = 256
"""Number of structures that are decoded at once."""


@dataclass(frozen=True)
class VerificationReport:
    """Result of `verify_log`.

    Args:
        problems: One sentence for each thing that is not as it was written.
        skipped: One sentence for each thing that could not be compared, with the reason.
        n_trials: Number of trials read.
        n_posteriors: Number of posterior files read.
        n_rebuilt: Number of posteriors that were restored and compared.
        head: Last hash of the hash chain, which stands for the whole log; "" in log formats
            without a chain.
    """

    problems: tuple[str, ...]
    skipped: tuple[str, ...]
    n_trials: int
    n_posteriors: int
    n_rebuilt: int
    head: str

    @property
    def is_valid(self) -> bool:
        """True if everything was compared and is as it was written."""
        return not self.problems and not self.skipped


@reads_log
def verify_log(log: Log) -> VerificationReport:
    """Read a log again: tables, hash chain, files, posteriors, and the rows of ase.db.

    The tables are read once, in one state of the log; what takes longer follows from memory.

    Raises:
        LogError: the database cannot be read at all.
    """
    files = unreferenced_files.find_unreferenced(log.folder, ())
    with log.snapshot(), log.connection() as connection:
        problems = [
            f"{database_path(log.folder)}: {row[0]}"
            for row in log.query("PRAGMA integrity_check")
            if row[0] != "ok"
        ]
        chain = hash_chain.check_rows(connection, log.has_chain)
        problems += chain.problems
        steps, trials = log.steps(), log.trial_records()
        trials_before_retraction = log.trials_before_retraction()
        query = "SELECT number, ase_id FROM bostruct_trial WHERE ase_id IS NOT NULL"
        ase_ids = {row["number"]: row["ase_id"] for row in log.query(query)}
    problems += [
        f"step {step.number} has lost its posterior"
        for step in steps
        if step.kind == "model" and not step.file
    ]
    config = log.optimization_config
    if config is None:
        z = {"": trial_z_scores(trials_before_retraction)}
    else:
        problems += verify_pareto.verify_completeness(steps, trials, config)
        problems += verify_pareto.verify_fronts(steps, trials_before_retraction, config)
        z = {
            f"_of_{name}": trial_z_scores(single_outcome(trials_before_retraction, config, name))
            for name in config.outcome_names
        }
    problems += _verify_calibrations(steps, z, "energies" if config is None else "outcomes")
    trials_by_step: dict[int, list[Trial]] = {}
    for trial in trials:
        trials_by_step.setdefault(trial.step, []).append(trial)
    skipped: list[str] = []
    n_steps, steps = len(steps), [step for step in steps if step.file]
    can_rebuild = log.surrogate is not None and log.space is not None
    n_rebuilt = 0
    for step in steps:
        is_rebuilt, found = _verify_step(log, step.number, chain, trials_by_step)
        problems += found
        n_rebuilt += is_rebuilt
    if isinstance(log.space, Coordinates) and not log.space.is_decodable:
        skipped.append(
            "the structures were not compared, as a log has no function of coordinates: give the "
            "campaign file, `bostruct verify DIR --file FILE`"
        )
    elif can_rebuild:
        problems += _verify_structures(log, trials, ase_ids)
    else:
        skipped.append(
            "the posteriors were not rebuilt and the structures not compared: give the campaign "
            "file, `bostruct verify DIR --file FILE`"
        )
    referenced = {step.file for step in steps}
    for file in files:
        if file.name in referenced:
            continue
        lost = unreferenced_files.lost_step_problem(file, n_steps, chain.hashes)
        if log.has_chain and lost:
            problems.append(lost)
        else:
            skipped.append(f"{file.name} belongs to no step: the next run removes it")
    counts = len(trials), len(steps), n_rebuilt
    return VerificationReport(tuple(problems), tuple(skipped), *counts, chain.head)


def _verify_calibrations(
    steps: Sequence[Step], z_scores: Mapping[str, Mapping[int, float]], outcomes: str
) -> list[str]:
    """Return the steps that logged another calibration than follows from their trials.

    Args:
        steps: All steps. Those of older versions logged none.
        z_scores: Scores of all trials as they were before any retraction, by the ending of the
            names under which their calibration is logged.
        outcomes: Word for what was predicted.
    """
    problems = []
    for step in steps:
        logged = {k: v for k, v in step.hyperparameters.items() if k.startswith(LOGGED_PREFIXES)}
        expected: dict[str, float] = {}
        for ending, z in z_scores.items():
            # A step that logs a calibration always logs its factor.
            if f"{CALIBRATION_PREFIX}factor{ending}" not in logged:
                continue
            calibration = calibration_at_step(z, step.training_trials)
            values = calibration.logged_values()
            if f"{RECALIBRATION_PREFIX}scale{ending}" in logged:
                values |= calibration.recalibration.logged_values()
            expected |= {name + ending: value for name, value in values.items()}
        if logged.keys() != expected.keys() or not verify_pareto.is_close(expected, logged):
            problems.append(
                f"step {step.number}: its calibration is not that of the {outcomes} it was planned "
                "from"
            )
    return problems


def _verify_step(
    log: Log, step: int, chain: ChainCheck, trials_by_step: Mapping[int, Sequence[Trial]]
) -> tuple[bool, list[str]]:
    """Return whether the posterior of a step was restored, and the problems of its file."""
    problems = []
    try:
        tensors, header = log.read_posterior(step)
        head = header.get(posterior_file.CHAIN_KEY)
        if head not in (None, chain.heads_before_step.get(step)):
            problems.append(
                f"step {step} was planned from another log: the hash chain up to it has changed"
            )
        problems += _verify_selection(step, tensors, trials_by_step.get(step, ()))
        if log.surrogate is None or log.space is None:
            return False, problems
        return True, problems + _verify_posterior(log, step, tensors)
    except BostructError as error:
        problems.append(str(error))
    except CONTENT_ERRORS as error:
        reason = f"{type(error).__name__}: {error}"
        problems.append(f"step {step}: could not be rebuilt: {reason}")
    return False, problems


def _verify_selection(
    step: int, tensors: Mapping[str, Tensor], trials: Sequence[Trial]
) -> list[str]:
    """Return the trials of a step that are not its selected candidates, or predict otherwise."""
    X = tensors["candidates.X"][tensors["chosen.index"]]
    if len(X) != len(trials):
        return [f"step {step} chose {len(X)} candidates and has {len(trials)} trials"]
    return verify_pareto.verify_outcome_predictions(step, tensors, trials) + [
        f"trial {trial.number} is not the candidate that step {step} chose"
        for trial, x in zip(trials, X, strict=True)
        if not torch.equal(trial.X, x.to(trial.X))
    ]


def _verify_posterior(log: Log, step: int, tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the moments in which a restored posterior differs from the logged ones."""
    model = log.restore(step, tensors)
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


def _verify_structures(log: Log, trials: Sequence[Trial], ase_ids: Mapping[int, int]) -> list[str]:
    """Return the trials whose row of ase.db holds another structure, and rows of no trial.

    Args:
        log: Log with a space.
        trials: All trials.
        ase_ids: Numbers of rows of ase.db by the number of the trial.
    """
    problems = []
    done = [trial for trial in trials if trial.state == "done"]
    with log.connection() as connection:
        rows = AseRows(database_path(log.folder), connection)
        for i in range(0, len(done), STRUCTURES_CHUNK_SIZE):
            for trial in log.with_structures(done[i : i + STRUCTURES_CHUNK_SIZE]):
                try:
                    row = rows.read(ase_ids[trial.number])
                    difference = ase_rows.first_difference(row, trial)
                except CONTENT_ERRORS as error:
                    difference = f"structure ({type(error).__name__})"
                if difference:
                    message = f"trial {trial.number}: the {difference} in ase.db is another one"
                    problems.append(message)
    return problems

"""Methods of the front benchmark: campaign, random search, ASE's genetic algorithm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.benchmark import json_digest
from bostruct.bench.multi_objective.fault_injection import FaultMode, FaultyEvaluator
from bostruct.bench.multi_objective.genetic import (
    OPERATOR_WEIGHTS,
    POPULATION_SIZE,
    MemberEvaluator,
    run_genetic_algorithm,
)
from bostruct.bench.multi_objective.run import FrontRun, read_run, run_from_log
from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.campaign import Campaign, stop
from bostruct.errors import check_count
from bostruct.evaluators import Evaluation, Evaluator, evaluate
from bostruct.runtime.rng import generator_for


def run_folder(out: Path, task: MultiObjectiveTask, name: str, seed: int) -> Path:
    """Return the folder of one run, beside which the run is a JSON file of the same name."""
    return out / task.name / name.replace(" ", "-") / f"seed-{seed:03d}"


@final
@dataclass(frozen=True)
class CampaignFrontMethod:
    """Multi-objective campaign, in one run folder for each task and seed.

    Args:
        n_initial: Number of initial random structures; None for the default of the campaign.
        batch_size: Number of structures selected and evaluated together.
        fault_mode: Kind of faults injected into the evaluator, with the seed of the run; None for
            no faults.
        campaign_arguments: Further arguments of `Campaign`, by name.
        label: Part of the method's name for these arguments.
    """

    n_initial: int | None = None
    batch_size: int = 1
    fault_mode: FaultMode | None = None
    campaign_arguments: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if self.n_initial is not None:
            check_count("n_initial", self.n_initial)
        check_count("batch_size", self.batch_size)

    @property
    def name(self) -> str:
        """Name of the method in the results, with all that differs from the defaults."""
        initial = "" if self.n_initial is None else f"initial {self.n_initial}"
        batch = f"batch {self.batch_size}" if self.batch_size > 1 else ""
        poison = f"poison {self.fault_mode}" if self.fault_mode else ""
        return " ".join(filter(None, ("bostruct", self.label, initial, batch, poison)))

    def campaign(self, task: MultiObjectiveTask, evaluator: Evaluator, seed: int) -> Campaign:
        """Return the campaign of a task, with faults where there are to be any."""
        return Campaign(
            task.search_space,
            FaultyEvaluator(evaluator, seed, self.fault_mode) if self.fault_mode else evaluator,
            n_initial=self.n_initial,
            batch_size=self.batch_size,
            objectives=task.objectives,
            constraints=task.constraints,
            **{**task.campaign_arguments, **dict(self.campaign_arguments)},
        )

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return a run of `n_evaluations` evaluations or more, resumed or read from `out`.

        Raises:
            LogError: the folder cannot be used.
            MismatchError: the folder holds another campaign.
        """
        folder = run_folder(out, task, self.name, seed)
        campaign = self.campaign(task, evaluator, seed)
        digest = json_digest([campaign.description(), seed])
        path = folder.with_suffix(".json")
        finished = _read_finished(path, digest, n_evaluations)
        if finished is not None:
            return finished
        rule = stop.Evaluations(n_evaluations)
        log = campaign.run(folder, seed, "cpu", stop=rule, progress=False)
        run = run_from_log(log, task.name, self.name, digest)
        run.write(path)
        return run


@final
@dataclass(frozen=True)
class RecordedSearch:
    """Search whose evaluations are recorded one by one.

    Args:
        name: Name of the method in the results.
        search: Function of a task, a seed, a number of evaluations, and the function that
            evaluates a member and records the outcome.
        settings: Constants of the search, as JSON values.
    """

    name: str
    search: Callable[[MultiObjectiveTask, int, int, MemberEvaluator], None]
    settings: Sequence[Any] = ()

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return a run of `n_evaluations` evaluations; a finished one is read from `out`.

        Raises:
            LogError: the file of the run cannot be read or written.
        """
        path = run_folder(out, task, self.name, seed).with_suffix(".json")
        config = task.optimization_config.description()
        parts = [task.description(), evaluator.description(), config, self.settings, seed]
        digest = json_digest(parts)
        finished = _read_finished(path, digest, n_evaluations)
        if finished is not None:
            return finished
        X: list[Tensor] = []
        Y: list[list[float]] = []
        seconds: list[float] = []

        def evaluate_member(x: Tensor) -> tuple[list[float], Evaluation | None]:
            outcome = evaluate(evaluator, task.search_space.decode(x.unsqueeze(0)))
            evaluation = outcome if isinstance(outcome, Evaluation) else None
            X.append(x)
            Y.append(task.outcomes(x, evaluation))
            seconds.append(outcome.seconds)
            return Y[-1], evaluation

        self.search(task, seed, n_evaluations, evaluate_member)
        run = FrontRun(
            task.name,
            self.name,
            seed,
            torch.stack(X),
            torch.tensor(Y, dtype=torch.float64),
            digest,
            evaluation_seconds=math.fsum(seconds) / len(seconds),
        )
        run.write(path)
        return run


def _evaluate_random_members(
    task: MultiObjectiveTask, seed: int, n_evaluations: int, evaluate_member: MemberEvaluator
) -> None:
    for x in task.sample(n_evaluations, generator_for(seed, "random")):
        evaluate_member(x)


FrontMethod = CampaignFrontMethod | RecordedSearch
"""Method that searches for a Pareto front."""

RANDOM_SEARCH = RecordedSearch("random", _evaluate_random_members)
"""Random members, none twice."""

GENETIC_ALGORITHM = RecordedSearch(
    "genetic", run_genetic_algorithm, (POPULATION_SIZE, OPERATOR_WEIGHTS)
)
"""Genetic algorithm of ASE on a lattice."""


def _read_finished(path: Path, digest: str, n_evaluations: int) -> FrontRun | None:
    """Return the run in a file if it has these settings and enough evaluations."""
    run = read_run(path)
    same = run is not None and run.digest == digest and len(run) >= n_evaluations
    return run if same else None

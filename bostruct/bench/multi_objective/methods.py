"""Methods of the front benchmark: campaign, random search, ASE's genetic algorithm."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.bench.benchmark import single_thread
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
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.runtime.rng import generator_for


class FrontMethod(Protocol):
    """Method that searches for a Pareto front."""

    @property
    def name(self) -> str:
        """Name of the method in the results."""
        ...

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return a run of `n_evaluations` evaluations; a finished one is read from `out`."""
        ...


def run_folder(out: Path, task: MultiObjectiveTask, name: str, seed: int) -> Path:
    """Return the folder of one run, beside which the run is a JSON file of the same name."""
    return out / task.name / name.replace(" ", "-") / f"seed-{seed:03d}"


def run_file(folder: Path) -> Path:
    """Return the JSON file of a run."""
    return folder.with_suffix(".json")


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
        parts = ["bostruct"]
        if self.label:
            parts.append(self.label)
        if self.n_initial is not None:
            parts.append(f"initial {self.n_initial}")
        if self.batch_size > 1:
            parts.append(f"batch {self.batch_size}")
        if self.fault_mode:
            parts.append(f"poison {self.fault_mode}")
        return " ".join(parts)

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
        """Run or resume the campaign.

        Raises:
            LogError: the folder cannot be used.
            MismatchError: the folder holds another campaign.
        """
        folder = run_folder(out, task, self.name, seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        campaign = self.campaign(task, evaluator, seed)
        digest = settings_digest([campaign.description(), seed])
        finished = _read_finished(run_file(folder), digest, n_evaluations)
        if finished is not None:
            return finished
        with single_thread():
            rule = stop.Evaluations(n_evaluations)
            log = campaign.run(folder, seed, "cpu", stop=rule, progress=False)
        run = run_from_log(log, task.name, self.name, digest)
        run.write(run_file(folder))
        return run


@final
@dataclass(frozen=True)
class RandomSearch:
    """Random members, none twice."""

    name: str = "random"

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return the run of random members."""

        def search(evaluate_member: MemberEvaluator) -> None:
            for x in task.sample(n_evaluations, generator_for(seed, self.name)):
                evaluate_member(x)

        arguments = task, evaluator, seed, n_evaluations, out
        return _run_recorded(self.name, [], search, *arguments)


@final
@dataclass(frozen=True)
class GeneticAlgorithm:
    """Genetic algorithm of ASE on a lattice."""

    name: str = "genetic"

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return the run of the genetic algorithm."""

        def search(evaluate_member: MemberEvaluator) -> None:
            run_genetic_algorithm(task, seed, n_evaluations, evaluate_member)

        settings = [POPULATION_SIZE, list(OPERATOR_WEIGHTS)]
        arguments = task, evaluator, seed, n_evaluations, out
        return _run_recorded(self.name, settings, search, *arguments)


def settings_digest(parts: Any) -> str:  # noqa: ANN401 - JSON
    """Return a digest of JSON values."""
    return hashlib.sha256(to_canonical_json(parts).encode()).hexdigest()


def _run_recorded(
    name: str,
    settings: list[Any],
    search: Callable[[MemberEvaluator], None],
    task: MultiObjectiveTask,
    evaluator: Evaluator,
    seed: int,
    n_evaluations: int,
    out: Path,
) -> FrontRun:
    """Return the run of a search whose evaluations are recorded here."""
    path = run_file(run_folder(out, task, name, seed))
    config = task.optimization_config.description()
    digest = settings_digest([task.description(), evaluator.description(), config, settings, seed])
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

    with single_thread():
        search(evaluate_member)
    run = FrontRun(
        task.name,
        name,
        seed,
        torch.stack(X),
        torch.tensor(Y, dtype=torch.float64),
        digest,
        evaluation_seconds=math.fsum(seconds) / len(seconds),
    )
    run.write(path)
    return run


def _read_finished(path: Path, digest: str, n_evaluations: int) -> FrontRun | None:
    """Return the run in a file if it has these settings and enough evaluations."""
    run = read_run(path)
    same = run is not None and run.digest == digest and len(run) >= n_evaluations
    return run if same else None

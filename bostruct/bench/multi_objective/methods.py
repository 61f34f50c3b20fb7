"""Who looks for a front: a campaign, random choice, ASE's genetic algorithm."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.fault_injection import FaultMode, FaultyEvaluator
from bostruct.bench.multi_objective.genetic import (
    OPERATOR_WEIGHTS,
    POPULATION_SIZE,
    run_genetic_algorithm,
)
from bostruct.bench.multi_objective.run import FrontRun, read_run, run_from_log
from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.bench.single_objective.method import single_thread
from bostruct.campaign import Campaign, stop
from bostruct.errors import check_count
from bostruct.evaluators import Evaluation, Evaluator, evaluate
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.runtime.rng import generator_for


class FrontMethod(Protocol):
    """One way to look for a front."""

    @property
    def name(self) -> str:
        """In the results."""
        ...

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Return `n_evaluations` evaluations; what was finished before is read from `out`."""
        ...


def run_folder(out: Path, task: MultiObjectiveTask, name: str, seed: int) -> Path:
    """Return the folder of one run; its trace is the file of that name."""
    return out / task.name / name.replace(" ", "-") / f"seed-{seed:03d}"


def run_file(folder: Path) -> Path:
    """Return where the trace of a run is."""
    return folder.with_suffix(".json")


@final
@dataclass(frozen=True)
class CampaignFrontMethod:
    """A campaign, in a run folder of its own.

    Args:
        n_initial: Random structures first; None leaves it to the campaign.
        batch_size: Chosen together, and evaluated together.
        fault_mode: Which failures spoil the evaluator, by the seed of the run; None: none.
        campaign_arguments: Further arguments of `Campaign`, by name.
        label: What they are called in the results.
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
        """In the results: what differs from the defaults."""
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
        """Return the campaign."""
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
            MismatchError: it holds another campaign.
        """
        folder = run_folder(out, task, self.name, seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        campaign = self.campaign(task, evaluator, seed)
        mark = settings_digest([campaign.description(), seed])
        found = read_run(run_file(folder))
        if found is not None and found.digest == mark and len(found) >= n_evaluations:
            return found
        with single_thread():
            rule = stop.Evaluations(n_evaluations)
            log = campaign.run(folder, seed, "cpu", stop=rule, progress=False)
        trace = run_from_log(log, task.name, self.name, mark)
        trace.write(run_file(folder))
        return trace


@final
@dataclass(frozen=True)
class RandomSearch:
    """Members drawn at random, none twice."""

    name: str = "random"

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Evaluate them."""
        return _run_recorded(self.name, [], task, evaluator, seed, n_evaluations, out)


@final
@dataclass(frozen=True)
class GeneticAlgorithm:
    """ASE's genetic algorithm; see `genetic`."""

    name: str = "genetic"

    def run(
        self,
        task: MultiObjectiveTask,
        evaluator: Evaluator,
        seed: int,
        n_evaluations: int,
        out: Path,
    ) -> FrontRun:
        """Evolve."""
        settings = [POPULATION_SIZE, list(OPERATOR_WEIGHTS)]
        return _run_recorded(self.name, settings, task, evaluator, seed, n_evaluations, out)


def settings_digest(parts: Any) -> str:  # noqa: ANN401 - JSON
    """Return a digest of JSON values."""
    return hashlib.sha256(to_canonical_json(parts).encode()).hexdigest()


def _run_recorded(
    name: str,
    settings: list[Any],
    task: MultiObjectiveTask,
    evaluator: Evaluator,
    seed: int,
    n_evaluations: int,
    out: Path,
) -> FrontRun:
    """Return the trace of a search that is told what it asks for."""
    folder = run_folder(out, task, name, seed)
    goals = task.optimization_config.description()
    parts = [task.description(), evaluator.description(), goals, settings, seed]
    mark = settings_digest(parts)
    found = read_run(run_file(folder))
    if found is not None and found.digest == mark and len(found) >= n_evaluations:
        return found
    X: list[Tensor] = []
    Y: list[list[float]] = []
    seconds: list[float] = []

    def ask(x: Tensor) -> tuple[list[float], Evaluation | None]:
        outcome = evaluate(evaluator, task.search_space.decode(x.unsqueeze(0)))
        told = outcome if isinstance(outcome, Evaluation) else None
        X.append(x)
        Y.append(task.outcomes(x, told))
        seconds.append(outcome.seconds)
        return Y[-1], told

    with single_thread():
        if name == GeneticAlgorithm().name:
            run_genetic_algorithm(task, seed, n_evaluations, ask)
        else:
            for x in task.sample(n_evaluations, generator_for(seed, name)):
                ask(x)
    trace = FrontRun(
        task.name,
        name,
        seed,
        torch.stack(X),
        torch.tensor(Y, dtype=torch.float64),
        mark,
        evaluation_seconds=math.fsum(seconds) / len(seconds),
    )
    trace.write(run_file(folder))
    return trace

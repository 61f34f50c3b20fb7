"""Who looks for a front: a campaign, random choice, ASE's genetic algorithm."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.fault_injection import Poison, Poisoned
from bostruct.bench.multi_objective.genetic import POPULATION, WEIGHTS, genetic
from bostruct.bench.multi_objective.run import Trace, logged, read
from bostruct.bench.multi_objective.tasks import Screen
from bostruct.bench.single_objective.method import one_thread
from bostruct.campaign import Campaign, stop
from bostruct.errors import check_count
from bostruct.evaluators import Evaluation, Evaluator, evaluate
from bostruct.runtime.canonical_json import canonical
from bostruct.runtime.rng import stream


class Hunt(Protocol):
    """One way to look for a front."""

    @property
    def name(self) -> str:
        """In the results."""
        ...

    def run(
        self, screen: Screen, evaluator: Evaluator, seed: int, count: int, out: Path
    ) -> Trace:
        """Return `count` evaluations; what was finished before is read from `out`."""
        ...


def place(out: Path, screen: Screen, name: str, seed: int) -> Path:
    """Return the folder of one run; its trace is the file of that name."""
    return out / screen.name / name.replace(" ", "-") / f"seed-{seed:03d}"


def file(folder: Path) -> Path:
    """Return where the trace of a run is."""
    return folder.with_suffix(".json")


@final
@dataclass(frozen=True)
class Screening:
    """A campaign, in a run folder of its own.

    Args:
        initial: Random structures first; None leaves it to the campaign.
        batch: Chosen together, and evaluated together.
        poison: Which failures spoil the evaluator, by the seed of the run; None: none.
        settings: Further arguments of `Campaign`, by name.
        label: What they are called in the results.
    """

    initial: int | None = None
    batch: int = 1
    poison: Poison | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if self.initial is not None:
            check_count("initial", self.initial)
        check_count("batch", self.batch)

    @property
    def name(self) -> str:
        """In the results: what differs from the defaults."""
        parts = ["bostruct"]
        if self.label:
            parts.append(self.label)
        if self.initial is not None:
            parts.append(f"initial {self.initial}")
        if self.batch > 1:
            parts.append(f"batch {self.batch}")
        if self.poison:
            parts.append(f"poison {self.poison}")
        return " ".join(parts)

    def campaign(self, screen: Screen, evaluator: Evaluator, seed: int) -> Campaign:
        """Return the campaign."""
        return Campaign(
            screen.domain,
            Poisoned(evaluator, seed, self.poison) if self.poison else evaluator,
            initial=self.initial,
            batch=self.batch,
            objectives=screen.objectives,
            constraints=screen.constraints,
            **{**screen.settings, **dict(self.settings)},
        )

    def run(
        self, screen: Screen, evaluator: Evaluator, seed: int, count: int, out: Path
    ) -> Trace:
        """Run or resume the campaign.

        Raises:
            LogError: the folder cannot be used.
            MismatchError: it holds another campaign.
        """
        folder = place(out, screen, self.name, seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        campaign = self.campaign(screen, evaluator, seed)
        mark = digest([campaign.description(), seed])
        found = read(file(folder))
        if found is not None and found.identity == mark and len(found) >= count:
            return found
        with one_thread():
            rule = stop.Evaluations(count)
            log = campaign.run(folder, seed, "cpu", stop=rule, progress=False)
        trace = logged(log, screen.name, self.name, mark)
        trace.write(file(folder))
        return trace


@final
@dataclass(frozen=True)
class Chance:
    """Members drawn at random, none twice."""

    name: str = "random"

    def run(
        self, screen: Screen, evaluator: Evaluator, seed: int, count: int, out: Path
    ) -> Trace:
        """Evaluate them."""
        return _noted(self.name, [], screen, evaluator, seed, count, out)


@final
@dataclass(frozen=True)
class Genetic:
    """ASE's genetic algorithm; see `genetic`."""

    name: str = "genetic"

    def run(
        self, screen: Screen, evaluator: Evaluator, seed: int, count: int, out: Path
    ) -> Trace:
        """Evolve."""
        settings = [POPULATION, list(WEIGHTS)]
        return _noted(self.name, settings, screen, evaluator, seed, count, out)


def digest(parts: Any) -> str:  # noqa: ANN401 - JSON
    """Return a digest of JSON values."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def _noted(
    name: str,
    settings: list[Any],
    screen: Screen,
    evaluator: Evaluator,
    seed: int,
    count: int,
    out: Path,
) -> Trace:
    """Return the trace of a search that is told what it asks for."""
    folder = place(out, screen, name, seed)
    goals = screen.goals.description()
    parts = [screen.description(), evaluator.description(), goals, settings, seed]
    mark = digest(parts)
    found = read(file(folder))
    if found is not None and found.identity == mark and len(found) >= count:
        return found
    X: list[Tensor] = []
    Y: list[list[float]] = []
    seconds: list[float] = []

    def ask(x: Tensor) -> tuple[list[float], Evaluation | None]:
        outcome = evaluate(evaluator, screen.domain.decode(x.unsqueeze(0)))
        told = outcome if isinstance(outcome, Evaluation) else None
        X.append(x)
        Y.append(screen.outcomes(x, told))
        seconds.append(outcome.seconds)
        return Y[-1], told

    with one_thread():
        if name == Genetic().name:
            genetic(screen, seed, count, ask)
        else:
            for x in screen.sample(count, stream(seed, name)):
                ask(x)
    trace = Trace(
        screen.name,
        name,
        seed,
        torch.stack(X),
        torch.tensor(Y, dtype=torch.float64),
        mark,
        energies=math.fsum(seconds) / len(seconds),
    )
    trace.write(file(folder))
    return trace

"""Share of the time that workers are busy, in steps and asynchronously.

    python -m bostruct.bench.performance.worker_occupancy --workers 8 --evaluations 160

Evaluations sleep, in threads, for 60 s ± 50 %, divided by a factor; in half of the campaigns one in
twenty takes 20 times longer. Planning takes a given time on the same scale beside that of a small
surrogate and of the log, which are those of this machine. The share is that of the workers' time
from the first evaluation to the start of the last one: after it there is nothing to give to them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.performance.campaign_overhead import (
    FORMULA,
    HarmonicWell,
    RandomSearch,
    RecentStructures,
)
from bostruct.bench.tables import print_numbers
from bostruct.campaign import Campaign, Log, stop
from bostruct.candidates import Candidates
from bostruct.evaluators import Evaluation, Failure, current_context
from bostruct.runtime.threads import limited_threads
from bostruct.spaces import Cluster, Space
from bostruct.structures import Structures

EVALUATION_SECONDS = 60.0
"""Mean time of an evaluation without its tail, s."""

SPREAD = 0.5
"""Largest relative deviation from the mean."""

TAIL_PERIOD, TAIL_FACTOR = 20, 20.0
"""Number of evaluations of which one is slow, and its factor on the time."""

BEGIN = "began"
"""Property of an evaluation: its beginning, s since 1970."""

OCCUPANCY = {
    "schedule": "",
    "in flight": "d",
    "one in twenty slow": "",
    "planning s": ".1f",
    "busy %": ".1f",
    "hours": ".2f",
}
"""Columns of the busy share; times are multiplied by the factor again."""


def evaluation_seconds(trial: int, has_tail: bool) -> float:
    """Return the time that the evaluation of a trial takes, s."""
    draw = random.Random(f"duration {trial}")
    seconds = EVALUATION_SECONDS * (1 + SPREAD * draw.uniform(-1, 1))
    is_slow = has_tail and draw.randrange(TAIL_PERIOD) == 0
    return seconds * TAIL_FACTOR if is_slow else seconds


@final
class SleepingEvaluator:
    """Evaluator of a harmonic energy that sleeps.

    Args:
        speedup: Factor that times are divided by.
        has_tail: True if one evaluation in twenty is slow.
    """

    def __init__(self, speedup: float, has_tail: bool) -> None:
        self.speedup, self.has_tail = speedup, has_tail

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy and forces of one structure, and when the evaluation began."""
        begin, context = time.time(), current_context()
        trial = 0 if context is None else context.trial
        time.sleep(evaluation_seconds(trial, self.has_tail) / self.speedup)
        result = HarmonicWell()(structures)
        assert isinstance(result, Evaluation)
        return Evaluation(result.energy, result.forces, {BEGIN: begin}, time.time() - begin)

    def description(self) -> dict[str, Any]:
        """Return factor and tail, as JSON values."""
        return {"type": "SleepingEvaluator", "speedup": self.speedup, "has_tail": self.has_tail}


@final
class SleepingSearch:
    """Search among a few random structures that takes a given time.

    Args:
        seconds: Time of a search, s.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(
        self,
        acq_function: Callable[[Tensor], Tensor],
        space: Space,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return the candidates with their acquisition."""
        time.sleep(self.seconds)
        return RandomSearch()(acq_function, space, X_evaluated, energies, generator)

    def description(self) -> dict[str, Any]:
        """Return the time of a search, as JSON values."""
        return {"type": "SleepingSearch", "seconds": self.seconds}


def busy_share(log: Log, n_workers: int) -> float:
    """Return the share of the time of all workers that evaluations take.

    From the beginning of the first evaluation to that of the last one.

    Args:
        log: Log of a campaign with a `SleepingEvaluator`.
        n_workers: Number of workers.
    """
    spans = [(t.properties[BEGIN], t.properties[BEGIN] + t.seconds) for t in log.trials("done")]
    first, last = min(begin for begin, _ in spans), max(begin for begin, _ in spans)
    busy = sum(min(end, last) - begin for begin, end in spans)
    return busy / (n_workers * (last - first))


def measure_occupancy(
    n_workers: int,
    n_evaluations: int,
    *,
    n_in_flight: int,
    asynchronous: bool,
    has_tail: bool,
    speedup: float,
    planning_seconds: float,
) -> dict[str, Any]:
    """Return the `OCCUPANCY` of one campaign.

    Args:
        n_workers: Number of workers.
        n_evaluations: Number of evaluations.
        n_in_flight: Batch size.
        asynchronous: True for planning after each result.
        has_tail: True if one evaluation in twenty is slow.
        speedup: Factor that times are divided by.
        planning_seconds: Time of a search before the division, s.
    """
    campaign = Campaign(
        Cluster(FORMULA),
        SleepingEvaluator(speedup, has_tail),
        surrogate=RecentStructures(),
        search=SleepingSearch(planning_seconds / speedup),
        batch_size=n_in_flight,
        asynchronous=asynchronous,
        n_initial=n_in_flight,
        stop=stop.Evaluations(n_evaluations),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        limited_threads(1),
        ThreadPoolExecutor(n_workers) as executor,
    ):
        path = Path(folder, "run")
        log = campaign.run(path, executor=executor, device="cpu", progress=False)
        model_steps = [step for step in log.steps() if step.kind == "model"]
        planning = statistics.median(sum(step.seconds.values()) for step in model_steps)
        share = busy_share(log, n_workers)
        trials = log.trials("done")
    begin = min(t.properties[BEGIN] for t in trials)
    end = max(t.properties[BEGIN] + t.seconds for t in trials)
    row = (
        "asynchronous" if asynchronous else "in steps",
        n_in_flight,
        "yes" if has_tail else "no",
        planning * speedup,
        100 * share,
        (end - begin) * speedup / 3600,
    )
    return dict(zip(OCCUPANCY, row, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=160)
    parser.add_argument("--speedup", type=float, default=60.0)
    parser.add_argument("--planning", type=float, default=3.0, help="s, before the division")
    parser.add_argument("--more", type=int, nargs="*", default=[0, 1, 2], help="in flight")
    given = parser.parse_args(arguments)
    rows = [
        measure_occupancy(
            given.workers,
            given.evaluations,
            n_in_flight=given.workers + more,
            asynchronous=asynchronous,
            has_tail=has_tail,
            speedup=given.speedup,
            planning_seconds=given.planning,
        )
        for has_tail in (False, True)
        for asynchronous, more in ((False, 0), *((True, more) for more in given.more))
    ]
    print_numbers(rows, OCCUPANCY)


if __name__ == "__main__":
    main()

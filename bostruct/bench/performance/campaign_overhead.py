"""Own CPU time of a campaign per step against the number of its evaluations.

    python -m bostruct.bench.performance.campaign_overhead 100 1000 5000

Clusters of eight atoms in a harmonic potential, of which one evaluation in ten fails. The surrogate
keeps the last 20 structures and the search draws eight candidates, so that both cost the same in
every step. Their time, that of comparing candidates with the evaluated structures, and that of the
evaluations are taken off. What remains is that of the campaign itself: progress, planning, and the
log. CPU seconds of one core, median of a window of
steps.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.performance.pool_scaling import peak_memory_gb
from bostruct.bench.tables import print_numbers
from bostruct.campaign import Campaign, stop
from bostruct.candidates import Candidates
from bostruct.evaluators import Evaluation, Failure
from bostruct.runtime.threads import limited_threads
from bostruct.spaces import Cluster, Space
from bostruct.structures import Structures
from bostruct.surrogates.botorch_models.conditioned_model import JointModel

FORMULA = "Cu8"
"""Cluster of the campaign."""

N_EVALUATIONS = (100, 1000, 5000)
"""Numbers of evaluations after which the time of a step is reported."""

WINDOW = 50
"""Number of steps whose median is taken."""

N_KEPT = 20
"""Number of structures that the surrogate keeps."""

N_CANDIDATES = 8
"""Number of candidates of a search."""

NOISE = 1e-2
"""Variance of the noise of the surrogate, as a fraction of that of the energies."""

STEP_OVERHEAD = {"evaluations": ",", "own ms per step": ".1f", "peak memory GB": ".2f"}
"""Columns of the own CPU time of a step, after a number of evaluations."""

FAILURE_PERIOD = 10
"""Number of evaluations of which one fails."""


@final
class RecentStructuresModel(JointModel):
    """Gaussian process on coordinates with fixed hyperparameters.

    Args:
        X: `[t, d]` coordinates.
        Y: `[t]` energies, eV.
    """

    def __init__(self, X: Tensor, Y: Tensor) -> None:
        super().__init__()
        self.X, self.Y = X, Y
        self.mean, self.variance = Y.mean(), Y.var().clamp_min(torch.finfo(Y.dtype).tiny)
        K = self._kernel(X, X) + self.variance * NOISE * torch.eye(len(X)).to(X)
        self.L = torch.linalg.cholesky(K)

    def _kernel(self, A: Tensor, B: Tensor) -> Tensor:
        """Return the covariance of A `[..., t, d]` and B `[..., s, d]`, `[..., t, s]` eV²."""
        covariance: Tensor = self.variance * torch.exp(-0.5 * torch.cdist(A, B).pow(2))
        return covariance

    def joint_normal(
        self, X: Tensor, observation_noise: bool | Tensor
    ) -> tuple[Tensor, Tensor, bool]:
        """Return mean and covariance at X `[..., q, d]`."""
        K = self._kernel(X, self.X)
        alpha = torch.cholesky_solve((self.Y - self.mean).unsqueeze(-1), self.L)
        V = torch.linalg.solve_triangular(self.L, K.mT, upper=False)
        noise = self.variance * (NOISE * (1 + bool(observation_noise)))
        covariance = self._kernel(X, X) - V.mT @ V + noise * torch.eye(X.shape[-2]).to(X)
        return self.mean + K @ alpha, covariance, False

    def state(self) -> dict[str, Tensor]:
        """Return the structures that are kept."""
        return {"X": self.X, "Y": self.Y}

    def hyperparameters(self) -> dict[str, float]:
        """Return the variance of the prior, eV²."""
        return {"variance": float(self.variance)}


@final
class RecentStructures:
    """Surrogate that keeps the last few structures."""

    supports_multiple_outcomes = False

    def fit(self, structures: Structures, space: Space | None = None) -> RecentStructuresModel:
        """Return the model of the last structures."""
        energy = structures.energy
        assert energy is not None
        X = structures.positions.reshape(len(structures), -1)[-N_KEPT:]
        return RecentStructuresModel(X, energy[-N_KEPT:])

    def restore(
        self, tensors: Mapping[str, Tensor], space: Space | None = None
    ) -> RecentStructuresModel:
        """Return the model with a given state."""
        return RecentStructuresModel(tensors["X"], tensors["Y"])

    def description(self) -> dict[str, Any]:
        """Return the name of the surrogate, as JSON values."""
        return {"type": "RecentStructures"}


@final
class RandomSearch:
    """Search among a few random structures."""

    def __call__(
        self,
        acq_function: Callable[[Tensor], Tensor],
        space: Space,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return the candidates with their acquisition."""
        X = space.sample(N_CANDIDATES, generator).to(X_evaluated)
        with torch.no_grad():
            values = acq_function(X)
        return Candidates.unrelaxed(X, values, ["random"] * len(X))

    def description(self) -> dict[str, Any]:
        """Return the name of the search, as JSON values."""
        return {"type": "RandomSearch"}


@final
class HarmonicWell:
    """Energy of atoms bound to their center, of which one in ten fails."""

    def __init__(self) -> None:
        self.n_calls = 0

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return energy and forces of one structure."""
        self.n_calls += 1
        if self.n_calls % FAILURE_PERIOD == 0:
            return Failure("every tenth fails")
        P = structures.positions - structures.positions.mean(0)
        return Evaluation(float(0.5 * P.pow(2).sum()), -P)

    def description(self) -> dict[str, Any]:
        """Return the name of the potential, as JSON values."""
        return {"type": "HarmonicWell"}


@final
class _Stopwatch:
    """Own CPU time of a campaign at the start of each evaluation."""

    def __init__(self) -> None:
        self.own_seconds: list[float] = []
        self.peaks: list[float] = []
        self._others = 0.0

    def leave_out(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is none of the campaign."""

        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._others += time.process_time() - start

        return timed

    def mark(self) -> None:
        """Note the time and the memory at the start of an evaluation."""
        self.own_seconds.append(time.process_time() - self._others)
        self.peaks.append(peak_memory_gb())


def measure_overhead(
    n_evaluations: Sequence[int] = N_EVALUATIONS, window: int = WINDOW
) -> list[dict[str, float]]:
    """Return the `STEP_OVERHEAD` after each number of evaluations.

    Args:
        n_evaluations: Numbers of evaluations, rising, the first above `window`.
        window: Number of steps whose median is taken.
    """
    watch = _Stopwatch()
    evaluator, surrogate, search = HarmonicWell(), RecentStructures(), RandomSearch()
    evaluate = watch.leave_out(evaluator)

    class TimedEvaluator:
        def __call__(self, structures: Structures) -> Evaluation | Failure:
            watch.mark()
            result: Evaluation | Failure = evaluate(structures)
            return result

        description = evaluator.description

    class TimedSurrogate:
        supports_multiple_outcomes = False
        fit = staticmethod(watch.leave_out(surrogate.fit))
        restore, description = surrogate.restore, surrogate.description

    class TimedSearch:
        __call__ = staticmethod(watch.leave_out(search))
        description = search.description

    space = Cluster(FORMULA)
    object.__setattr__(space, "is_duplicate", watch.leave_out(space.is_duplicate))
    campaign = Campaign(
        space,
        TimedEvaluator(),
        surrogate=TimedSurrogate(),
        search=TimedSearch(),
        stop=stop.Evaluations(max(n_evaluations) + 1),
    )
    with tempfile.TemporaryDirectory() as folder, limited_threads(1):
        campaign.run(Path(folder, "run"), device="cpu", progress=False)
    times = [1e3 * (b - a) for a, b in itertools.pairwise(watch.own_seconds)]
    rows = [(n, statistics.median(times[n - window : n]), watch.peaks[n]) for n in n_evaluations]
    return [dict(zip(STEP_OVERHEAD, row, strict=True)) for row in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evaluations", type=int, nargs="*", default=list(N_EVALUATIONS))
    parser.add_argument("--window", type=int, default=WINDOW)
    given = parser.parse_args(arguments)
    print_numbers(measure_overhead(given.evaluations, given.window), STEP_OVERHEAD)


if __name__ == "__main__":
    main()

"""What a step over a long list costs: `python -m bostruct.bench.performance.pool_scaling`.

A campaign with three objectives that are all learnt, 100 random members first, then a
few steps; values come from a rule of composition and cost nothing. The first step makes
the features of the whole list, which are kept; the others are the own time of a step,
in CPU seconds of one core. One list in a process, as it tells the most memory that it
has held.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from rich.console import Console
from rich.table import Table

from bostruct.bench.single_objective.method import single_thread
from bostruct.bench.single_objective.run import TIMED_PARTS
from bostruct.campaign import Campaign
from bostruct.campaign.components import PROPERTY_CHUNK_SIZE
from bostruct.candidates import ExhaustiveSearch
from bostruct.evaluators import Evaluation
from bostruct.objectives import Objective
from bostruct.spaces import Composition, Orderings, Space
from bostruct.spaces.space import DiscreteSpace
from bostruct.structures import Structures

N_INITIAL = 100
"""Members known before the first step."""

N_STEPS = 4
"""Steps; all but the first are counted."""

OBJECTIVES = (
    Objective("heat", "minimize"),
    Objective("stiffness", "maximize"),
    Objective("mass", "minimize"),
)


@final
class CompositionRule:
    """Three values of a composition that no two elements share, and a little more."""

    def __call__(self, structures: Structures) -> Evaluation:
        """Return them for one structure."""
        Z = structures.numbers.double()
        x = torch.bincount(structures.numbers) / len(Z)
        heat = float((Z / 20).sin().mean() - (x * x).sum())
        stiffness = float(100 + 50 * (Z / 7).cos().mean() + 20 * x.max())
        values = {"heat": heat, "stiffness": stiffness, "mass": float(Z.log().mean())}
        return Evaluation(heat, properties=values)

    def description(self) -> dict[str, Any]:
        """Return what identifies it."""
        return {"type": "CompositionRule"}


def orderings(max_atoms: int = 8) -> Space:
    """Return the orderings of three metals with up to so many atoms: 9,808."""
    from ase.build import bulk

    return Orderings(bulk("Cu"), ["Cu", "Pd", "Au"], max_atoms)


def compositions(denominator: int = 27) -> Space:
    """Return the compositions of seven metals in steps of 1/27: 1.1 million."""
    from ase.build import bulk

    elements = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
    sites = bulk("Cu").repeat((denominator // 9, 3, 3))
    return Composition(elements, step=1 / denominator, parent=sites)


SPACES: Mapping[str, Callable[..., Space]] = {
    "orderings": orderings,
    "compositions": compositions,
}


@final
@dataclass(frozen=True)
class StepCost:
    """What a list costs.

    Args:
        n_members: Of the list.
        feature_seconds: CPU s, what the first step took longer than the others.
        fit_fraction: Share of a step.
        step_seconds: CPU s, median over the others.
        peak_memory_gb: GB, the most that the process has held.
    """

    n_members: int
    feature_seconds: float
    fit_fraction: float
    step_seconds: float
    peak_memory_gb: float


def measure_step_cost(
    space: Space,
    n_initial: int = N_INITIAL,
    n_steps: int = N_STEPS,
    chunk_size: int | None = None,
) -> StepCost:
    """Return what a step of a campaign costs that scores a whole list.

    Args:
        space: The list.
        n_initial: Random members known before the first step.
        n_steps: All but the first are counted.
        chunk_size: Members scored at once; None takes as many as a campaign does.
    """
    assert isinstance(space, DiscreteSpace)
    assert space.size is not None
    # Of more than 10⁶ members too, which a campaign does not list by itself.
    search: Any = ExhaustiveSearch(PROPERTY_CHUNK_SIZE if chunk_size is None else chunk_size)
    campaign = Campaign(
        space,
        CompositionRule(),
        search=search,
        objectives=OBJECTIVES,
        n_initial=n_initial,
    )
    own: list[float] = []
    with tempfile.TemporaryDirectory() as folder, single_thread():
        with campaign.open(Path(folder, "run"), device="cpu"):
            while len(own) < n_steps:
                start = time.process_time()
                asked = campaign.ask()
                if asked[0].candidate_index is not None:
                    own.append(time.process_time() - start)
                for trial in asked:
                    assert trial.structures is not None
                    campaign.tell(trial, campaign.components.evaluator(trial.structures))
        found = [step.seconds for step in campaign.log.steps() if step.kind == "model"]
    step = statistics.median(own[1:])
    whole = statistics.median(sum(each[part] for part in TIMED_PARTS) for each in found[1:])
    fit = statistics.median(each["fit"] for each in found[1:])
    return StepCost(space.size, own[0] - step, fit / whole, step, peak_memory_gb())


def peak_memory_gb() -> float:
    """Return the most memory that this process has held, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", choices=list(SPACES))
    parser.add_argument("--size", type=int, help="atoms of a cell, or parts of a whole")
    parser.add_argument("--data", type=int, default=N_INITIAL)
    parser.add_argument("--steps", type=int, default=N_STEPS)
    parser.add_argument("--chunk", type=int, help="members scored at once")
    wanted = parser.parse_args(arguments)
    size = [] if wanted.size is None else [wanted.size]
    found = measure_step_cost(SPACES[wanted.space](*size), wanted.data, wanted.steps, wanted.chunk)
    table = Table(*("members", "features s", "step s", "of it fit", "most memory GB"))
    cells = (
        f"{found.feature_seconds:.1f}",
        f"{found.step_seconds:.2f}",
        f"{found.fit_fraction:.0%}",
    )
    table.add_row(f"{found.n_members:,}", *cells, f"{found.peak_memory_gb:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

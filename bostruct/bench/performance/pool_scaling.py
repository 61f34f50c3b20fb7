"""Time and memory of a step against the size of a discrete space.

    python -m bostruct.bench.performance.pool_scaling orderings

A campaign with three learned objectives takes 100 random members and then some model steps; the
outcomes come from a formula and cost nothing. The first step computes the features of all members,
which are kept; the others give the time of a step, in CPU seconds of one core. Each process
measures one space, since it reports its peak memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bostruct.bench.single_objective.run import TIMED_PARTS
from bostruct.bench.tables import print_numbers
from bostruct.campaign import Campaign
from bostruct.campaign.components import PROPERTY_CHUNK_SIZE
from bostruct.candidates import ExhaustiveSearch
from bostruct.evaluators import Evaluation, Function
from bostruct.objectives import Objective
from bostruct.runtime.threads import limited_threads
from bostruct.spaces import Composition, Orderings, Space
from bostruct.spaces.space import DiscreteSpace

if TYPE_CHECKING:
    from ase import Atoms

N_INITIAL = 100
"""Number of random members before the first model step."""

N_STEPS = 4
"""Number of model steps; all but the first are timed."""

OBJECTIVES = (
    Objective("heat", "minimize"),
    Objective("stiffness", "maximize"),
    Objective("mass", "minimize"),
)


def composition_rule(atoms: Atoms) -> Evaluation:
    """Return three outcomes computed from the composition, different for all elements."""
    numbers = torch.from_numpy(atoms.numbers)
    Z = numbers.double()
    x = torch.bincount(numbers) / len(Z)
    heat = float((Z / 20).sin().mean() - (x * x).sum())
    stiffness = float(100 + 50 * (Z / 7).cos().mean() + 20 * x.max())
    values = {"heat": heat, "stiffness": stiffness, "mass": float(Z.log().mean())}
    return Evaluation(heat, properties=values)


def orderings(max_atoms: int = 8) -> Space:
    """Return the orderings of three metals, 9,808 of up to 8 atoms."""
    from ase.build import bulk

    return Orderings(bulk("Cu"), ["Cu", "Pd", "Au"], max_atoms)


def compositions(denominator: int = 27) -> Space:
    """Return the compositions of seven metals, 1.1 million in steps of 1/27."""
    from ase.build import bulk

    elements = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
    sites = bulk("Cu").repeat((denominator // 9, 3, 3))
    return Composition(elements, step=1 / denominator, parent=sites)


SPACES: Mapping[str, Callable[..., Space]] = {"orderings": orderings, "compositions": compositions}


STEP_COST = {
    "members": ",",
    "features s": ".1f",
    "step s": ".2f",
    "of it fit": ".0%",
    "peak memory GB": ".2f",
}
"""Columns of a step over all members: the time of the features is that of the first step less the
median of the others, which is the time of a step."""


def measure_step_cost(
    space: Space, n_initial: int = N_INITIAL, n_steps: int = N_STEPS, chunk_size: int | None = None
) -> dict[str, Any]:
    """Return the `STEP_COST` of a campaign step that scores all members.

    Args:
        space: Discrete space that can be listed.
        n_initial: Number of random members before the first model step.
        n_steps: Number of model steps; all but the first are timed.
        chunk_size: Number of members scored at once; None for that of a campaign.
    """
    assert isinstance(space, DiscreteSpace)
    assert space.size is not None
    # Given explicitly: campaigns do not list more than 10⁶ members by default.
    search: Any = ExhaustiveSearch(PROPERTY_CHUNK_SIZE if chunk_size is None else chunk_size)
    campaign = Campaign(
        space,
        Function(composition_rule),
        search=search,
        objectives=OBJECTIVES,
        n_initial=n_initial,
    )
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, limited_threads(1):
        with campaign.open(Path(folder, "run"), device="cpu"):
            while len(seconds) < n_steps:
                start = time.process_time()
                trials = campaign.ask()
                if trials[0].candidate_index is not None:
                    seconds.append(time.process_time() - start)
                for trial in trials:
                    assert trial.structures is not None
                    campaign.tell(trial, campaign.components.evaluator(trial.structures))
        steps = [step.seconds for step in campaign.log.steps() if step.kind == "model"]
    median = statistics.median(seconds[1:])
    total = statistics.median(sum(step[part] for part in TIMED_PARTS) for step in steps[1:])
    fit = statistics.median(step["fit"] for step in steps[1:])
    values = space.size, seconds[0] - median, median, fit / total, peak_memory_gb()
    return dict(zip(STEP_COST, values, strict=True))


def peak_memory_gb() -> float:
    """Return the peak memory of this process, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one space."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", choices=list(SPACES))
    parser.add_argument("--size", type=int, help="atoms of a cell, or 1 / step")
    parser.add_argument("--data", type=int, default=N_INITIAL)
    parser.add_argument("--steps", type=int, default=N_STEPS)
    parser.add_argument("--chunk", type=int, help="members scored at once")
    given = parser.parse_args(arguments)
    space = SPACES[given.space](*([] if given.size is None else [given.size]))
    print_numbers([measure_step_cost(space, given.data, given.steps, given.chunk)], STEP_COST)


if __name__ == "__main__":
    main()

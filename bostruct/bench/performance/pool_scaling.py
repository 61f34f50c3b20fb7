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

from bostruct.bench.single_objective.method import one_thread
from bostruct.bench.single_objective.run import PARTS
from bostruct.campaign import Campaign
from bostruct.campaign.components import TOGETHER
from bostruct.candidates import Pick
from bostruct.evaluators import Evaluation
from bostruct.objectives import Objective
from bostruct.spaces import Composition, Orderings, Space
from bostruct.spaces.space import Discrete
from bostruct.structures import Structures

DATA = 100
"""Members known before the first step."""

STEPS = 4
"""Steps; all but the first are counted."""

OBJECTIVES = (
    Objective("heat", "minimize"),
    Objective("stiffness", "maximize"),
    Objective("mass", "minimize"),
)


@final
class Mixture:
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
        return {"kind": "mixture"}


def orderings(atoms: int = 8) -> Space:
    """Return the orderings of three metals with up to so many atoms: 9,808."""
    from ase.build import bulk

    return Orderings(bulk("Cu"), ["Cu", "Pd", "Au"], atoms)


def compositions(parts: int = 27) -> Space:
    """Return the compositions of seven metals in steps of 1/27: 1.1 million."""
    from ase.build import bulk

    elements = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
    sites = bulk("Cu").repeat((parts // 9, 3, 3))
    return Composition(elements, step=1 / parts, parent=sites)


SPACES: Mapping[str, Callable[..., Space]] = {
    "orderings": orderings,
    "compositions": compositions,
}


@final
@dataclass(frozen=True)
class Cost:
    """What a list costs.

    Args:
        members: Of the list.
        features: CPU s, what the first step took longer than the others.
        fit: Share of a step.
        step: CPU s, median over the others.
        memory: GB, the most that the process has held.
    """

    members: int
    features: float
    fit: float
    step: float
    memory: float


def cost(
    space: Space, data: int = DATA, steps: int = STEPS, chunk: int | None = None
) -> Cost:
    """Return what a step of a campaign costs that scores a whole list.

    Args:
        space: The list.
        data: Random members known before the first step.
        steps: All but the first are counted.
        chunk: Members scored at once; None takes as many as a campaign does.
    """
    assert isinstance(space, Discrete)
    assert space.size is not None
    # Of more than 10⁶ members too, which a campaign does not list by itself.
    search: Any = Pick(TOGETHER if chunk is None else chunk)
    campaign = Campaign(
        space, Mixture(), search=search, objectives=OBJECTIVES, initial=data
    )
    own: list[float] = []
    with tempfile.TemporaryDirectory() as folder, one_thread():
        with campaign.open(Path(folder, "run"), device="cpu"):
            while len(own) < steps:
                start = time.process_time()
                asked = campaign.ask()
                if asked[0].candidate is not None:
                    own.append(time.process_time() - start)
                for trial in asked:
                    assert trial.structures is not None
                    campaign.tell(trial, campaign.parts.evaluator(trial.structures))
        found = [step.seconds for step in campaign.log.steps() if step.kind == "model"]
    step = statistics.median(own[1:])
    whole = statistics.median(sum(each[part] for part in PARTS) for each in found[1:])
    fit = statistics.median(each["fit"] for each in found[1:])
    return Cost(space.size, own[0] - step, fit / whole, step, memory())


def memory() -> float:
    """Return the most memory that this process has held, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", choices=list(SPACES))
    parser.add_argument("--size", type=int, help="atoms of a cell, or parts of a whole")
    parser.add_argument("--data", type=int, default=DATA)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--chunk", type=int, help="members scored at once")
    wanted = parser.parse_args(arguments)
    size = [] if wanted.size is None else [wanted.size]
    found = cost(SPACES[wanted.space](*size), wanted.data, wanted.steps, wanted.chunk)
    table = Table(*("members", "features s", "step s", "of it fit", "most memory GB"))
    cells = f"{found.features:.1f}", f"{found.step:.2f}", f"{found.fit:.0%}"
    table.add_row(f"{found.members:,}", *cells, f"{found.memory:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

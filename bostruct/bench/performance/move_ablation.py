"""What each generator of a search is worth: the search without it, on cheap energies.

    python -m bostruct.bench.performance.move_ablation lj26 au8cu8 --seeds 16

relaxes as many structures with each generator left out as with all of them, from equal
seeds, and compares how far above the lowest energy found by any of them they are. With
`--added` each is added to a search that has only the simplest ones: where one can stand
in for the other, leaving one out says little.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bostruct.bench.performance.model_potentials import LANDSCAPES, Landscape
from bostruct.bench.single_objective.method import single_thread
from bostruct.candidates import BasinHopping, relax
from bostruct.candidates.batched_lbfgs import RelaxationResult
from bostruct.errors import InputError, check_count, error_message

N_INITIAL, INITIAL_RELAXATION_STEPS = 6, 8
"""Structures known at the start, and the steps that each was relaxed."""

ENERGY_TOLERANCE = 0.01
"""eV or ε. How far above the lowest energy makes no difference."""

ALL_GENERATORS, SIMPLE_GENERATORS = "all", "random, rattle"
"""What the others are compared with: everything, or these two alone."""

TABLE_WIDTH = 160
"""Columns of the table."""

ABLATION_SEARCH = BasinHopping(n_rounds=5, patience=5)
"""What is compared: so many relaxations, whatever they find."""


@final
@dataclass(frozen=True)
class AblationResult:
    """What leaving out or adding a generator did.

    Attributes:
        generator: of the generator, or of what it is compared with.
        landscape: where.
        n_solved: runs that ended in the lowest energy.
        n_runs: how many.
        losses: of each run, by how many doublings its shortfall was larger than that
            of what it is compared with, on average over the rounds.
    """

    generator: str
    landscape: str
    n_solved: int
    n_runs: int
    losses: tuple[float, ...]


def ablate(
    landscape_names: Sequence[str],
    n_seeds: int,
    search: BasinHopping = ABLATION_SEARCH,
    generator_names: Sequence[str] = (),
    *,
    add_to_simple: bool = False,
) -> list[AblationResult]:
    """Return what each generator is worth, landscape by landscape.

    Args:
        landscape_names: of landscapes.
        n_seeds: runs of each.
        search: the one that has all generators.
        generator_names: generators to leave out, one at a time; all that a space has by
            default.
        add_to_simple: whether they are added to the simplest ones instead.

    Raises:
        InputError: a landscape or a generator that is not there.
    """
    for name in landscape_names:
        if name not in LANDSCAPES:
            condition = f"be among {', '.join(LANDSCAPES)}"
            raise InputError(error_message("landscape_names", condition, repr(name)))
    there = {name: removable_generators(LANDSCAPES[name], search) for name in landscape_names}
    known = dict.fromkeys(one for own in there.values() for one in own)
    for one in generator_names:
        if one not in known:
            condition = f"be among {', '.join(known)}"
            raise InputError(error_message("generator_names", condition, repr(one)))
    found = []
    for name, own in there.items():
        simple = (
            [one for one in own if one in SIMPLE_GENERATORS.split(", ")] if add_to_simple else []
        )
        rich = [one for one in own if one not in simple]
        base = tuple(rich) if add_to_simple else ()
        lacks = {SIMPLE_GENERATORS if add_to_simple else ALL_GENERATORS: base}
        for one in rich:
            if one in (generator_names or known):
                lacks[one] = tuple(k for k in rich if (k != one) == add_to_simple)
        curves = {
            one: best_energy_history(LANDSCAPES[name], replace(search, exclude=lack), n_seeds)
            for one, lack in lacks.items()
        }
        found.extend(ablation_results(name, curves))
    return found


def removable_generators(landscape: Landscape, search: BasinHopping) -> list[str]:
    """Return the names of what may be left out: never the last of its kind."""
    kept = search.generators_and_moves(landscape.space)
    return [name for part in kept if len(part) > 1 for name in part]


def best_energy_history(landscape: Landscape, search: BasinHopping, n_seeds: int) -> Tensor:
    """Return the lowest energy after each round of each run, `[seeds, rounds]` eV.

    All runs are relaxed together.
    """
    space, energy = landscape.space, landscape.energy

    def relaxed(X: Tensor, steps: int) -> RelaxationResult:
        return relax(
            lambda X: -energy(X),
            X,
            fmax=search.fmax,
            max_steps=steps,
            max_step=search.max_step,
            project=space.project,
        )

    walks = []
    for seed in range(n_seeds):
        random = torch.Generator().manual_seed(seed)
        start = relaxed(space.sample(N_INITIAL, random), INITIAL_RELAXATION_STEPS)
        walks.append(search.ask_and_tell(space, start.X, -start.acq_value, random))
    found: list[list[float]] = [[] for _ in walks]
    starts = {run: next(walk) for run, walk in enumerate(walks)}
    while starts:
        ends = relaxed(torch.cat(list(starts.values())), search.max_steps)
        at = 0
        for run, X in list(starts.items()):
            rows = slice(at, at + len(X))
            at += len(X)
            end = RelaxationResult(
                ends.X[rows],
                ends.acq_value[rows],
                ends.n_steps[rows],
                ends.converged[rows],
            )
            inside = space.contains(end.X) & end.acq_value.isfinite()
            best = -float(end.acq_value.masked_fill(~inside, -torch.inf).max())
            found[run].append(min([best, *found[run][-1:]]))
            try:
                starts[run] = walks[run].send(end)
            except StopIteration:
                del starts[run]
    return torch.tensor(found, dtype=torch.float64)


def ablation_results(landscape: str, curves: Mapping[str, Tensor]) -> list[AblationResult]:
    """Return what each search did, from its curves of `lowest`.

    The first is what the others are compared with.
    """
    first = next(iter(curves))
    bottom = min(float(curve.min()) for curve in curves.values())
    short = {
        name: ((curve - bottom).clamp(min=ENERGY_TOLERANCE) / ENERGY_TOLERANCE).log2().mean(-1)
        for name, curve in curves.items()
    }
    return [
        AblationResult(
            name,
            landscape,
            n_solved=int((curve[:, -1] < bottom + ENERGY_TOLERANCE).sum()),
            n_runs=len(curve),
            losses=tuple((short[name] - short[first]).tolist()),
        )
        for name, curve in curves.items()
    ]


def ablation_table(results: Sequence[AblationResult]) -> Table:
    """Return a line for each generator: what was lost everywhere, and on each."""
    landscapes = list(dict.fromkeys(worth.landscape for worth in results))
    added = results[0].generator == SIMPLE_GENERATORS
    grid = Table("with" if added else "without", "lost", *landscapes)
    for name in dict.fromkeys(worth.generator for worth in results):
        own = {worth.landscape: worth for worth in results if worth.generator == name}
        losses = [loss for worth in own.values() for loss in worth.losses]
        cells = [_format_cell(own.get(landscape)) for landscape in landscapes]
        grid.add_row(
            name,
            "" if name in (ALL_GENERATORS, SIMPLE_GENERATORS) else _mean_and_standard_error(losses),
            *cells,
        )
    return grid


def _format_cell(result: AblationResult | None) -> str:
    if result is None:
        return ""
    solved = f"{result.n_solved}/{result.n_runs}"
    if result.generator in (ALL_GENERATORS, SIMPLE_GENERATORS):
        return solved
    return f"{math.fsum(result.losses) / result.n_runs:+.2f} {solved}"


def _mean_and_standard_error(losses: Sequence[float]) -> str:
    """Return the mean and its standard error, if there is one."""
    values = torch.tensor(losses, dtype=torch.float64)
    mean = f"{float(values.mean()):+.2f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {float(values.std()) / math.sqrt(len(values)):.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it from a shell."""
    parser = argparse.ArgumentParser(
        prog="python -m bostruct.bench.performance.move_ablation", description=__doc__
    )
    parser.add_argument("names", nargs="+", choices=LANDSCAPES, metavar="LANDSCAPE")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--only", action="append", default=[], metavar="GENERATOR")
    parser.add_argument("--added", action="store_true")
    given = parser.parse_args(arguments)
    with single_thread():
        seeds = check_count("seeds", given.seeds)
        found = ablate(given.names, seeds, generator_names=given.only, add_to_simple=given.added)
    Console(width=TABLE_WIDTH).print(ablation_table(found))


if __name__ == "__main__":
    main()

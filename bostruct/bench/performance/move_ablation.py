"""Ablation study of the candidate generators of a search, on model potentials.

    python -m bostruct.bench.performance.move_ablation lj26 au8cu8 --seeds 16

relaxes the same number of structures with each generator left out as with all of them, from equal
seeds, and compares their energies above the lowest one of all searches. With `--added` each is
added to a search with only the simplest generators: where generators can replace each other,
leaving one out has little effect.
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
from bostruct.bench.tables import data_frame, terminal_table
from bostruct.candidates import BasinHopping, relax
from bostruct.candidates.batched_lbfgs import RelaxationResult
from bostruct.errors import check_choice, check_count
from bostruct.runtime.threads import limited_threads
from bostruct.structures.problem_scale import ProblemScale

N_INITIAL, INITIAL_RELAXATION_STEPS = 6, 8
"""Number of initial structures, and of the relaxation steps of each."""

ENERGY_TOLERANCE = 0.01
"""Energy above the lowest one that counts as none, eV or ε."""

ALL_GENERATORS, SIMPLE_GENERATORS = "all", "random, rattle"
"""Names of the reference searches: with all generators, and with these two alone."""

TABLE_WIDTH = 160
"""Width of the table in columns."""

ABLATION_SEARCH = BasinHopping(n_rounds=5, patience=5)
"""Search of the study, with a fixed number of relaxations."""


@final
@dataclass(frozen=True)
class AblationResult:
    """Effect of leaving out or adding one generator on one landscape.

    Attributes:
        generator: Name of the generator, or of the reference search.
        landscape: Name of the landscape.
        n_solved: Number of runs that ended at the lowest energy.
        n_runs: Number of runs.
        losses: Loss of each run: log2 of its energy above the lowest one, relative to the
            reference search, as a mean over the rounds.
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
    """Return the effect of each generator, landscape by landscape.

    Args:
        landscape_names: Names of landscapes.
        n_seeds: Number of runs of each search.
        search: Search with all generators.
        generator_names: Generators to leave out, one at a time; all of a space by default.
        add_to_simple: True to add them to the simplest generators instead.

    Raises:
        InputError: a landscape or a generator does not exist.
    """
    for name in landscape_names:
        check_choice("landscape_names", name, LANDSCAPES)
    removable = {name: removable_generators(LANDSCAPES[name], search) for name in landscape_names}
    known = dict.fromkeys(generator for names in removable.values() for generator in names)
    for generator in generator_names:
        check_choice("generator_names", generator, known)
    results = []
    for name, names in removable.items():
        generators = names
        if add_to_simple:
            generators = [k for k in names if k not in SIMPLE_GENERATORS.split(", ")]
            exclude = {SIMPLE_GENERATORS: tuple(generators)}
        else:
            exclude = {ALL_GENERATORS: ()}
        for generator in generators:
            if generator in (generator_names or known):
                exclude[generator] = tuple(
                    k for k in generators if (k != generator) == add_to_simple
                )
        curves = {
            label: best_energy_history(LANDSCAPES[name], replace(search, exclude=lacks), n_seeds)
            for label, lacks in exclude.items()
        }
        results.extend(ablation_results(name, curves))
    return results


def removable_generators(landscape: Landscape, search: BasinHopping) -> list[str]:
    """Return the names of generators and moves that may be left out: never the last of its kind."""
    kinds = search.generators_and_moves(landscape.space)
    return [name for names in kinds if len(names) > 1 for name in names]


def best_energy_history(landscape: Landscape, search: BasinHopping, n_seeds: int) -> Tensor:
    """Return the lowest energy after each round of each run, `[seeds, rounds]` eV.

    All runs are relaxed together.
    """
    space, energy = landscape.space, landscape.energy
    X = space.sample(N_INITIAL, torch.Generator().manual_seed(0))
    energies = energy(X).detach()
    scale = ProblemScale.from_energies(energies, space.atomic_radii, space.numbers)
    search = search.with_scale(scale.energy, scale.length)
    fmax, max_step = search.fmax, search.max_step
    assert fmax is not None
    assert max_step is not None

    def relaxed(X: Tensor, steps: int) -> RelaxationResult:
        return relax(
            lambda X: -energy(X),
            X,
            fmax=fmax,
            max_steps=steps,
            max_step=max_step,
            project=space.project,
        )

    searches = []
    for seed in range(n_seeds):
        generator = torch.Generator().manual_seed(seed)
        start = relaxed(space.sample(N_INITIAL, generator), INITIAL_RELAXATION_STEPS)
        searches.append(search.ask_and_tell(space, start.X, -start.acq_value, generator))
    history: list[list[float]] = [[] for _ in searches]
    starts = {run: next(steps) for run, steps in enumerate(searches)}
    while starts:
        batch = relaxed(torch.cat(list(starts.values())), search.max_steps)
        first = 0
        for run, X in list(starts.items()):
            rows = slice(first, first + len(X))
            first += len(X)
            end = RelaxationResult(
                batch.X[rows], batch.acq_value[rows], batch.n_steps[rows], batch.converged[rows]
            )
            inside = space.contains(end.X) & end.acq_value.isfinite()
            best = -float(end.acq_value.masked_fill(~inside, -torch.inf).max())
            history[run].append(min([best, *history[run][-1:]]))
            try:
                starts[run] = searches[run].send(end)
            except StopIteration:
                del starts[run]
    return torch.tensor(history, dtype=torch.float64)


def ablation_results(landscape: str, curves: Mapping[str, Tensor]) -> list[AblationResult]:
    """Return the effect of each generator from `best_energy_history`, relative to the first one."""
    first = next(iter(curves))
    lowest = min(float(curve.min()) for curve in curves.values())
    gap = {
        name: ((curve - lowest).clamp(min=ENERGY_TOLERANCE) / ENERGY_TOLERANCE).log2().mean(-1)
        for name, curve in curves.items()
    }
    return [
        AblationResult(
            name,
            landscape,
            n_solved=int((curve[:, -1] < lowest + ENERGY_TOLERANCE).sum()),
            n_runs=len(curve),
            losses=tuple((gap[name] - gap[first]).tolist()),
        )
        for name, curve in curves.items()
    ]


def ablation_table(results: Sequence[AblationResult]) -> Table:
    """Return a table with the mean loss of each generator, and its loss on each landscape."""
    landscapes = list(dict.fromkeys(result.landscape for result in results))
    added = results[0].generator == SIMPLE_GENERATORS
    rows = []
    for name in dict.fromkeys(result.generator for result in results):
        by_landscape = {r.landscape: r for r in results if r.generator == name}
        losses = [loss for result in by_landscape.values() for loss in result.losses]
        reference = name in (ALL_GENERATORS, SIMPLE_GENERATORS)
        mean = "" if reference else _mean_and_standard_error(losses)
        rows.append([name, mean, *(_format_cell(by_landscape.get(key)) for key in landscapes)])
    columns = ["with" if added else "without", "loss", *landscapes]
    return terminal_table(data_frame(rows, columns))


def _format_cell(result: AblationResult | None) -> str:
    if result is None:
        return ""
    solved = f"{result.n_solved}/{result.n_runs}"
    if result.generator in (ALL_GENERATORS, SIMPLE_GENERATORS):
        return solved
    return f"{math.fsum(result.losses) / result.n_runs:+.2f} {solved}"


def _mean_and_standard_error(losses: Sequence[float]) -> str:
    """Return the mean with its standard error, if there are several losses."""
    values = torch.tensor(losses, dtype=torch.float64)
    mean = f"{float(values.mean()):+.2f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {float(values.std()) / math.sqrt(len(values)):.2f}"


@limited_threads(1)
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the ablation study from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bostruct.bench.performance.move_ablation", description=__doc__
    )
    parser.add_argument("names", nargs="+", choices=LANDSCAPES, metavar="LANDSCAPE")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--only", action="append", default=[], metavar="GENERATOR")
    parser.add_argument("--added", action="store_true")
    given = parser.parse_args(arguments)
    seeds = check_count("seeds", given.seeds)
    results = ablate(given.names, seeds, generator_names=given.only, add_to_simple=given.added)
    Console(width=TABLE_WIDTH).print(ablation_table(results))


if __name__ == "__main__":
    main()

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
from bostruct.bench.single_objective.method import one_thread
from bostruct.candidates import Search, relax
from bostruct.candidates.batched_lbfgs import Relaxed
from bostruct.errors import InputError, check_count, must

KNOWN, STEPS = 6, 8
"""Structures known at the start, and the steps that each was relaxed."""

FINE = 0.01
"""eV or ε. How far above the lowest energy makes no difference."""

FULL, BARE = "all", "random, rattle"
"""What the others are compared with: everything, or these two alone."""

WIDTH = 160
"""Columns of the table."""

SEARCH = Search(rounds=5, patience=5)
"""What is compared: so many relaxations, whatever they find."""


@final
@dataclass(frozen=True)
class Worth:
    """What leaving out or adding a generator did.

    Attributes:
        name: of the generator, or of what it is compared with.
        landscape: where.
        solved: runs that ended in the lowest energy.
        runs: how many.
        losses: of each run, by how many doublings its shortfall was larger than that
            of what it is compared with, on average over the rounds.
    """

    name: str
    landscape: str
    solved: int
    runs: int
    losses: tuple[float, ...]


def ablate(
    names: Sequence[str],
    seeds: int,
    search: Search = SEARCH,
    chosen: Sequence[str] = (),
    *,
    added: bool = False,
) -> list[Worth]:
    """Return what each generator is worth, landscape by landscape.

    Args:
        names: of landscapes.
        seeds: runs of each.
        search: the one that has all generators.
        chosen: generators to leave out, one at a time; all that a space has by
            default.
        added: whether they are added to the simplest ones instead.

    Raises:
        InputError: a landscape or a generator that is not there.
    """
    for name in names:
        if name not in LANDSCAPES:
            condition = f"be among {', '.join(LANDSCAPES)}"
            raise InputError(must("names", condition, repr(name)))
    there = {name: generators(LANDSCAPES[name], search) for name in names}
    known = dict.fromkeys(one for own in there.values() for one in own)
    for one in chosen:
        if one not in known:
            condition = f"be among {', '.join(known)}"
            raise InputError(must("chosen", condition, repr(one)))
    found = []
    for name, own in there.items():
        simple = [one for one in own if one in BARE.split(", ")] if added else []
        rich = [one for one in own if one not in simple]
        base = tuple(rich) if added else ()
        lacks = {BARE if added else FULL: base}
        for one in rich:
            if one in (chosen or known):
                lacks[one] = tuple(k for k in rich if (k != one) == added)
        curves = {
            one: lowest(LANDSCAPES[name], replace(search, without=lack), seeds)
            for one, lack in lacks.items()
        }
        found.extend(worths(name, curves))
    return found


def generators(landscape: Landscape, search: Search) -> list[str]:
    """Return the names of what may be left out: never the last of its kind."""
    kept = search.kept(landscape.space)
    return [name for part in kept if len(part) > 1 for name in part]


def lowest(landscape: Landscape, search: Search, seeds: int) -> Tensor:
    """Return the lowest energy after each round of each run, `[seeds, rounds]` eV.

    All runs are relaxed together.
    """
    space, energy = landscape.space, landscape.energy

    def relaxed(X: Tensor, steps: int) -> Relaxed:
        return relax(
            lambda X: -energy(X),
            X,
            tolerance=search.tolerance,
            steps=steps,
            step=search.step,
            project=space.project,
        )

    walks = []
    for seed in range(seeds):
        random = torch.Generator().manual_seed(seed)
        start = relaxed(space.sample(KNOWN, random), STEPS)
        walks.append(search.walk(space, start.X, -start.value, random))
    found: list[list[float]] = [[] for _ in walks]
    starts = {run: next(walk) for run, walk in enumerate(walks)}
    while starts:
        ends = relaxed(torch.cat(list(starts.values())), search.steps)
        at = 0
        for run, X in list(starts.items()):
            rows = slice(at, at + len(X))
            at += len(X)
            end = Relaxed(
                ends.X[rows], ends.value[rows], ends.steps[rows], ends.converged[rows]
            )
            inside = space.contains(end.X) & end.value.isfinite()
            best = -float(end.value.masked_fill(~inside, -torch.inf).max())
            found[run].append(min([best, *found[run][-1:]]))
            try:
                starts[run] = walks[run].send(end)
            except StopIteration:
                del starts[run]
    return torch.tensor(found, dtype=torch.float64)


def worths(landscape: str, curves: Mapping[str, Tensor]) -> list[Worth]:
    """Return what each search did, from its curves of `lowest`.

    The first is what the others are compared with.
    """
    first = next(iter(curves))
    bottom = min(float(curve.min()) for curve in curves.values())
    short = {
        name: ((curve - bottom).clamp(min=FINE) / FINE).log2().mean(-1)
        for name, curve in curves.items()
    }
    return [
        Worth(
            name,
            landscape,
            solved=int((curve[:, -1] < bottom + FINE).sum()),
            runs=len(curve),
            losses=tuple((short[name] - short[first]).tolist()),
        )
        for name, curve in curves.items()
    ]


def table(found: Sequence[Worth]) -> Table:
    """Return a line for each generator: what was lost everywhere, and on each."""
    landscapes = list(dict.fromkeys(worth.landscape for worth in found))
    added = found[0].name == BARE
    grid = Table("with" if added else "without", "lost", *landscapes)
    for name in dict.fromkeys(worth.name for worth in found):
        own = {worth.landscape: worth for worth in found if worth.name == name}
        losses = [loss for worth in own.values() for loss in worth.losses]
        cells = [_cell(own.get(landscape)) for landscape in landscapes]
        grid.add_row(name, "" if name in (FULL, BARE) else _mean(losses), *cells)
    return grid


def _cell(worth: Worth | None) -> str:
    if worth is None:
        return ""
    solved = f"{worth.solved}/{worth.runs}"
    if worth.name in (FULL, BARE):
        return solved
    return f"{math.fsum(worth.losses) / worth.runs:+.2f} {solved}"


def _mean(losses: Sequence[float]) -> str:
    """Return the mean and its standard error, if there is one."""
    values = torch.tensor(losses, dtype=torch.float64)
    mean = f"{float(values.mean()):+.2f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {float(values.std()) / math.sqrt(len(values)):.2f}"


def main(words: Sequence[str] | None = None) -> None:
    """Run it from a shell."""
    parser = argparse.ArgumentParser(
        prog="python -m bostruct.bench.performance.move_ablation", description=__doc__
    )
    parser.add_argument("names", nargs="+", choices=LANDSCAPES, metavar="LANDSCAPE")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--only", action="append", default=[], metavar="GENERATOR")
    parser.add_argument("--added", action="store_true")
    given = parser.parse_args(words)
    with one_thread():
        seeds = check_count("seeds", given.seeds)
        found = ablate(given.names, seeds, chosen=given.only, added=given.added)
    Console(width=WIDTH).print(table(found))


if __name__ == "__main__":
    main()

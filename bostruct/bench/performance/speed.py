"""How fast and how right the default surrogate is: `python -m bostruct.bench.performance.speed`.

Data are made as they come in a search: random Cu15 clusters with EMT energies and
forces, after 3 to 40 steps of BFGS, each coordinate shaken by up to 0.15 Å, energies
below 2 eV per atom. `--sphere` begins with atoms dropped anywhere into a sphere.
Times are CPU seconds of one core.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bostruct.acquisition import LowerConfidenceBound
from bostruct.bench.uncertainty.datasets import Law
from bostruct.candidates import Search, relax
from bostruct.spaces import Cluster
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.model import LocalModel

FORMULA = "Cu15"
LAW = Law(FORMULA)
HELD = 200
"""Structures that no model is trained on."""

RELAXED = 100
"""Training structures behind the relaxations."""


class Accuracy(NamedTuple):
    """Errors on structures that were held out.

    Args:
        train: Training structures.
        energy: Mean absolute error, eV per atom.
        forces: Mean absolute error, eV/Å.
        square: Mean squared error over the predicted variance.
        inside: Share within one standard deviation.
    """

    train: int
    energy: float
    forces: float
    square: float
    inside: float


class Throughput(NamedTuple):
    """Relaxations of one batch on the acquisition.

    Args:
        batch: Structures at once.
        rate: Relaxations per second.
        steps: Mean steps of one.
        each: s, of one structure and step.
    """

    batch: int
    rate: float
    steps: float
    each: float


class Scale(NamedTuple):
    """One fit.

    Args:
        train: Training structures.
        inducing: Environments it sees through; a structure costs more with more.
        seconds: Of the fit.
        memory: GB, the most the process has held.
    """

    train: int
    inducing: int
    seconds: float
    memory: float


def data(count: int, seed: int = 0, sphere: float | None = None) -> Structures:
    """Return `count` labelled clusters.

    Args:
        count: How many.
        seed: Of all that is random.
        sphere: As of a `Law`.
    """
    return replace(LAW, sphere=sphere).draw(count, seed)


def more(structures: Structures, count: int, seed: int = 0) -> Structures:
    """Return `count` labelled clusters: these, and shaken copies of them."""
    generator = torch.Generator().manual_seed(seed)
    found = list(structures[:count])
    while len(found) < count:
        one = structures[len(found) % len(structures)].without_results()
        found += LAW.shaken(one, generator)
    return Structures.cat(found)


def _known(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return energies and forces of labelled structures."""
    assert structures.energy is not None
    assert structures.forces is not None
    return structures.energy, structures.forces


def accuracy(train: Structures, held: Structures, count: int) -> Accuracy:
    """Return the errors of a model trained on the first `count` structures."""
    found = LocalGP().fit(train[:count]).predict(held)
    energy, forces = _known(held)
    assert found.forces is not None
    missed = found.mean - energy
    square = missed.square() / found.observed
    return Accuracy(
        count,
        float((missed.abs() / held.counts).mean()),
        float((found.forces - forces).abs().mean()),
        float(square.mean()),
        float((square < 1).to(missed).mean()),
    )


def throughput(value: Callable[[Tensor], Tensor], batch: int) -> Throughput:
    """Return how fast random clusters relax, to 0.05 eV/Å or 100 steps."""
    space = Cluster(FORMULA)
    X = space.sample(batch, torch.Generator().manual_seed(1))
    calls = [0]

    def counted(X: Tensor) -> Tensor:
        calls[0] += len(X)
        return value(X)

    start = time.process_time()
    end = relax(counted, X, project=space.project)
    seconds = time.process_time() - start
    steps = float(end.steps.double().mean())
    return Throughput(batch, batch / seconds, steps, seconds / calls[0])


def acquisition(model: LocalModel) -> Callable[[Tensor], Tensor]:
    """Return the default acquisition as a search sees it."""
    function = LowerConfidenceBound().build(model, 0.0)

    def value(X: Tensor) -> Tensor:
        found: Tensor = function(X.unsqueeze(-2))
        return found

    return value


def step(train: Structures, count: int) -> tuple[float, float]:
    """Return the seconds of a fit, and of a search that relaxes 32 candidates once."""
    space, known = Cluster(FORMULA), train[:count]
    energy, _ = _known(known)
    start = time.process_time()
    model = LocalGP().fit(known, space)
    fitted = time.process_time()
    generator = torch.Generator().manual_seed(0)
    search = Search(candidates=32, rounds=1)
    search(acquisition(model), space, space.encode(known), energy, generator)
    return fitted - start, time.process_time() - fitted


def scale(train: Structures, count: int) -> Scale:
    """Return what a fit costs."""
    known = more(train, count)
    start = time.process_time()
    model = LocalGP().fit(known)
    seconds = time.process_time() - start
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return Scale(count, len(model.inducing), seconds, memory)


def _show(console: Console, table: Table) -> None:
    if table.row_count:
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", type=int, nargs="*", default=[50, 100, 200])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--steps", type=int, nargs="*", default=[20, 60, 100])
    parser.add_argument("--scale", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--held", type=int, default=HELD)
    parser.add_argument(
        "--sphere", type=float, help="Å; atoms of the data are dropped into it"
    )
    wanted = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console()
    count = max([RELAXED, *wanted.accuracy])
    train = data(count, 0, wanted.sphere)
    held = data(wanted.held, 1, wanted.sphere)
    step(train, 3)  # compiles, and fills caches
    table = Table("train", "MAE eV/atom", "MAE eV/Å", "z²", "within 1 σ")
    for count in wanted.accuracy:
        found = accuracy(train, held, count)
        table.add_row(
            str(count),
            f"{found.energy:.4f}",
            f"{found.forces:.3f}",
            f"{found.square:.2f}",
            f"{found.inside:.2f}",
        )
    _show(console, table)
    value = acquisition(LocalGP().fit(train[:RELAXED], Cluster(FORMULA)))
    table = Table("batch", "relaxations/s", "steps", "ms/structure and step")
    for batch in wanted.batches:
        rate = throughput(value, batch)
        each = f"{1e3 * rate.each:.2f}"
        table.add_row(str(batch), f"{rate.rate:.1f}", f"{rate.steps:.0f}", each)
    _show(console, table)
    table = Table("train", "fit s", "search s", "both s")
    for count in wanted.steps:
        fit, search = step(train, count)
        table.add_row(str(count), *(f"{x:.2f}" for x in (fit, search, fit + search)))
    _show(console, table)
    table = Table("train", "inducing", "fit s", "ms each", "most memory GB")
    for count in sorted(wanted.scale):
        cost = scale(train, count)
        each = f"{1e3 * cost.seconds / count:.2f}"
        numbers = f"{cost.seconds:.2f}", each, f"{cost.memory:.2f}"
        table.add_row(str(count), str(cost.inducing), *numbers)
    _show(console, table)


if __name__ == "__main__":
    main()

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

from bostruct.acquisition import AcquisitionContext, LowerConfidenceBound
from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.candidates import BasinHopping, relax
from bostruct.spaces import Cluster
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.model import LocalGPModel

FORMULA = "Cu15"
SPEED_DATASET = ClusterDataset(FORMULA)
N_TEST = 200
"""Structures that no model is trained on."""

N_RELAXATION_TRAIN = 100
"""Training structures behind the relaxations."""


class Accuracy(NamedTuple):
    """Errors on structures that were held out.

    Args:
        n_train: Training structures.
        energy_mae: Mean absolute error, eV per atom.
        force_mae: Mean absolute error, eV/Å.
        mean_z2: Mean squared error over the predicted variance.
        coverage_1sigma: Share within one standard deviation.
    """

    n_train: int
    energy_mae: float
    force_mae: float
    mean_z2: float
    coverage_1sigma: float


class Throughput(NamedTuple):
    """Relaxations of one batch on the acquisition.

    Args:
        batch_size: Structures at once.
        relaxations_per_second: Relaxations per second.
        mean_steps: Mean steps of one.
        seconds_per_step: s, of one structure and step.
    """

    batch_size: int
    relaxations_per_second: float
    mean_steps: float
    seconds_per_step: float


class FitCost(NamedTuple):
    """One fit.

    Args:
        n_train: Training structures.
        n_inducing: Environments it sees through; a structure costs more with more.
        fit_seconds: Of the fit.
        peak_memory_gb: GB, the most the process has held.
    """

    n_train: int
    n_inducing: int
    fit_seconds: float
    peak_memory_gb: float


def labeled_clusters(n: int, seed: int = 0, sphere_radius: float | None = None) -> Structures:
    """Return `n` labelled clusters.

    Args:
        n: How many.
        seed: Of all that is random.
        sphere_radius: As of a `Law`.
    """
    return replace(SPEED_DATASET, sphere_radius=sphere_radius).sample(n, seed)


def extend_with_displaced(structures: Structures, n: int, seed: int = 0) -> Structures:
    """Return `n` labelled clusters: these, and shaken copies of them."""
    generator = torch.Generator().manual_seed(seed)
    found = list(structures[:n])
    while len(found) < n:
        one = structures[len(found) % len(structures)].without_results()
        found += SPEED_DATASET.displace_and_label(one, generator)
    return Structures.cat(found)


def _labels(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return energies and forces of labelled structures."""
    assert structures.energy is not None
    assert structures.forces is not None
    return structures.energy, structures.forces


def measure_accuracy(train: Structures, test: Structures, n_train: int) -> Accuracy:
    """Return the errors of a model trained on the first `n_train` structures."""
    found = LocalGP().fit(train[:n_train]).predict(test)
    energy, forces = _labels(test)
    assert found.forces is not None
    missed = found.mean - energy
    square = missed.square() / found.predictive_variance
    return Accuracy(
        n_train,
        float((missed.abs() / test.counts).mean()),
        float((found.forces - forces).abs().mean()),
        float(square.mean()),
        float((square < 1).to(missed).mean()),
    )


def measure_throughput(
    acquisition_function: Callable[[Tensor], Tensor], batch_size: int
) -> Throughput:
    """Return how fast random clusters relax, to 0.05 eV/Å or 100 steps."""
    space = Cluster(FORMULA)
    X = space.sample(batch_size, torch.Generator().manual_seed(1))
    calls = [0]

    def counted(X: Tensor) -> Tensor:
        calls[0] += len(X)
        return acquisition_function(X)

    start = time.process_time()
    end = relax(counted, X, project=space.project)
    seconds = time.process_time() - start
    steps = float(end.n_steps.double().mean())
    return Throughput(batch_size, batch_size / seconds, steps, seconds / calls[0])


def default_acquisition(model: LocalGPModel) -> Callable[[Tensor], Tensor]:
    """Return the default acquisition as a search sees it."""
    function = LowerConfidenceBound().build(AcquisitionContext(model))

    def value(X: Tensor) -> Tensor:
        found: Tensor = function(X.unsqueeze(-2))
        return found

    return value


def measure_step_seconds(train: Structures, n_train: int) -> tuple[float, float]:
    """Return the seconds of a fit, and of a search that relaxes 32 candidates once."""
    space, known = Cluster(FORMULA), train[:n_train]
    energy, _ = _labels(known)
    start = time.process_time()
    model = LocalGP().fit(known, space)
    fitted = time.process_time()
    generator = torch.Generator().manual_seed(0)
    search = BasinHopping(n_candidates=32, n_rounds=1)
    search(default_acquisition(model), space, space.encode(known), energy, generator)
    return fitted - start, time.process_time() - fitted


def measure_fit_cost(train: Structures, n_train: int) -> FitCost:
    """Return what a fit costs."""
    known = extend_with_displaced(train, n_train)
    start = time.process_time()
    model = LocalGP().fit(known)
    seconds = time.process_time() - start
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return FitCost(n_train, len(model.inducing), seconds, memory)


def _print_table(console: Console, table: Table) -> None:
    if table.row_count:
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", type=int, nargs="*", default=[50, 100, 200])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--steps", type=int, nargs="*", default=[20, 60, 100])
    parser.add_argument("--scale", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--held", type=int, default=N_TEST)
    parser.add_argument("--sphere", type=float, help="Å; atoms of the data are dropped into it")
    wanted = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console()
    count = max([N_RELAXATION_TRAIN, *wanted.accuracy])
    train = labeled_clusters(count, 0, wanted.sphere)
    held = labeled_clusters(wanted.held, 1, wanted.sphere)
    measure_step_seconds(train, 3)  # compiles, and fills caches
    table = Table("train", "MAE eV/atom", "MAE eV/Å", "z²", "within 1 σ")
    for count in wanted.accuracy:
        found = measure_accuracy(train, held, count)
        table.add_row(
            str(count),
            f"{found.energy_mae:.4f}",
            f"{found.force_mae:.3f}",
            f"{found.mean_z2:.2f}",
            f"{found.coverage_1sigma:.2f}",
        )
    _print_table(console, table)
    value = default_acquisition(LocalGP().fit(train[:N_RELAXATION_TRAIN], Cluster(FORMULA)))
    table = Table("batch", "relaxations/s", "steps", "ms/structure and step")
    for batch in wanted.batches:
        rate = measure_throughput(value, batch)
        each = f"{1e3 * rate.seconds_per_step:.2f}"
        table.add_row(
            str(batch),
            f"{rate.relaxations_per_second:.1f}",
            f"{rate.mean_steps:.0f}",
            each,
        )
    _print_table(console, table)
    table = Table("train", "fit s", "search s", "both s")
    for count in wanted.steps:
        fit, search = measure_step_seconds(train, count)
        table.add_row(str(count), *(f"{x:.2f}" for x in (fit, search, fit + search)))
    _print_table(console, table)
    table = Table("train", "inducing", "fit s", "ms each", "most memory GB")
    for count in sorted(wanted.scale):
        cost = measure_fit_cost(train, count)
        each = f"{1e3 * cost.fit_seconds / count:.2f}"
        numbers = f"{cost.fit_seconds:.2f}", each, f"{cost.peak_memory_gb:.2f}"
        table.add_row(str(count), str(cost.n_inducing), *numbers)
    _print_table(console, table)


if __name__ == "__main__":
    main()

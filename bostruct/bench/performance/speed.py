"""Accuracy, throughput and fit time of the default surrogate.

    python -m bostruct.bench.performance.speed

The data resemble those of a search: random Cu15 clusters with EMT energies and forces, after 3 to
40 steps of BFGS, coordinates displaced by up to 0.15 Å, energies below 2 eV per atom. `--sphere`
begins with random atoms in a sphere. Times are CPU seconds of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from bostruct.acquisition import AcquisitionContext, LowerConfidenceBound
from bostruct.bench.benchmark import single_thread
from bostruct.bench.performance.pool_scaling import peak_memory_gb
from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.tables import data_frame, terminal_table
from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.candidates import AcquisitionCallable, BasinHopping, relax
from bostruct.evaluators import Calculator, Evaluation
from bostruct.spaces import Cluster, Surface
from bostruct.spaces.space import ContinuousSpace
from bostruct.structures import Structures
from bostruct.surrogates import LocalGP
from bostruct.surrogates.local_gp.model import LocalGPModel

FORMULA = "Cu15"
SPEED_DATASET = ClusterDataset(FORMULA)
N_TEST = 200
"""Number of test structures."""

N_RELAXATION_TRAIN = 100
"""Number of training structures of the relaxations."""


class Accuracy(NamedTuple):
    """Errors on test structures.

    Args:
        n_train: Number of training structures.
        energy_mae: Mean absolute error, eV per atom.
        force_mae: Mean absolute error, eV/Å.
        mean_z2: Mean squared error over the predicted variance.
        coverage_1sigma: Fraction of energies within one standard deviation.
    """

    n_train: int
    energy_mae: float
    force_mae: float
    mean_z2: float
    coverage_1sigma: float


class Throughput(NamedTuple):
    """Speed of the relaxation of one batch on the acquisition function.

    Args:
        batch_size: Number of structures in the batch.
        relaxations_per_second: Number of relaxations per second.
        mean_steps: Mean number of steps of a relaxation.
        seconds_per_step: Time per structure and step, s.
    """

    batch_size: int
    relaxations_per_second: float
    mean_steps: float
    seconds_per_step: float


class SearchCost(NamedTuple):
    """Time of a fit, and of the relaxation of 32 candidates.

    Args:
        n_inducing: Number of inducing environments.
        fit_seconds: Time of the fit, s.
        closed_form_seconds: Time with mean, σ and gradients in closed form, s.
        botorch_seconds: Time with BoTorch's posterior and autograd, s.
    """

    n_inducing: int
    fit_seconds: float
    closed_form_seconds: float
    botorch_seconds: float


class FitCost(NamedTuple):
    """Time and memory of one fit.

    Args:
        n_train: Number of training structures.
        n_inducing: Number of inducing environments.
        fit_seconds: Time of the fit, s.
        peak_memory_gb: Peak memory of the process, GB.
    """

    n_train: int
    n_inducing: int
    fit_seconds: float
    peak_memory_gb: float


def extend_with_displaced(structures: Structures, n: int) -> Structures:
    """Return `n` labeled clusters: these, and randomly displaced copies of them."""
    generator = torch.Generator().manual_seed(0)
    clusters = list(structures[:n])
    while len(clusters) < n:
        original = structures[len(clusters) % len(structures)].without_results()
        clusters += SPEED_DATASET.displace_and_label(original, generator)
    return Structures.cat(clusters)


def _labels(structures: Structures) -> tuple[Tensor, Tensor]:
    """Return energies and forces of labeled structures."""
    assert structures.energy is not None
    assert structures.forces is not None
    return structures.energy, structures.forces


def measure_accuracy(train: Structures, test: Structures, n_train: int) -> Accuracy:
    """Return the errors of a model trained on the first `n_train` structures."""
    prediction = LocalGP().fit(train[:n_train]).predict(test)
    energy, forces = _labels(test)
    assert prediction.forces is not None
    error = prediction.mean - energy
    square = error.square() / prediction.predictive_variance
    return Accuracy(
        n_train,
        float((error.abs() / test.counts).mean()),
        float((prediction.forces - forces).abs().mean()),
        float(square.mean()),
        float((square < 1).to(error).mean()),
    )


def measure_throughput(acquisition_function: AcquisitionCallable, batch_size: int) -> Throughput:
    """Return the speed of the relaxation of random clusters, to 0.05 eV/Å or 100 steps."""
    space = Cluster(FORMULA)
    X = space.sample(batch_size, torch.Generator().manual_seed(1))
    start = time.process_time()
    end = relax(acquisition_function, X, project=space.project)
    seconds = time.process_time() - start
    steps = float(end.n_steps.double().mean())
    return Throughput(batch_size, batch_size / seconds, steps, seconds / float(end.n_steps.sum()))


def default_acquisition(model: LocalGPModel) -> BatchAcquisition:
    """Return the default acquisition as a search sees it."""
    return BatchAcquisition(LowerConfidenceBound(), AcquisitionContext(model))


def search_seconds(
    acquisition_function: AcquisitionCallable, space: ContinuousSpace, structures: Structures
) -> float:
    """Return the time of a search that relaxes 32 candidates once, s."""
    energy, _ = _labels(structures)
    generator, start = torch.Generator().manual_seed(0), time.process_time()
    search = BasinHopping(n_candidates=32, n_rounds=1)
    search(acquisition_function, space, space.encode(structures), energy, generator)
    return time.process_time() - start


def measure_step_seconds(train: Structures, n_train: int) -> tuple[float, float]:
    """Return the times of a fit and of a search that relaxes 32 candidates once, s."""
    space, structures = Cluster(FORMULA), train[:n_train]
    start = time.process_time()
    model = LocalGP().fit(structures, space)
    fit_seconds = time.process_time() - start
    return fit_seconds, search_seconds(default_acquisition(model), space, structures)


def search_spaces() -> dict[str, ContinuousSpace]:
    """Return spaces of one and two species, and surfaces of which four atoms move."""
    from ase.build import fcc100

    slabs = {"36": (3, 3, 4), "72": (6, 6, 2)}
    return {
        FORMULA: Cluster(FORMULA),
        "Au5Cu10": Cluster("Au5Cu10"),
        **{
            f"Ni4 on a slab of {name} atoms": Surface(fcc100("Au", size, vacuum=8.0), "Ni4")
            for name, size in slabs.items()
        },
    }


def measure_search(space: ContinuousSpace, n_train: int, repeats: int = 3) -> SearchCost:
    """Return the times of a fit, and of a search in closed form and by BoTorch's posterior.

    The least of a few. The structures are random ones with displaced coordinates and EMT results.
    """
    generator = torch.Generator().manual_seed(0)
    evaluated: list[Structures] = []
    while len(evaluated) < n_train:
        structure = space.decode(space.project(space.sample(1, generator)))
        outcome = Calculator(emt)(structure)
        if isinstance(outcome, Evaluation) and outcome.energy is not None:
            energy = torch.tensor([outcome.energy], dtype=torch.float64)
            evaluated.append(replace(structure, energy=energy, forces=outcome.forces))
    structures = Structures.cat(evaluated)
    rounds = []
    for _ in range(repeats):
        start = time.process_time()
        model = LocalGP().fit(structures, space)
        fit_seconds = time.process_time() - start
        closed_form = default_acquisition(model)
        functions: tuple[AcquisitionCallable, ...] = (closed_form, closed_form.__call__)
        seconds = [search_seconds(function, space, structures) for function in functions]
        rounds.append((fit_seconds, *seconds))
    least = [min(times) for times in zip(*rounds, strict=True)]
    return SearchCost(len(model.inducing), *least)


def measure_fit_cost(train: Structures, n_train: int) -> FitCost:
    """Return time and memory of a fit."""
    structures = extend_with_displaced(train, n_train)
    start = time.process_time()
    model = LocalGP().fit(structures)
    seconds = time.process_time() - start
    return FitCost(n_train, len(model.inducing), seconds, peak_memory_gb())


def _print_table(rows: Iterable[Sequence[str]], *columns: str) -> None:
    frame = data_frame(rows, columns)
    if len(frame):
        Console().print(terminal_table(frame))


@single_thread()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of accuracy, throughput, steps and fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accuracy", type=int, nargs="*", default=[50, 100, 200])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--steps", type=int, nargs="*", default=[20, 60, 100])
    parser.add_argument("--search", type=int, nargs="*", default=[100])
    parser.add_argument("--scale", type=int, nargs="*", default=[100, 1000])
    parser.add_argument("--held", type=int, default=N_TEST)
    parser.add_argument("--sphere", type=float, help="Å; atoms of the data are dropped into it")
    given = parser.parse_args(arguments)
    dataset = replace(SPEED_DATASET, sphere_radius=given.sphere)
    train = dataset.sample(max([N_RELAXATION_TRAIN, *given.accuracy]))
    test = dataset.sample(given.held, seed=1)
    measure_step_seconds(train, 3)  # compiles the kernels
    rows = []
    for n_train in given.accuracy:
        accuracy = measure_accuracy(train, test, n_train)
        errors = f"{accuracy.energy_mae:.4f}", f"{accuracy.force_mae:.3f}"
        scores = f"{accuracy.mean_z2:.2f}", f"{accuracy.coverage_1sigma:.2f}"
        rows.append([str(n_train), *errors, *scores])
    _print_table(rows, "train", "MAE eV/atom", "MAE eV/Å", "z²", "within 1 σ")
    value = default_acquisition(LocalGP().fit(train[:N_RELAXATION_TRAIN], Cluster(FORMULA)))
    rows = []
    for batch_size in given.batches:
        speed = measure_throughput(value, batch_size)
        steps = f"{speed.mean_steps:.0f}", f"{1e3 * speed.seconds_per_step:.2f}"
        rows.append([str(batch_size), f"{speed.relaxations_per_second:.1f}", *steps])
    _print_table(rows, "batch", "relaxations/s", "steps", "ms/structure and step")
    rows = []
    for n_train in given.steps:
        fit, search = measure_step_seconds(train, n_train)
        rows.append([str(n_train), *(f"{x:.2f}" for x in (fit, search, fit + search))])
    _print_table(rows, "train", "fit s", "search s", "both s")
    rows = []
    for n_train in given.search:
        for name, space in search_spaces().items():
            n_inducing, *seconds = measure_search(space, n_train)
            rows.append([name, str(n_train), str(n_inducing), *(f"{x:.2f}" for x in seconds)])
    columns = "train", "inducing", "fit s", "closed form s", "BoTorch s"
    _print_table(rows, "search", *columns)
    rows = []
    for n_train in sorted(given.scale):
        cost = measure_fit_cost(train, n_train)
        times = f"{cost.fit_seconds:.2f}", f"{1e3 * cost.fit_seconds / n_train:.2f}"
        rows.append([str(n_train), str(cost.n_inducing), *times, f"{cost.peak_memory_gb:.2f}"])
    _print_table(rows, "train", "inducing", "fit s", "ms/structure", "peak memory GB")


if __name__ == "__main__":
    main()

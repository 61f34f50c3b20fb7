"""Accuracy, throughput and fit time of the default surrogate.

    python -m bostruct.bench.performance.speed

The data resemble those of a search: random Cu15 clusters with EMT energies and forces, after 3 to
40 steps of BFGS, coordinates displaced by up to 0.15 Å, energies below 2 eV per atom. `--sphere`
begins with random atoms in a sphere. Times are CPU seconds of one core.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bostruct.acquisition import AcquisitionContext, LowerConfidenceBound
from bostruct.bench.performance.pool_scaling import peak_memory_gb
from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.tables import print_numbers
from bostruct.bench.uncertainty.datasets import ClusterDataset
from bostruct.campaign.planning.batch_acquisition import BatchAcquisition
from bostruct.candidates import AcquisitionCallable, BasinHopping, relax
from bostruct.evaluators import Calculator, Evaluation
from bostruct.runtime.threads import limited_threads
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


ACCURACY = {"train": "d", "MAE eV/atom": ".4f", "MAE eV/Å": ".3f", "z²": ".2f", "within 1 σ": ".2f"}
"""Columns of the errors: z² is squared error over predicted variance, a mean over energies."""

THROUGHPUT = {
    "batch": "d",
    "relaxations/s": ".1f",
    "steps": ".0f",
    "ms/structure and step": ".2f",
}
"""Columns of the relaxations of a batch, with the mean number of their steps."""

STEP_SECONDS = {"train": "d", "fit s": ".2f", "search s": ".2f", "both s": ".2f"}
"""Columns of a step: a fit, and a search that relaxes 32 candidates once."""

SEARCH_SECONDS = {
    "search": "",
    "train": "d",
    "inducing": "d",
    "fit s": ".2f",
    "closed form s": ".2f",
    "BoTorch s": ".2f",
}
"""Columns of a fit and of a search, in closed form and with BoTorch's posterior and autograd."""

FIT_COST = {
    "train": "d",
    "inducing": "d",
    "fit s": ".2f",
    "ms/structure": ".2f",
    "peak memory GB": ".2f",
}
"""Columns of a fit, with the number of inducing environments and the memory of the process."""


def _row(columns: Mapping[str, str], *values: object) -> dict[str, Any]:
    return dict(zip(columns, values, strict=True))


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


def measure_accuracy(train: Structures, test: Structures, n_train: int) -> dict[str, Any]:
    """Return the `ACCURACY` of a model trained on the first `n_train` structures."""
    prediction = LocalGP().fit(train[:n_train]).predict(test)
    energy, forces = _labels(test)
    assert prediction.forces is not None
    error = prediction.mean - energy
    square = error.square() / prediction.predictive_variance
    return _row(
        ACCURACY,
        n_train,
        float((error.abs() / test.counts).mean()),
        float((prediction.forces - forces).abs().mean()),
        float(square.mean()),
        float((square < 1).to(error).mean()),
    )


def measure_throughput(
    acquisition_function: AcquisitionCallable, batch_size: int
) -> dict[str, Any]:
    """Return the `THROUGHPUT` of the relaxation of random clusters, to 0.05 eV/Å or 100 steps."""
    space = Cluster(FORMULA)
    X = space.sample(batch_size, torch.Generator().manual_seed(1))
    start = time.process_time()
    end = relax(acquisition_function, X, project=space.project)
    seconds = time.process_time() - start
    steps = float(end.n_steps.double().mean())
    step_milliseconds = 1e3 * seconds / float(end.n_steps.sum())
    return _row(THROUGHPUT, batch_size, batch_size / seconds, steps, step_milliseconds)


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


def measure_step_seconds(train: Structures, n_train: int) -> dict[str, Any]:
    """Return the `STEP_SECONDS` with a number of training structures."""
    space, structures = Cluster(FORMULA), train[:n_train]
    start = time.process_time()
    model = LocalGP().fit(structures, space)
    fit = time.process_time() - start
    search = search_seconds(default_acquisition(model), space, structures)
    return _row(STEP_SECONDS, n_train, fit, search, fit + search)


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


def measure_search(
    name: str, space: ContinuousSpace, n_train: int, repeats: int = 3
) -> dict[str, Any]:
    """Return the `SEARCH_SECONDS` in a space, the least of a few.

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
    return _row(SEARCH_SECONDS, name, n_train, len(model.inducing), *least)


def measure_fit_cost(train: Structures, n_train: int) -> dict[str, Any]:
    """Return the `FIT_COST` with a number of training structures."""
    structures = extend_with_displaced(train, n_train)
    start = time.process_time()
    model = LocalGP().fit(structures)
    seconds = time.process_time() - start
    milliseconds = 1e3 * seconds / n_train
    return _row(FIT_COST, n_train, len(model.inducing), seconds, milliseconds, peak_memory_gb())


@limited_threads(1)
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
    print_numbers((measure_accuracy(train, test, n) for n in given.accuracy), ACCURACY)
    value = default_acquisition(LocalGP().fit(train[:N_RELAXATION_TRAIN], Cluster(FORMULA)))
    print_numbers((measure_throughput(value, size) for size in given.batches), THROUGHPUT)
    print_numbers((measure_step_seconds(train, n) for n in given.steps), STEP_SECONDS)
    searches = itertools.product(given.search, search_spaces().items())
    print_numbers((measure_search(*space, n) for n, space in searches), SEARCH_SECONDS)
    print_numbers((measure_fit_cost(train, n) for n in sorted(given.scale)), FIT_COST)


if __name__ == "__main__":
    main()

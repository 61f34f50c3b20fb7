"""Basin hopping with the true energy for the reference minimum of a task.

Independent walks from random structures of the space, each a chain of relaxed random changes that
ends after a number of hops that found nothing lower. The lowest energy is credible where many walks
end there. Wales and Doye, J. Phys. Chem. A 101, 5111 (1997).

    python -m bostruct.bench.single_objective.reference_search mgo4 --seconds 600 --out mgo4.extxyz
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from bostruct.bench.single_objective.load import load_tasks_and_settings
from bostruct.bench.single_objective.task import Task
from bostruct.campaign.enthalpy import has_variable_cell, pressure_energy
from bostruct.campaign.enthalpy_gradient import enthalpy_gradient
from bostruct.campaign.report.export import write_structures
from bostruct.evaluators import Failure, evaluate
from bostruct.runtime.rng import generator_for
from bostruct.spaces.space import SupportsMolecules
from bostruct.structures import to_ase

N_PATIENCE_HOPS = 80
"""Number of hops without a lower energy after which a walk ends."""

MAX_ITERATIONS = 400
"""Limit of the iterations of a relaxation."""

TEMPERATURE_FRACTION = 0.02
"""Temperature of the Metropolis criterion, as a fraction of the spread of random minima."""

SAME_MINIMUM_FRACTION = 1e-3
"""Difference of energies of one minimum, as a fraction of the spread of random minima."""

N_RANDOM_STARTS = 200
"""Number of relaxed random structures that tell how hard a task is."""


@final
@dataclass(frozen=True, eq=False)
class ReferenceSearch:
    """Lowest structure of several walks, and how well they agree.

    Attributes:
        X: Coordinates of the lowest structure, `[d]`.
        energy: Lowest energy, eV.
        tolerance: Energy within which two minima are the same, eV.
        walk_energies: Lowest energy of each walk that ended, eV.
        random_energies: Energies of relaxed random structures, eV.
        isomer_energies: Energies of the minima, ascending, `energy` first, eV.
        n_relaxations: Number of relaxations.
        seconds: Duration, s.
    """

    X: Tensor
    energy: float
    tolerance: float
    walk_energies: tuple[float, ...]
    random_energies: tuple[float, ...]
    isomer_energies: tuple[float, ...]
    n_relaxations: int
    seconds: float

    def summary(self) -> str:
        """Return the energies and counts in one sentence."""
        agree, random = (
            sum(energy <= self.energy + self.tolerance for energy in energies)
            for energies in (self.walk_energies, self.random_energies)
        )
        isomers = ", ".join(f"{energy - self.energy:+.6f}" for energy in self.isomer_energies[1:6])
        return (
            f"{self.energy:.6f} eV: basin hopping, {self.n_relaxations:,} relaxations in "
            f"{self.seconds:.0f} s, {len(self.walk_energies)} walks, {agree} of them there; "
            f"next isomers {isomers} eV; {random} of {len(self.random_energies)} relaxed random "
            "structures are there"
        )


def search_reference(task: Task, seconds: float, seed: int = 0) -> ReferenceSearch:
    """Return the lowest structure that walks of basin hopping find.

    Args:
        task: Task; its own reference is not used.
        seconds: Time after which no walk starts and the last one ends, s.
        seed: Random seed.
    """
    begin = time.monotonic()
    moves = task.search_space.moves()
    random = [
        relax(task, task.start(generator_for(seed, "start", k))) for k in range(N_RANDOM_STARTS)
    ]
    random_energies = tuple(energy for _, energy in random)
    finite = np.array([energy for energy in random_energies if math.isfinite(energy)])
    spread = float(np.median(finite) - finite.min())
    tolerance = SAME_MINIMUM_FRACTION * (float(np.quantile(finite, 0.9) - finite.min()) or 1.0)
    minima: dict[int, tuple[Tensor, float]] = {}

    def keep(X: Tensor, energy: float) -> None:
        if math.isfinite(energy):
            key = round(energy / tolerance)
            minima[key] = min(minima.get(key, (X, energy)), (X, energy), key=lambda pair: pair[1])

    for X, energy in random:
        keep(X, energy)
    walk_energies: list[float] = []
    n_relaxations = N_RANDOM_STARTS
    while time.monotonic() < begin + seconds:
        generator = generator_for(seed, "walk", len(walk_energies))
        X, energy = random[len(walk_energies) % N_RANDOM_STARTS]
        lowest, n_idle = energy, 0
        while n_idle < N_PATIENCE_HOPS and time.monotonic() < begin + seconds:
            name = list(moves)[int(torch.randint(len(moves), (1,), generator=generator))]
            X_new, new_energy = relax(task, moves[name](X, generator))
            n_relaxations += 1
            keep(X_new, new_energy)
            n_idle = 0 if new_energy < lowest - tolerance else n_idle + 1
            lowest = min(lowest, new_energy)
            excess = (new_energy - energy) / max(TEMPERATURE_FRACTION * spread, tolerance)
            if float(torch.rand(1, generator=generator)) < math.exp(-max(0.0, excess)):
                X, energy = X_new, new_energy
        if n_idle >= N_PATIENCE_HOPS:
            walk_energies.append(lowest)
    ordered = sorted(minima.values(), key=lambda pair: pair[1])
    return ReferenceSearch(
        X=ordered[0][0][0],
        energy=ordered[0][1],
        tolerance=tolerance,
        walk_energies=tuple(walk_energies),
        random_energies=random_energies,
        isomer_energies=_distinct([energy for _, energy in ordered], tolerance),
        n_relaxations=n_relaxations,
        seconds=time.monotonic() - begin,
    )


def _distinct(energies: list[float], tolerance: float) -> tuple[float, ...]:
    """Return ascending energies without those that are the same as the one before."""
    kept = energies[:1]
    for energy in energies[1:]:
        if energy > kept[-1] + tolerance:
            kept.append(energy)
    return tuple(kept)


def relax(task: Task, X: Tensor, energy_tolerance: float = 1e-9) -> tuple[Tensor, float]:
    """Return coordinates `[1, d]` relaxed with the true energy, and the energy, eV.

    Where the cell varies atoms and cell relax together, and the enthalpy counts. The energy is
    infinite where the evaluator fails.

    Args:
        task: Task.
        X: Coordinates of one structure, `[1, d]`.
        energy_tolerance: Relative decrease of the energy in an iteration below which it ends.
    """
    if has_variable_cell(task.search_space):
        return _relax_with_cell(task, X, energy_tolerance)
    template = task.search_space.decode(X)
    free = (~template.fixed).numpy()

    def value_and_gradient(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        positions = template.positions.numpy().copy()
        positions[free] = x.reshape(-1, 3)
        outcome = evaluate(task.evaluator, replace(template, positions=torch.from_numpy(positions)))
        if isinstance(outcome, Failure) or outcome.energy is None or outcome.forces is None:
            raise ArithmeticError
        return outcome.energy, -outcome.forces.numpy()[free].ravel()

    x = template.positions.numpy()[free].ravel()
    found = _minimize(value_and_gradient, x, energy_tolerance)
    if found is None:
        return X, math.inf
    positions = template.positions.clone()
    positions[torch.from_numpy(free)] = torch.from_numpy(found[0].reshape(-1, 3))
    space = task.search_space
    X_end = space.encode(replace(template, positions=positions))
    if isinstance(space, SupportsMolecules) and space.molecule_violation(X_end[0]) is not None:
        return X, math.inf
    return X_end, found[1]


def _relax_with_cell(task: Task, X: Tensor, energy_tolerance: float) -> tuple[Tensor, float]:
    """Return coordinates `[1, d]` relaxed with the true enthalpy, and the enthalpy, eV."""
    space = task.search_space

    def value_and_gradient(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        x_now = torch.from_numpy(x).unsqueeze(0)
        outcome = evaluate(task.evaluator, space.decode(x_now))
        if isinstance(outcome, Failure) or outcome.energy is None or outcome.forces is None:
            raise ArithmeticError
        stress = None if outcome.stress is None else outcome.stress.unsqueeze(0)
        gradient = enthalpy_gradient(space, x_now, outcome.forces, stress)
        value = outcome.energy + float(pressure_energy(space, x_now))
        return value, gradient[0].numpy()

    found = _minimize(value_and_gradient, X[0].double().numpy(), energy_tolerance)
    if found is None:
        return X, math.inf
    X_end = torch.from_numpy(found[0]).unsqueeze(0)
    X_end = space.encode(space.decode(X_end))
    return (X_end, found[1]) if bool(space.contains(X_end)) else (X, math.inf)


def _minimize(
    value_and_gradient: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    x: NDArray[np.float64],
    energy_tolerance: float,
) -> tuple[NDArray[np.float64], float] | None:
    """Return the minimum by L-BFGS and its value, None where the function raises."""
    options = {"maxiter": MAX_ITERATIONS, "gtol": 0.0, "ftol": energy_tolerance}
    try:
        found = minimize(value_and_gradient, x, jac=True, method="L-BFGS-B", options=options)
    except ArithmeticError:
        return None
    return found.x, float(found.fun)


def main(
    task: Annotated[str, typer.Argument(help="Name of a task or file.")],
    seconds: Annotated[float, typer.Option(help="Duration, s.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File of the lowest structure.")] = None,
) -> None:
    """Search for the reference minimum of one task, and print how well the walks agree."""
    (found_task, *_), _ = load_tasks_and_settings([task])
    found = search_reference(found_task, seconds, seed)
    typer.echo(f"{found_task.name}: {found.summary()}")
    if out is not None:
        (atoms,) = to_ase(found_task.search_space.decode(found.X.unsqueeze(0)))
        atoms.info["name"] = found_task.name
        write_structures([atoms], out)


if __name__ == "__main__":
    typer.run(main)

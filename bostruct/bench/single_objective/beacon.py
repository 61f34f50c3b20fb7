"""BEACON of ase-gpatom as a method of the energy benchmark.

Gaussian process with energies and forces on a global fingerprint, candidates relaxed on the mean,
the lowest confidence bound evaluated: Kaappa, del Río, and Jacobsen, Phys. Rev. B 103, 174114
(2021). Everything is at the defaults of the package; five candidates a step, one of them the best
structure, one that structure rattled, three random ones. Random structures are those of the space,
so that both searches know its radii; where these are not the covalent ones, BEACON sees lengths
scaled to covalent radii, for which its fingerprint is made.

A run ends by success, by its limit of evaluations, or by its limit of CPU time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.task import Task
from bostruct.bench.single_objective.time_limited_search import RunEnded, TimeLimitedSearch
from bostruct.runtime.rng import generator_for
from bostruct.structures import to_ase

N_INITIAL = 2
"""Number of random structures before the first model, the default of BEACON."""

N_CANDIDATES = 5
"""Number of candidates that are relaxed in each step."""

VACUUM = 6.0
"""Vacuum around a cluster in its cell, Å; the structure is not periodic."""


@final
@dataclass(frozen=True)
class Beacon(TimeLimitedSearch):
    """BEACON with a limit of CPU time.

    Args:
        max_evaluations: Limit of evaluations.
        max_cpu_seconds: Limit of the CPU time of a run, s, checked at each evaluation.

    Raises:
        InputError: a limit is out of range, or the package is not installed.
    """

    name: str = field(default="BEACON", init=False)
    constants: ClassVar[list[float]] = [N_INITIAL, N_CANDIDATES, VACUUM]
    package: ClassVar[str] = "ase-gpatom"
    module: ClassVar[str] = "gpatom"

    def _run_package(self, task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
        """Run BEACON until the calculator ends it."""
        _run_beacon(task, seed, counted, end)


def covalent_scale(task: Task) -> float:
    """Return the factor of lengths that makes the radii of a task covalent ones."""
    from ase.data import covalent_radii

    space = task.search_space
    numbers = space.numbers.numpy()
    return float(covalent_radii[numbers].mean() / space.atomic_radii.mean())


def _run_beacon(task: Task, seed: int, counted: CountingCalculator, end: float) -> None:
    """Run BEACON until the calculator ends it."""
    from gpatom.beacon.beacon import (
        BEACON,
        Checker,
        InitatomsGenerator,
        LowerBound,
        SurrogateOptimizer,
    )
    from gpatom.gpfp.atoms_gp_interface import Model
    from gpatom.gpfp.fingerprint import FingerPrint
    from gpatom.gpfp.gp import GaussianProcess
    from gpatom.gpfp.hpfitter import HpFitInterface, PriorDistributionLogNormal

    scale = covalent_scale(task)
    generator = InitatomsGenerator(
        sgen=_RandomStructures(task, seed, scale), nbest=1, nrattle=1, rng=np.random
    )
    model = Model(
        gp=GaussianProcess(hp={}),
        fp=FingerPrint(fp_args={"aweight": 1.0}),  # its default, which BEACON looks up
        hp_optimizer=HpFitInterface(scale_prior=PriorDistributionLogNormal()),
    )
    search = BEACON(
        calculator=_calculator(task, counted, scale, end),
        model=model,
        initatomsgen=generator,
        surropt=SurrogateOptimizer(),
        checker=Checker(dist_limit=0.1, rlimit=0.5),
        acq=LowerBound(),
        ninit=N_INITIAL,
        nsur=N_CANDIDATES,
        ndft=10**9,
    )
    search.run()


class _RandomStructures:
    """Random structures of a task in the form of a generator of BEACON."""

    def __init__(self, task: Task, seed: int, scale: float) -> None:
        self._task, self._seed, self._scale, self._count = task, seed, scale, 0

    def get(self) -> Any:  # noqa: ANN401 - ASE
        """Return one structure as `ase.Atoms`."""
        X = self._task.start(generator_for(self._seed, "BEACON", self._count))
        self._count += 1
        (atoms,) = to_ase(self._task.search_space.decode(X))
        if not atoms.pbc.any():
            atoms.positions *= self._scale
            atoms.center(vacuum=VACUUM)
        return atoms


def _calculator(task: Task, counted: CountingCalculator, scale: float, end: float) -> Any:  # noqa: ANN401 - ASE
    """Return a calculator with results in scaled lengths that ends the run."""
    from ase.calculators.calculator import Calculator, all_changes

    template = task.search_space.decode(task.start(generator_for(0)))
    truth = counted.attach(template)

    class Counted(Calculator):  # type: ignore[misc]
        """Counted evaluations in scaled lengths."""

        implemented_properties = ("energy", "forces")

        def calculate(
            self,
            atoms: Any = None,  # noqa: ANN401 - ASE
            properties: Any = ("energy",),  # noqa: ANN401
            system_changes: Any = all_changes,  # noqa: ANN401
        ) -> None:
            super().calculate(atoms, properties, system_changes)
            if time.process_time() > end:
                raise RunEnded
            truth.positions = atoms.positions if atoms.pbc.any() else atoms.positions / scale
            try:
                energy, forces = truth.get_potential_energy(), counted.get_forces(truth)
            except SearchFinished:
                raise RunEnded from None
            except EvaluationFailed as failure:
                raise RuntimeError("the evaluation failed") from failure
            factor = 1.0 if atoms.pbc.any() else 1 / scale
            self.results = {"energy": energy, "forces": factor * forces}

    return Counted()

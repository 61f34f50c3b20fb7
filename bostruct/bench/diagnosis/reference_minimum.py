"""The answer as far as it is known: the task's own, or the lowest structure of any run.

Most structures that solve a task were relaxed with a surrogate. With the true energy
they go a few meV further down, which counts when one asks why others missed them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from bostruct.bench.single_objective.counting_calculator import (
    CountingCalculator,
    EvaluationFailed,
    SearchFinished,
)
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.evaluators import Evaluation, evaluate
from bostruct.structures import Structures, from_ase, to_ase

FMAX = 0.01
"""eV/Å. The answer is relaxed until no force is larger."""

MAX_RELAXATION_STEPS = 200
"""Energies that this may take; they are not counted in any run."""


@final
@dataclass(frozen=True, eq=False)
class ReferenceMinimum:
    """The lowest structure that is known.

    Args:
        X: `[d]` its coordinates.
        energy: eV.
        unrelaxed_energy: eV, before it was relaxed with the true energy.
    """

    X: Tensor
    energy: float
    unrelaxed_energy: float


def find_reference_minimum(task: Task, logs: Sequence[Log]) -> ReferenceMinimum | None:
    """Return the lowest structure of the task and some logs, relaxed; None without."""
    done = [trial for log in logs for trial in log.trial_records("done")]
    known = [(trial.X, _or_infinite(trial.energy)) for trial in done]
    if task.make_reference_structure is not None:
        known.append(_task_minimum(task, task.make_reference_structure()))
    if not known:
        return None
    X, found = min(known, key=lambda pair: pair[1])
    relaxed = _relax_true_energy(task, task.search_space.decode(X.unsqueeze(0)))
    outcome = evaluate(task.evaluator, relaxed)
    if isinstance(outcome, Evaluation) and outcome.energy < found:
        return ReferenceMinimum(task.search_space.encode(relaxed)[0], outcome.energy, found)
    return ReferenceMinimum(X, found, found)


def _task_minimum(task: Task, atoms: Any) -> tuple[Tensor, float]:  # noqa: ANN401 - ASE
    """Return what the task says is the answer, and its energy, eV."""
    X = task.search_space.encode(from_ase(atoms))
    outcome = evaluate(task.evaluator, task.search_space.decode(X))
    energy = outcome.energy if isinstance(outcome, Evaluation) else math.inf
    return X[0], energy


def _relax_true_energy(task: Task, structures: Structures) -> Structures:
    """Return one structure relaxed with the true energy, as far as that goes."""
    from ase.optimize import BFGS

    counted = CountingCalculator(task.evaluator, -math.inf, MAX_RELAXATION_STEPS)
    atoms = counted.attach(structures, to_ase(structures)[0])
    with suppress(SearchFinished, EvaluationFailed, np.linalg.LinAlgError):
        BFGS(atoms, logfile=None).run(fmax=FMAX, steps=MAX_RELAXATION_STEPS)
    positions = torch.from_numpy(np.array(atoms.positions))
    return replace(structures, positions=positions.to(structures.positions))


def _or_infinite(energy: float | None) -> float:
    return math.inf if energy is None else energy

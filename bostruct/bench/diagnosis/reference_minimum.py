"""Reference minimum of a task: its reference structure, or the lowest structure of any run.

Most structures that solve a task were relaxed with a surrogate. Relaxed with the true energy they
are a few meV lower, which matters for the diagnosis of other runs.
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
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.structures import Structures, from_ase

FMAX = 0.01
"""Largest force at the end of the relaxation, eV/Å."""

MAX_RELAXATION_STEPS = 200
"""Limit of evaluations of the relaxation, which count in no run."""


@final
@dataclass(frozen=True, eq=False)
class ReferenceMinimum:
    """Lowest known structure of a task.

    Args:
        X: `[d]` coordinates in the space.
        energy: Energy, eV.
        unrelaxed_energy: Energy before the relaxation with the true energy, eV.
    """

    X: Tensor
    energy: float
    unrelaxed_energy: float


def find_reference_minimum(task: Task, logs: Sequence[Log]) -> ReferenceMinimum | None:
    """Return the relaxed lowest structure of the task and its logs; None without any."""
    done = [trial for log in logs for trial in log.trial_records("done") if trial.is_known]
    known = [(trial.X, trial.energy) for trial in done if trial.energy is not None]
    if task.make_reference_structure is not None:
        known.append(_task_minimum(task, task.make_reference_structure()))
    if not known:
        return None
    X, energy = min(known, key=lambda pair: pair[1])
    relaxed = _relax_true_energy(task, task.search_space.decode(X.unsqueeze(0)))
    relaxed_energy = _energy_or_infinity(evaluate(task.evaluator, relaxed))
    if relaxed_energy < energy:
        return ReferenceMinimum(task.search_space.encode(relaxed)[0], relaxed_energy, energy)
    return ReferenceMinimum(X, energy, energy)


def _task_minimum(task: Task, atoms: Any) -> tuple[Tensor, float]:  # noqa: ANN401 - ASE
    """Return the reference structure of the task, `[d]`, and its energy, eV."""
    X = task.search_space.encode(from_ase(atoms))
    return X[0], _energy_or_infinity(evaluate(task.evaluator, task.search_space.decode(X)))


def _energy_or_infinity(outcome: Evaluation | Failure) -> float:
    energy = outcome.energy if isinstance(outcome, Evaluation) else None
    return math.inf if energy is None else energy


def _relax_true_energy(task: Task, structures: Structures) -> Structures:
    """Return one structure relaxed with the true energy, up to the limit of evaluations."""
    from ase.optimize import BFGS

    counted = CountingCalculator(task.evaluator, -math.inf, MAX_RELAXATION_STEPS)
    atoms = counted.attach(structures)
    with suppress(SearchFinished, EvaluationFailed, np.linalg.LinAlgError):
        BFGS(atoms, logfile=None).run(fmax=FMAX, steps=MAX_RELAXATION_STEPS)
    positions = torch.from_numpy(np.array(atoms.positions))
    return replace(structures, positions=positions.to(structures.positions))

"""Reference minimum of a task: its reference structure, or the lowest structure of any run.

Most structures that solve a task were relaxed with a surrogate. Relaxed with the true energy they
are a few meV lower, which matters for the diagnosis of other runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from bostruct.bench.single_objective.reference_search import relax
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.campaign.enthalpy import pressure_energy
from bostruct.evaluators import Evaluation, evaluate
from bostruct.structures import from_ase


@final
@dataclass(frozen=True, eq=False)
class ReferenceMinimum:
    """Lowest known structure of a task.

    Args:
        X: `[d]` coordinates in the space.
        energy: Energy, under a pressure enthalpy, eV.
        unrelaxed_energy: Energy before the relaxation with the true energy, eV.
    """

    X: Tensor
    energy: float
    unrelaxed_energy: float


def find_reference_minimum(task: Task, logs: Sequence[Log]) -> ReferenceMinimum | None:
    """Return the relaxed lowest structure of the task and its logs; None without any."""
    done = [trial for log in logs for trial in log.trial_records("done") if trial.is_known]
    known = [(trial.X, trial.enthalpy) for trial in done if trial.enthalpy is not None]
    if task.make_reference_structure is not None:
        known.append(_task_minimum(task, task.make_reference_structure()))
    if not known:
        return None
    X, energy = min(known, key=lambda pair: pair[1])
    X_relaxed, relaxed_energy = relax(task, X.unsqueeze(0))
    if relaxed_energy < energy:
        return ReferenceMinimum(X_relaxed[0], relaxed_energy, energy)
    return ReferenceMinimum(X, energy, energy)


def _task_minimum(task: Task, atoms: Any) -> tuple[Tensor, float]:  # noqa: ANN401 - ASE
    """Return the reference structure of the task, `[d]`, and its energy or enthalpy, eV."""
    space = task.search_space
    X = space.encode(from_ase(atoms))
    outcome = evaluate(task.evaluator, space.decode(X))
    if not isinstance(outcome, Evaluation) or outcome.energy is None:
        return X[0], math.inf
    return X[0], outcome.energy + float(pressure_energy(space, X))

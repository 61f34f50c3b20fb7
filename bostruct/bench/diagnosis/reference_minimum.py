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

from bostruct.bench.single_objective.counting_calculator import Counted, Done, Lost
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import Log
from bostruct.evaluators import Evaluation, evaluate
from bostruct.structures import Structures, from_ase, to_ase

FMAX = 0.01
"""eV/Å. The answer is relaxed until no force is larger."""

STEPS = 200
"""Energies that this may take; they are not counted in any run."""


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """The lowest structure that is known.

    Args:
        X: `[d]` its coordinates.
        energy: eV.
        found: eV, before it was relaxed with the true energy.
    """

    X: Tensor
    energy: float
    found: float


def answer(task: Task, logs: Sequence[Log]) -> Answer | None:
    """Return the lowest structure of the task and some logs, relaxed; None without."""
    done = [trial for log in logs for trial in log.undecoded("done")]
    known = [(trial.X, _or_infinite(trial.energy)) for trial in done]
    if task.known is not None:
        known.append(_own(task, task.known()))
    if not known:
        return None
    X, found = min(known, key=lambda pair: pair[1])
    relaxed = _relaxed(task, task.domain.decode(X.unsqueeze(0)))
    outcome = evaluate(task.evaluator, relaxed)
    if isinstance(outcome, Evaluation) and outcome.energy < found:
        return Answer(task.domain.encode(relaxed)[0], outcome.energy, found)
    return Answer(X, found, found)


def _own(task: Task, atoms: Any) -> tuple[Tensor, float]:  # noqa: ANN401 - ASE
    """Return what the task says is the answer, and its energy, eV."""
    X = task.domain.encode(from_ase(atoms))
    outcome = evaluate(task.evaluator, task.domain.decode(X))
    energy = outcome.energy if isinstance(outcome, Evaluation) else math.inf
    return X[0], energy


def _relaxed(task: Task, structures: Structures) -> Structures:
    """Return one structure relaxed with the true energy, as far as that goes."""
    from ase.optimize import BFGS

    counted = Counted(task.evaluator, -math.inf, STEPS)
    atoms = counted.attach(structures, to_ase(structures)[0])
    with suppress(Done, Lost, np.linalg.LinAlgError):
        BFGS(atoms, logfile=None).run(fmax=FMAX, steps=STEPS)
    positions = torch.from_numpy(np.array(atoms.positions))
    return replace(structures, positions=positions.to(structures.positions))


def _or_infinite(energy: float | None) -> float:
    return math.inf if energy is None else energy

"""Cause of one failed or slow run, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class RunDiagnosis:
    """Cause of one failed or slow run.

    Args:
        task: Name of the task.
        method: Name of the method.
        seed: Random seed of the run.
        evaluations_to_success: Number of evaluations to success; None for a failed run.
        cause: One of the causes listed in `diagnosis.failures`.
        energy_gap: Lowest energy before success, above the reference energy, eV.
        n_diagnosed_steps: Number of diagnosed steps.
        n_agreeing_steps: Number of diagnosed steps with this cause.
        z_score: (E - mean) / σ of the reference minimum in the last agreeing step.
        detail: Explanation in words.
    """

    task: str
    method: str
    seed: int
    evaluations_to_success: int | None
    cause: str
    energy_gap: float | None
    n_diagnosed_steps: int = 0
    n_agreeing_steps: int = 0
    z_score: float | None = None
    detail: str = ""

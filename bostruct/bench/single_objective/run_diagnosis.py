"""Why one run failed, as a value; `failures` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class RunDiagnosis:
    """Why one run failed or was slow.

    Args:
        task: Its name.
        method: Its name.
        seed: Of the run.
        evaluations_to_success: To success; None if it failed.
        cause: See `failures`.
        energy_gap: Of the lowest energy before that above the reference, eV.
        n_diagnosed_steps: Steps that were asked.
        n_agreeing_steps: Of these, how many say so.
        z_score: Of the answer as the last of those saw it, (E - mean) / σ.
        detail: In words.
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

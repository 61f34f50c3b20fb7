"""Why one run failed, as a value; `failures` finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Finding:
    """Why one run failed or was slow.

    Args:
        task: Its name.
        method: Its name.
        seed: Of the run.
        evaluations: To success; None if it failed.
        cause: See `failures`.
        gap: Of the lowest energy before that above the reference, eV.
        looks: Steps that were asked.
        agree: Of these, how many say so.
        z: Of the answer as the last of those saw it, (E - mean) / σ.
        detail: In words.
    """

    task: str
    method: str
    seed: int
    evaluations: int | None
    cause: str
    gap: float | None
    looks: int = 0
    agree: int = 0
    z: float | None = None
    detail: str = ""

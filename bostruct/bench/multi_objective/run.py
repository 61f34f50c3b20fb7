"""What one search of a front asked for, in order, and what it believes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.single_objective.run import TIMED_PARTS
from bostruct.campaign import Log
from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.errors import LogError
from bostruct.runtime.atomic_write import write_atomically


@final
@dataclass(frozen=True, eq=False)
class FrontRun:
    """One search.

    Args:
        task: The name of the problem.
        method: The name of the search.
        seed: Of all that was random.
        X: `[n, d]` members in the order asked for.
        Y: `[n, k]` what it believes of them, in outcome space; NaN where it failed or
            is in quarantine.
        digest: A digest of problem and settings.
        step_seconds: Own time of each step that had a surrogate, `PARTS` each.
        evaluation_seconds: Mean wall time of an evaluation, s.
    """

    task: str
    method: str
    seed: int
    X: Tensor
    Y: Tensor
    digest: str
    step_seconds: tuple[tuple[float, ...], ...] = ()
    evaluation_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.X)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "screen": self.task,
            "method": self.method,
            "seed": self.seed,
            "identity": self.digest,
            "X": self.X.tolist(),
            "Y": [[_finite_or_none(value) for value in row] for row in self.Y.tolist()],
            "seconds": [list(parts) for parts in self.step_seconds],
            "energies": self.evaluation_seconds,
        }

    def write(self, path: Path) -> None:
        """Put it into a file.

        Raises:
            LogError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(self.json(), allow_nan=False).encode())


def read_run(path: Path) -> FrontRun | None:
    """Return what a file holds; None where there is none.

    Raises:
        LogError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _run_from_json(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error


def run_from_log(log: Log, task: str, method: str, digest: str) -> FrontRun:
    """Return what the log of a campaign with goals holds."""
    trials = [trial for trial in log.trial_records() if trial.is_finished]
    goals = log.optimization_config
    assert goals is not None
    seconds = [trial.seconds for trial in trials]
    steps = [step for step in log.steps() if step.kind == "model"]
    return FrontRun(
        task,
        method,
        log.seed,
        torch.stack([trial.X for trial in trials]),
        outcome_matrix(trials, goals),
        digest,
        tuple(tuple(step.seconds[part] for part in TIMED_PARTS) for step in steps),
        math.fsum(seconds) / len(seconds),
    )


def _run_from_json(found: Mapping[str, Any]) -> FrontRun:
    return FrontRun(
        found["screen"],
        found["method"],
        found["seed"],
        _outcome_tensor(found["X"]),
        _outcome_tensor(found["Y"]),
        found["identity"],
        tuple(tuple(parts) for parts in found["seconds"]),
        found["energies"],
    )


def _outcome_tensor(rows: Sequence[Sequence[float | None]]) -> Tensor:
    filled = [[math.nan if value is None else value for value in row] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None

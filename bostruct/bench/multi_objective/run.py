"""One run of a front benchmark: its members in the order of evaluation, and their outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.benchmark import read_json, write_json
from bostruct.bench.single_objective.run import TIMED_PARTS
from bostruct.campaign import Log
from bostruct.campaign.analysis.outcome_table import outcome_matrix
from bostruct.errors import LogError
from bostruct.runtime.canonical_json import json_finite

FORMAT_VERSION = 2


@final
@dataclass(frozen=True, eq=False)
class FrontRun:
    """Members and outcomes of one method on one task with one seed.

    Args:
        task: Name of the task.
        method: Name of the method.
        seed: Random seed.
        X: `[n, d]` members in the order of evaluation.
        Y: `[n, k]` recorded outcomes in outcome space; NaN where an evaluation failed or is
            quarantined.
        digest: Digest of task and settings.
        step_seconds: Time of each model step without its evaluations, by `TIMED_PARTS`, s.
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
        """Return the run as JSON values."""
        X, Y = self.X.tolist(), json_finite(self.Y.tolist())
        return {"format": FORMAT_VERSION, **vars(self), "X": X, "Y": Y}

    def write(self, path: Path) -> None:
        """Write the run to a file.

        Raises:
            LogError: the file cannot be written.
        """
        write_json(self.json(), path, indent=None)


def read_run(path: Path) -> FrontRun | None:
    """Return the run in a file; None where there is no file.

    Raises:
        LogError: the file cannot be read, or has the format of another version.
    """
    values = read_json(path)
    if values is None:
        return None
    try:
        if (version := values.pop("format", 1)) != FORMAT_VERSION and "X" in values:
            raise LogError(
                f"{path} has format {version}, not {FORMAT_VERSION}: it was written by another "
                "version of bostruct. Take a new folder."
            )
        values["X"], values["Y"] = _to_tensor(values["X"]), _to_tensor(values["Y"])
        values["step_seconds"] = tuple(map(tuple, values["step_seconds"]))
        return FrontRun(**values)
    except LogError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error


def run_from_log(log: Log, task: str, method: str, digest: str) -> FrontRun:
    """Return the run in the log of a multi-objective campaign."""
    trials = [trial for trial in log.trial_records() if trial.is_finished]
    assert log.optimization_config is not None
    seconds = [trial.seconds for trial in trials]
    steps = [step for step in log.steps() if step.kind == "model"]
    return FrontRun(
        task,
        method,
        log.seed,
        torch.stack([trial.X for trial in trials]),
        outcome_matrix(trials, log.optimization_config),
        digest,
        tuple(tuple(step.seconds[part] for part in TIMED_PARTS) for step in steps),
        math.fsum(seconds) / len(seconds),
    )


def _to_tensor(rows: Sequence[Sequence[float | None]]) -> Tensor:
    filled = [[math.nan if value is None else value for value in row] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)

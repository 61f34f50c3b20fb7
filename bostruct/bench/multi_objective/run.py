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

from bostruct.bench.single_objective.run import PARTS
from bostruct.campaign import Log
from bostruct.campaign.analysis.outcome_table import table
from bostruct.errors import LogError
from bostruct.runtime.atomic_write import write


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """One search.

    Args:
        screen: The name of the problem.
        method: The name of the search.
        seed: Of all that was random.
        X: `[n, d]` members in the order asked for.
        Y: `[n, k]` what it believes of them, in outcome space; NaN where it failed or
            is in quarantine.
        identity: A digest of problem and settings.
        seconds: Own time of each step that had a surrogate, `PARTS` each.
        energies: Mean wall time of an evaluation, s.
    """

    screen: str
    method: str
    seed: int
    X: Tensor
    Y: Tensor
    identity: str
    seconds: tuple[tuple[float, ...], ...] = ()
    energies: float = 0.0

    def __len__(self) -> int:
        return len(self.X)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "screen": self.screen,
            "method": self.method,
            "seed": self.seed,
            "identity": self.identity,
            "X": self.X.tolist(),
            "Y": [[_known(value) for value in row] for row in self.Y.tolist()],
            "seconds": [list(parts) for parts in self.seconds],
            "energies": self.energies,
        }

    def write(self, path: Path) -> None:
        """Put it into a file.

        Raises:
            LogError: it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, json.dumps(self.json(), allow_nan=False).encode())


def read(path: Path) -> Trace | None:
    """Return what a file holds; None where there is none.

    Raises:
        LogError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _trace(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error


def logged(log: Log, screen: str, method: str, identity: str) -> Trace:
    """Return what the log of a campaign with goals holds."""
    trials = [trial for trial in log.undecoded() if trial.finished]
    goals = log.goals
    assert goals is not None
    seconds = [trial.seconds for trial in trials]
    steps = [step for step in log.steps() if step.kind == "model"]
    return Trace(
        screen,
        method,
        log.seed,
        torch.stack([trial.X for trial in trials]),
        table(trials, goals),
        identity,
        tuple(tuple(step.seconds[part] for part in PARTS) for step in steps),
        math.fsum(seconds) / len(seconds),
    )


def _trace(found: Mapping[str, Any]) -> Trace:
    return Trace(
        found["screen"],
        found["method"],
        found["seed"],
        _tensor(found["X"]),
        _tensor(found["Y"]),
        found["identity"],
        tuple(tuple(parts) for parts in found["seconds"]),
        found["energies"],
    )


def _tensor(rows: Sequence[Sequence[float | None]]) -> Tensor:
    filled = [[math.nan if value is None else value for value in row] for row in rows]
    return torch.tensor(filled, dtype=torch.float64)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None

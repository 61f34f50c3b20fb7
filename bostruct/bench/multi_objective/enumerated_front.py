"""The true front of a problem whose space can be listed: every member, once.

The table is a JSON file, `NAME-HASH.json`, named by what identifies space and
evaluator; it is computed in parts, and one that was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.tasks import Screen
from bostruct.bench.single_objective.method import one_thread
from bostruct.errors import InputError, LogError, must
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.evaluators.quarantine import PREFIX
from bostruct.objectives import front, hypervolume
from bostruct.runtime.atomic_write import write
from bostruct.runtime.canonical_json import canonical
from bostruct.runtime.executors import InProcess, Workers
from bostruct.structures import Structures

PART = 40
"""Members evaluated by one call, and written at once."""

BEHIND = 0.1
"""Of the range: how far the reference point is behind the worst of all."""

Row = Mapping[str, Any]
"""What is kept of an evaluation, as JSON values."""


def behind(utilities: Tensor) -> Tensor:
    """Return the reference point of utilities `[n, m]`, `[m]`.

    With every objective scaled to [0, 1] over all rows and minimised it is 1.1; the
    share of a hypervolume does not depend on the scale.
    """
    low, high = utilities.amin(0), utilities.amax(0)
    return low - BEHIND * (high - low)


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """All members of a problem, and what is true of each.

    Args:
        screen: The problem.
        rows: Of every member, in the order of the list.
    """

    screen: Screen
    rows: tuple[Row, ...]

    @cached_property
    def members(self) -> Tensor:
        """The members, `[n, d]`."""
        return self.screen.discrete.rows(0, len(self.rows))

    @cached_property
    def outcomes(self) -> Tensor:
        """Their outcomes, `[n, k]` in outcome space, NaN where there is none."""
        found = [
            self.screen.outcomes(x, _evaluation(row))
            for x, row in zip(self.members, self.rows, strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    @cached_property
    def front(self) -> frozenset[int]:
        """The places of the members that no other betters."""
        return frozenset(front(self.outcomes, self.screen.goals).tolist())

    @cached_property
    def reference(self) -> Tensor:
        """The reference point, utilities `[m]`."""
        whole = self.outcomes[self.outcomes.isfinite().all(-1)]
        return behind(self.screen.goals.utilities(whole))

    @cached_property
    def volume(self) -> float:
        """The hypervolume of the front, in units of the utilities."""
        return hypervolume(self.outcomes, self.screen.goals, self.reference)

    @cached_property
    def _places(self) -> dict[tuple[float, ...], int]:
        return {tuple(x.tolist()): i for i, x in enumerate(self.members)}

    def place(self, X: Tensor) -> int:
        """Return the place of the member at X `[d]` in the list."""
        return self._places[tuple(self.screen.discrete.canonical(X).tolist())]

    def outcome(self, place: int) -> Evaluation | Failure:
        """Return what is true of a member."""
        found = _evaluation(self.rows[place])
        return Failure(str(self.rows[place]["reason"])) if found is None else found


@final
class Lookup:
    """An evaluator that reads the table.

    Args:
        truth: The table.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return what is true of one structure."""
        X = self.truth.screen.domain.encode(structures)
        return self.truth.outcome(self.truth.place(X[0]))

    def description(self) -> dict[str, Any]:
        """Return what identifies it: what the table was made with."""
        return {"kind": "table", "of": self.truth.screen.evaluator.description()}


def identity(screen: Screen) -> str:
    """Return a digest of what the truth depends on."""
    return hashlib.sha256(canonical(screen.description()).encode()).hexdigest()


def truth(
    screen: Screen,
    out: Path,
    workers: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> Truth:
    """Return the truth of a problem: read from `out`, or computed and written there.

    Args:
        screen: Its space can be listed.
        out: A folder that exists.
        workers: Processes.
        tell: Is told how many members are done, and of how many.

    Raises:
        InputError: the space cannot be listed.
        LogError: the table cannot be read or written.
    """
    size = screen.size
    if size is None:
        condition = "have a space that can be listed"
        raise InputError(must("screen", condition, screen.name))
    path = out / f"{screen.name}-{identity(screen)[:10]}.json"
    rows = _read(path)
    missing = [i for i in range(size) if i not in rows]
    parts = [missing[i : i + PART] for i in range(0, len(missing), PART)]
    executor: Executor = InProcess() if workers == 1 else Workers(workers)
    try:
        for found in _computed(screen, parts, executor):
            rows |= found
            table = [{"member": i, **rows[i]} for i in sorted(rows)]
            write(path, json.dumps(table, allow_nan=False).encode())
            if tell is not None:
                tell(len(rows), size)
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)
    return Truth(screen, tuple(rows[i] for i in range(size)))


def _computed(
    screen: Screen, parts: list[list[int]], executor: Executor
) -> Iterator[dict[int, Row]]:
    futures: list[Future[dict[int, Row]]] = []
    for part in parts:
        future = executor.submit(_part, screen, part)
        if isinstance(executor, InProcess):
            yield future.result()
        else:
            futures.append(future)
    for future in as_completed(futures):
        yield future.result()


def _part(screen: Screen, places: list[int]) -> dict[int, Row]:
    """Return the rows of some members."""
    with one_thread():
        return {i: _row(screen, i) for i in places}


def _row(screen: Screen, place: int) -> Row:
    X = screen.discrete.rows(place, place + 1)
    found = evaluate(screen.evaluator, screen.domain.decode(X))
    if isinstance(found, Failure):
        return {"reason": found.reason, "seconds": found.seconds}
    doubts = {k: v for k, v in found.provenance.items() if k.startswith(PREFIX)}
    return {
        "energy": found.energy,
        "properties": dict(found.properties),
        "provenance": doubts,
        "seconds": found.seconds,
    }


def _evaluation(row: Row) -> Evaluation | None:
    if "energy" not in row:
        return None
    return Evaluation(
        row["energy"],
        properties=row["properties"],
        seconds=row["seconds"],
        provenance=row["provenance"],
    )


def _read(path: Path) -> dict[int, Row]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error
    return {int(row.pop("member")): row for row in found}

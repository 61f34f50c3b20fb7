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

from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.bench.single_objective.method import single_thread
from bostruct.errors import InputError, LogError, error_message
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.evaluators.quarantine import QUARANTINE_PREFIX
from bostruct.objectives import hypervolume, pareto_front
from bostruct.runtime.atomic_write import write_atomically
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.runtime.executors import InProcess, Workers
from bostruct.structures import Structures

CHUNK_SIZE = 40
"""Members evaluated by one call, and written at once."""

REFERENCE_MARGIN = 0.1
"""Of the range: how far the reference point is behind the worst of all."""

EvaluationRecord = Mapping[str, Any]
"""What is kept of an evaluation, as JSON values."""


def reference_point_from_range(utilities: Tensor) -> Tensor:
    """Return the reference point of utilities `[n, m]`, `[m]`.

    With every objective scaled to [0, 1] over all rows and minimised it is 1.1; the
    share of a hypervolume does not depend on the scale.
    """
    low, high = utilities.amin(0), utilities.amax(0)
    return low - REFERENCE_MARGIN * (high - low)


@final
@dataclass(frozen=True, eq=False)
class EnumeratedFront:
    """All members of a problem, and what is true of each.

    Args:
        task: The problem.
        records: Of every member, in the order of the list.
    """

    task: MultiObjectiveTask
    records: tuple[EvaluationRecord, ...]

    @cached_property
    def members(self) -> Tensor:
        """The members, `[n, d]`."""
        return self.task.discrete_space.members(0, len(self.records))

    @cached_property
    def outcomes(self) -> Tensor:
        """Their outcomes, `[n, k]` in outcome space, NaN where there is none."""
        found = [
            self.task.outcomes(x, _to_evaluation(row))
            for x, row in zip(self.members, self.records, strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64)

    @cached_property
    def front_indices(self) -> frozenset[int]:
        """The places of the members that no other betters."""
        return frozenset(pareto_front(self.outcomes, self.task.optimization_config).tolist())

    @cached_property
    def reference_point(self) -> Tensor:
        """The reference point, utilities `[m]`."""
        whole = self.outcomes[self.outcomes.isfinite().all(-1)]
        return reference_point_from_range(self.task.optimization_config.utilities(whole))

    @cached_property
    def hypervolume(self) -> float:
        """The hypervolume of the front, in units of the utilities."""
        return hypervolume(self.outcomes, self.task.optimization_config, self.reference_point)

    @cached_property
    def _index_of_member(self) -> dict[tuple[float, ...], int]:
        return {tuple(x.tolist()): i for i, x in enumerate(self.members)}

    def member_index(self, X: Tensor) -> int:
        """Return the place of the member at X `[d]` in the list."""
        return self._index_of_member[tuple(self.task.discrete_space.canonical(X).tolist())]

    def outcome(self, index: int) -> Evaluation | Failure:
        """Return what is true of a member."""
        found = _to_evaluation(self.records[index])
        return Failure(str(self.records[index]["reason"])) if found is None else found


@final
class TableEvaluator:
    """An evaluator that reads the table.

    Args:
        enumerated_front: The table.
    """

    def __init__(self, enumerated_front: EnumeratedFront) -> None:
        self.enumerated_front = enumerated_front

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return what is true of one structure."""
        X = self.enumerated_front.task.search_space.encode(structures)
        return self.enumerated_front.outcome(self.enumerated_front.member_index(X[0]))

    def description(self) -> dict[str, Any]:
        """Return what identifies it: what the table was made with."""
        return {
            "type": "TableEvaluator",
            "of": self.enumerated_front.task.evaluator.description(),
        }


def task_digest(task: MultiObjectiveTask) -> str:
    """Return a digest of what the truth depends on."""
    return hashlib.sha256(to_canonical_json(task.description()).encode()).hexdigest()


def enumerate_front(
    task: MultiObjectiveTask,
    out: Path,
    n_workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> EnumeratedFront:
    """Return the truth of a problem: read from `out`, or computed and written there.

    Args:
        task: Its space can be listed.
        out: A folder that exists.
        n_workers: Processes.
        on_progress: Is told how many members are done, and of how many.

    Raises:
        InputError: the space cannot be listed.
        LogError: the table cannot be read or written.
    """
    size = task.size
    if size is None:
        condition = "have a space that can be listed"
        raise InputError(error_message("task", condition, task.name))
    path = out / f"{task.name}-{task_digest(task)[:10]}.json"
    rows = _read_records(path)
    missing = [i for i in range(size) if i not in rows]
    parts = [missing[i : i + CHUNK_SIZE] for i in range(0, len(missing), CHUNK_SIZE)]
    executor: Executor = InProcess() if n_workers == 1 else Workers(n_workers)
    try:
        for found in _compute_records(task, parts, executor):
            rows |= found
            table = [{"member": i, **rows[i]} for i in sorted(rows)]
            write_atomically(path, json.dumps(table, allow_nan=False).encode())
            if on_progress is not None:
                on_progress(len(rows), size)
    finally:
        if isinstance(executor, Workers):
            executor.shutdown(wait=False)
    return EnumeratedFront(task, tuple(rows[i] for i in range(size)))


def _compute_records(
    task: MultiObjectiveTask, chunks: list[list[int]], executor: Executor
) -> Iterator[dict[int, EvaluationRecord]]:
    futures: list[Future[dict[int, EvaluationRecord]]] = []
    for part in chunks:
        future = executor.submit(_evaluate_chunk, task, part)
        if isinstance(executor, InProcess):
            yield future.result()
        else:
            futures.append(future)
    for future in as_completed(futures):
        yield future.result()


def _evaluate_chunk(task: MultiObjectiveTask, indices: list[int]) -> dict[int, EvaluationRecord]:
    """Return the rows of some members."""
    with single_thread():
        return {i: _evaluate_member(task, i) for i in indices}


def _evaluate_member(task: MultiObjectiveTask, index: int) -> EvaluationRecord:
    X = task.discrete_space.members(index, index + 1)
    found = evaluate(task.evaluator, task.search_space.decode(X))
    if isinstance(found, Failure):
        return {"reason": found.reason, "seconds": found.seconds}
    doubts = {k: v for k, v in found.provenance.items() if k.startswith(QUARANTINE_PREFIX)}
    return {
        "energy": found.energy,
        "properties": dict(found.properties),
        "provenance": doubts,
        "seconds": found.seconds,
    }


def _to_evaluation(record: EvaluationRecord) -> Evaluation | None:
    if "energy" not in record:
        return None
    return Evaluation(
        record["energy"],
        properties=record["properties"],
        seconds=record["seconds"],
        provenance=record["provenance"],
    )


def _read_records(path: Path) -> dict[int, EvaluationRecord]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LogError(f"could not read {path}: {error}. Delete it.") from error
    return {int(row.pop("member")): row for row in found}

"""Enumerated Pareto front: every member of a task whose space can be listed, evaluated once.

The table is a JSON file, `NAME-DIGEST.json`, with a digest of space and evaluator; it is computed
in chunks, and an interrupted one is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.benchmark import (
    json_digest,
    read_json,
    run_jobs,
    write_json,
)
from bostruct.bench.multi_objective.tasks import MultiObjectiveTask
from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluation, Failure, evaluate
from bostruct.evaluators.quarantine import QUARANTINE_PREFIX
from bostruct.objectives import pareto_front
from bostruct.structures import Structures

CHUNK_SIZE = 40
"""Number of members evaluated by one job, and written at once."""

EvaluationRecord = Mapping[str, Any]
"""Stored part of an evaluation, as JSON values."""


@final
@dataclass(frozen=True, eq=False)
class EnumeratedFront:
    """All members of a task, with their true outcomes.

    Args:
        task: Task whose space can be listed.
        records: Evaluation of every member, in the order of the list.
    """

    task: MultiObjectiveTask
    records: tuple[EvaluationRecord, ...]

    @cached_property
    def members(self) -> Tensor:
        """All members, `[n, d]`."""
        return self.task.search_space.members(0, len(self.records))

    @cached_property
    def outcomes(self) -> Tensor:
        """True outcomes of the members, `[n, k]` in outcome space, NaN where there is none."""
        rows = [
            self.task.outcomes(x, _to_evaluation(record))
            for x, record in zip(self.members, self.records, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.float64)

    @cached_property
    def front_indices(self) -> frozenset[int]:
        """Indices of the non-dominated members."""
        return frozenset(pareto_front(self.outcomes, self.task.optimization_config).tolist())

    @cached_property
    def _index_of_member(self) -> dict[tuple[float, ...], int]:
        return {tuple(x.tolist()): i for i, x in enumerate(self.members)}

    def member_index(self, X: Tensor) -> int:
        """Return the index of the member at X `[d]` in the list."""
        return self._index_of_member[tuple(self.task.search_space.canonical(X).tolist())]


@final
class TableEvaluator:
    """Evaluator that reads the table of an enumerated front.

    Args:
        enumerated_front: Evaluations of all members.
    """

    def __init__(self, enumerated_front: EnumeratedFront) -> None:
        self.enumerated_front = enumerated_front

    def __call__(self, structures: Structures) -> Evaluation | Failure:
        """Return the tabulated evaluation of one structure."""
        table = self.enumerated_front
        X = table.task.search_space.encode(structures)
        record = table.records[table.member_index(X[0])]
        return _to_evaluation(record) or Failure(str(record["reason"]))

    def description(self) -> dict[str, Any]:
        """Return the name and the evaluator behind the table, as JSON values."""
        return {
            "type": "TableEvaluator",
            "evaluator": self.enumerated_front.task.evaluator.description(),
        }


def enumerate_front(
    task: MultiObjectiveTask,
    out: Path,
    n_workers: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> EnumeratedFront:
    """Return the enumerated front of a task, read from `out` or computed and written there.

    Args:
        task: Task whose space can be listed.
        out: Existing folder of the table.
        n_workers: Number of processes.
        on_progress: Called with one line of progress.

    Raises:
        InputError: the space cannot be listed.
        LogError: the table cannot be read or written.
    """
    size = task.search_space.size
    if size is None:
        raise InputError(error_message("task", "have a space that can be listed", task.name))
    path = out / f"{task.name}-{json_digest(task.description())[:10]}.json"
    records: dict[int, EvaluationRecord] = {
        int(row.pop("member")): row for row in read_json(path) or ()
    }
    missing = [i for i in range(size) if i not in records]
    functions = [
        partial(_evaluate_chunk, task, missing[i : i + CHUNK_SIZE])
        for i in range(0, len(missing), CHUNK_SIZE)
    ]
    for _, future in run_jobs(functions, n_workers):
        records |= future.result()
        write_json([{"member": i, **records[i]} for i in sorted(records)], path, indent=None)
        if on_progress is not None:
            on_progress(f"{task.name}: {len(records)} of {size} members of the table")
    return EnumeratedFront(task, tuple(records[i] for i in range(size)))


def _evaluate_chunk(task: MultiObjectiveTask, indices: list[int]) -> dict[int, EvaluationRecord]:
    """Return the records of some members."""
    return {i: _evaluate_member(task, i) for i in indices}


def _evaluate_member(task: MultiObjectiveTask, index: int) -> EvaluationRecord:
    X = task.search_space.members(index, index + 1)
    outcome = evaluate(task.evaluator, task.search_space.decode(X))
    if isinstance(outcome, Failure):
        return {"reason": outcome.reason, "seconds": outcome.seconds}
    quarantined = {k: v for k, v in outcome.provenance.items() if k.startswith(QUARANTINE_PREFIX)}
    return {
        "energy": outcome.energy,
        "properties": dict(outcome.properties),
        "provenance": quarantined,
        "seconds": outcome.seconds,
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

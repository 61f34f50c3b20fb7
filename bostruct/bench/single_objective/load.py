"""From what a command line says to tasks and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.settings import SETTINGS, WITHOUT, Setting, setting
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import campaign_file
from bostruct.errors import InputError, must

T = TypeVar("T", Task, Setting)

DEFAULT = ("lj7", "lj13", "cu15")
"""The tasks that are run where none is named."""

ALL = "all"
"""Stands for all named tasks."""


def load(
    words: Sequence[str], efforts: Sequence[str] = ("default",)
) -> tuple[list[Task], list[Setting]]:
    """Return the tasks and settings meant, each once and in order.

    Args:
        words: Names of tasks, "all", or Python files that hold tasks and settings.
        efforts: Names of settings, of ours or of the files; see `setting`.

    Raises:
        InputError: something is not there.
    """
    tasks: list[Task] = []
    settings: dict[str, Setting] = dict(SETTINGS)
    for word in words:
        if word.endswith(".py") or "/" in word:
            values = vars(campaign_file.execute(Path(word), "task file")).values()
            found, own = _instances(values, Task), _instances(values, Setting)
            if not found and not own:
                way_out = "Write `mine = bostruct.bench.Task(name=..., ...)`."
                condition = "make a Task or a Setting at module level"
                raise InputError(must(word, condition, "none", way_out))
            tasks.extend(found)
            settings.update({one.name: one for one in own})
        elif word == ALL:
            tasks.extend(TASKS.values())
        else:
            tasks.append(_named("task", word, TASKS, " or a file, mytask.py"))
    if not tasks:
        tasks = [TASKS[name] for name in DEFAULT]
    chosen = {name: _setting(name, settings) for name in efforts}
    return list(dict.fromkeys(tasks)), list(chosen.values())


def _setting(name: str, own: Mapping[str, Setting]) -> Setting:
    found = own.get(name) or setting(name)
    return found or _named("effort", name, own, f" or {WITHOUT}MOVE")


def _instances(values: Iterable[object], kind: type[T]) -> list[T]:
    found = {id(value): value for value in values if isinstance(value, kind)}
    return list(found.values())


def _named(kind: str, name: str, known: Mapping[str, T], other: str = "") -> T:
    if name not in known:
        condition = f"be one of {', '.join(known)}{other}"
        raise InputError(must(kind, condition, repr(name)))
    return known[name]

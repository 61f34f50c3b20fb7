"""From what a command line says to tasks and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.settings import (
    CAMPAIGN_SETTINGS,
    WITHOUT_PREFIX,
    Setting,
    named_setting,
)
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import campaign_file
from bostruct.errors import InputError, error_message

T = TypeVar("T", Task, Setting)

DEFAULT_TASKS = ("lj7", "lj13", "cu15")
"""The tasks that are run where none is named."""

ALL_TASKS = "all"
"""Stands for all named tasks."""


def load_tasks_and_settings(
    names: Sequence[str], setting_names: Sequence[str] = ("default",)
) -> tuple[list[Task], list[Setting]]:
    """Return the tasks and settings meant, each once and in order.

    Args:
        names: Names of tasks, "all", or Python files that hold tasks and settings.
        setting_names: Names of settings, of ours or of the files; see `setting`.

    Raises:
        InputError: something is not there.
    """
    tasks: list[Task] = []
    settings: dict[str, Setting] = dict(CAMPAIGN_SETTINGS)
    for word in names:
        if word.endswith(".py") or "/" in word:
            values = vars(campaign_file.load_module(Path(word), "task file")).values()
            found, own = _instances_of(values, Task), _instances_of(values, Setting)
            if not found and not own:
                way_out = "Write `mine = bostruct.bench.Task(name=..., ...)`."
                condition = "make a Task or a Setting at module level"
                raise InputError(error_message(word, condition, "none", way_out))
            tasks.extend(found)
            settings.update({one.name: one for one in own})
        elif word == ALL_TASKS:
            tasks.extend(TASKS.values())
        else:
            tasks.append(_lookup("task", word, TASKS, " or a file, mytask.py"))
    if not tasks:
        tasks = [TASKS[name] for name in DEFAULT_TASKS]
    chosen = {name: _find_setting(name, settings) for name in setting_names}
    return list(dict.fromkeys(tasks)), list(chosen.values())


def _find_setting(name: str, settings: Mapping[str, Setting]) -> Setting:
    found = settings.get(name) or named_setting(name)
    return found or _lookup("effort", name, settings, f" or {WITHOUT_PREFIX}MOVE")


def _instances_of(values: Iterable[object], cls: type[T]) -> list[T]:
    found = {id(value): value for value in values if isinstance(value, cls)}
    return list(found.values())


def _lookup(kind: str, name: str, choices: Mapping[str, T], alternative: str = "") -> T:
    if name not in choices:
        condition = f"be one of {', '.join(choices)}{alternative}"
        raise InputError(error_message(kind, condition, repr(name)))
    return choices[name]

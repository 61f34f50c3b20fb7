"""Reading of tasks and settings named on the command line or held in Python files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bostruct.bench.single_objective.conformers import CONFORMERS
from bostruct.bench.single_objective.crystals import CRYSTALS
from bostruct.bench.single_objective.matter import MATTER
from bostruct.bench.single_objective.named_tasks import TASKS
from bostruct.bench.single_objective.phase_diagrams import PHASE_DIAGRAMS
from bostruct.bench.single_objective.settings import (
    ABLATIONS,
    CAMPAIGN_SETTINGS,
    WITHOUT_PREFIX,
    Setting,
    named_setting,
    setting_names,
)
from bostruct.bench.single_objective.task import Task
from bostruct.campaign import campaign_file
from bostruct.errors import InputError, check_choice, error_message

T = TypeVar("T", Task, Setting)

NAMED_TASKS: Mapping[str, Task] = {**TASKS, **MATTER, **CRYSTALS, **PHASE_DIAGRAMS, **CONFORMERS}
"""All tasks by name."""

TASK_GROUPS: Mapping[str, Mapping[str, Task]] = {
    "all": TASKS,
    "matter": MATTER,
    "crystals": CRYSTALS,
    "phase-diagrams": PHASE_DIAGRAMS,
    "conformers": CONFORMERS,
}
"""Tasks of each group by the name of the group."""

DEFAULT_TASKS = ("lj7", "lj13", "cu15")
"""Names of the tasks that are run where none is named."""


def load_tasks_and_settings(
    names: Sequence[str], setting_words: Sequence[str] = ("default",)
) -> tuple[list[Task], list[Setting]]:
    """Return tasks and settings by name, each once and in order.

    Args:
        names: Names of tasks, of groups of them ("all", "matter", "crystals", "phase-diagrams",
            "conformers"), or Python files with tasks and settings.
        setting_words: Names of settings, predefined or in the files, or "ablations" for all that
            lack one thing.

    Raises:
        InputError: a task, setting or file does not exist.
    """
    tasks: list[Task] = []
    settings: dict[str, Setting] = dict(CAMPAIGN_SETTINGS)
    for word in names:
        if word.endswith(".py") or "/" in word:
            values = vars(campaign_file.load_module(Path(word), "task file")).values()
            file_tasks, file_settings = _instances_of(values, Task), _instances_of(values, Setting)
            if not file_tasks and not file_settings:
                way_out = "Write `task = bostruct.bench.Task(name=..., ...)`."
                condition = "make a Task or a Setting at module level"
                raise InputError(error_message(word, condition, "none", way_out))
            tasks.extend(file_tasks)
            settings.update({setting.name: setting for setting in file_settings})
        elif word in TASK_GROUPS:
            tasks.extend(TASK_GROUPS[word].values())
        else:
            check_choice("task", word, NAMED_TASKS, " or a file, mytask.py")
            tasks.append(NAMED_TASKS[word])
    if not tasks:
        tasks = [TASKS[name] for name in DEFAULT_TASKS]
    each = [name for word in setting_words for name in setting_names(word)]
    chosen = {name: _find_setting(name, settings) for name in each}
    return list(dict.fromkeys(tasks)), list(chosen.values())


def _find_setting(name: str, settings: Mapping[str, Setting]) -> Setting:
    setting = settings.get(name) or named_setting(name)
    others = f", {ABLATIONS} or {WITHOUT_PREFIX}MOVE"
    return setting or settings[check_choice("effort", name, settings, others)]


def _instances_of(values: Iterable[object], cls: type[T]) -> list[T]:
    return list({id(value): value for value in values if isinstance(value, cls)}.values())

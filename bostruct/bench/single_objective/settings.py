"""Named sets of campaign arguments that a benchmark compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from bostruct.bench.single_objective.task import check_folder_name
from bostruct.candidates import BasinHopping


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """Named arguments of a campaign.

    Args:
        name: Name of the setting in the results and of its folder; "default" for the task's folder.
        arguments: Arguments of `bostruct.Campaign` beside space and evaluator.

    Raises:
        InputError: the name is no name of a folder.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_folder_name(self.name)


CAMPAIGN_SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("default"),
        Setting("quick", {"search": BasinHopping(n_candidates=8, n_rounds=1)}),
        Setting("thorough", {"search": BasinHopping(n_rounds=30, patience=30)}),
    )
}
"""Settings by name, the same for all tasks: with some 20 energies of Cu15 a step takes some 3, 0.5
and 30 s of one core."""

WITHOUT_PREFIX = "without-"
"""Prefix of a setting whose search lacks generators or moves, such as "without-permute"."""


def named_setting(name: str) -> Setting | None:
    """Return a setting by name, also one without some moves or random generators; None if unknown.

    >>> named_setting("without-rattle+twist").arguments["search"].exclude
    ('rattle', 'twist')
    """
    if name.startswith(WITHOUT_PREFIX):
        lacks = tuple(name.removeprefix(WITHOUT_PREFIX).split("+"))
        return Setting(name, {"search": BasinHopping(exclude=lacks)})
    return CAMPAIGN_SETTINGS.get(name)

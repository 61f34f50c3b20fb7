"""What a campaign is to be run with, if not with the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from bostruct.bench.single_objective.task import check_folder_name
from bostruct.candidates import BasinHopping


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """What differs from a campaign of defaults.

    Args:
        name: Of its folder and in the results; "default" for no difference.
        arguments: Of `bostruct.Campaign`, beside space and evaluator.

    Raises:
        InputError: a name that is no name of a folder.
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
"""Named settings, the same for all tasks: with some 20 energies of Cu15 a step of them
takes some 3, 0.5 and 30 s of one core."""

WITHOUT_PREFIX = "without-"
"""Begins the name of a setting whose search lacks something: "without-permute"."""


def named_setting(name: str) -> Setting | None:
    """Return a named setting, also one without a move or a random generator.

    >>> setting("without-rattle+twist").arguments["search"].without
    ('rattle', 'twist')
    """
    if name.startswith(WITHOUT_PREFIX):
        lacks = tuple(name.removeprefix(WITHOUT_PREFIX).split("+"))
        return Setting(name, {"search": BasinHopping(exclude=lacks)})
    return CAMPAIGN_SETTINGS.get(name)

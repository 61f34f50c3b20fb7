"""What a campaign is to be run with, if not with the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from bostruct.bench.task import check_name
from bostruct.candidates import Search


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
        check_name(self.name)


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("default"),
        Setting("quick", {"search": Search(candidates=16, rounds=1)}),
        Setting("thorough", {"search": Search(candidates=64, rounds=15)}),
    )
}
"""Named settings: a tenth, all and six times of the search's default effort."""

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
        without_stress: True for evaluations without stresses.
        is_ablation: True to leave out tasks whose space lacks what the search does without.

    Raises:
        InputError: the name is no name of a folder.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    without_stress: bool = False
    is_ablation: bool = False

    def __post_init__(self) -> None:
        check_folder_name(self.name)


CAMPAIGN_SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("default"),
        Setting("quick", {"search": BasinHopping(n_candidates=8, n_rounds=1)}),
        Setting("thorough", {"search": BasinHopping(n_rounds=30, patience=30)}),
        *(Setting(f"asynchronous-{q}", {"batch_size": q, "asynchronous": True}) for q in (4, 8)),
    )
}
"""Settings by name, the same for all tasks: with some 20 energies of Cu15 a step of the first three
takes some 3, 0.5 and 30 s of one core. The others keep 4 or 8 structures in flight."""

WITHOUT_PREFIX = "without-"
"""Prefix of a setting whose search lacks generators or moves, such as "without-permute"."""

STRESS = "stress"
"""Name of the stresses among what a search may lack."""

ABLATIONS = "ablations"
"""Name of the default setting and all that lack one thing of a search for crystals."""

CRYSTAL_PARTS = (
    *(STRESS, "symmetric", "permute", "rattle", "shift", "softmutate", "splice", "strain"),
    "symmetrize",
)
"""Stresses, generators and moves of crystals that the ablations leave out, one at a time."""


def named_setting(name: str) -> Setting | None:
    """Return a setting by name, also one without stresses, moves or generators; None if unknown.

    >>> named_setting("without-rattle+twist").arguments["search"].exclude
    ('rattle', 'twist')
    >>> named_setting("without-stress").without_stress
    True
    """
    if name.startswith(WITHOUT_PREFIX):
        parts = name.removeprefix(WITHOUT_PREFIX).split("+")
        lacks = tuple(part for part in parts if part != STRESS)
        arguments = {"search": BasinHopping(exclude=lacks)} if lacks else {}
        return Setting(name, arguments, without_stress=STRESS in parts, is_ablation=True)
    return CAMPAIGN_SETTINGS.get(name)


def setting_names(name: str) -> list[str]:
    """Return the names of the settings that a name stands for: all "ablations", or itself.

    >>> setting_names("ablations")[:3]
    ['default', 'without-stress', 'without-symmetric']
    """
    if name == ABLATIONS:
        return ["default", *(f"{WITHOUT_PREFIX}{part}" for part in CRYSTAL_PARTS)]
    return [name]

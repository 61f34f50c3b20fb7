"""What a campaign is made of: the shapes of its parts, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from bostruct.acquisition import Acquisition
from bostruct.campaign.check import Check
from bostruct.campaign.description import canonical
from bostruct.campaign.start import Start
from bostruct.campaign.stop import Stop
from bostruct.candidates import LONGEST, Candidates, Pick, Search, Walk
from bostruct.errors import InputError, must
from bostruct.evaluators import Evaluator
from bostruct.spaces import Discrete, Space
from bostruct.surrogates import Surrogate

NEEDS = {
    "space": "decode",
    "evaluator": "__call__",
    "surrogate": "fit",
    "acquisition": "build",
    "search": "__call__",
}
"""The parts of a campaign, and the method that each cannot do without."""


class Finder(Protocol):
    """How candidates are found."""

    def __call__(
        self,
        value: Callable[[Tensor], Tensor],
        space: Space,
        known: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return structures of large value, given X `[t, d]` known and energies."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, ready for JSON."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a step is made with.

    Args:
        space: What may be proposed.
        evaluator: What it costs to know.
        surrogate: What is believed.
        acquisition: What a look is worth.
        search: How candidates are found.
        initial: Random structures before there is a surrogate.
        batch: Structures chosen together in a step.
        start: What the user brought along.
        check: How the best structures are relaxed at the end.
    """

    space: Space
    evaluator: Evaluator
    surrogate: Surrogate
    acquisition: Acquisition
    search: Finder
    initial: int
    batch: int
    start: Start | None = None
    check: Check | None = None

    def __post_init__(self) -> None:
        for name, method in NEEDS.items():
            check_part(name, getattr(self, name), method)
        check_search(self.search, self.space)
        if self.check is not None and isinstance(self.space, Discrete):
            condition = "be None where a space has only certain structures"
            kind = type(self.space).__name__
            way_out = "Relaxed, they are no longer members; relax them afterwards."
            raise InputError(must("check", condition, f"one for {kind}", way_out))

    def description(self) -> dict[str, Any]:
        """Return what identifies the campaign, ready for JSON."""
        parts = {name: getattr(self, name).description() for name in NEEDS}
        parts |= {"initial": self.initial, "batch": self.batch}
        for name in ("start", "check"):  # absent where a campaign has none
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.description()
        return parts


def default_search(space: object) -> Finder:
    """Return how candidates are found where nothing else is asked for."""
    if not isinstance(space, Discrete):
        return Search()
    listed = space.size is not None and space.size <= LONGEST
    found: Any = Pick() if listed else Walk()  # for discrete spaces alone
    return cast("Finder", found)


def check_search(search: object, space: Space) -> None:
    """Refuse a search that cannot search in a space.

    Raises:
        InputError: it cannot.
    """
    kind = type(space).__name__
    if isinstance(space, Discrete):
        if isinstance(search, Search):
            condition = "have coordinates that `Search` can relax"
            way_out = "Take `Pick()`, `Walk()`, or leave `search` out."
            raise InputError(must("space", condition, kind, way_out))
        if isinstance(search, Pick) and space.size is None:
            condition = "have members that `Pick` can list"
            found = f"{kind}, whose members are too many"
            raise InputError(must("space", condition, found, "Take `Walk()`."))
    elif isinstance(search, Pick | Walk):
        condition = f"be discrete for `{type(search).__name__}`"
        raise InputError(must("space", condition, kind, "Take `Search()`."))


def check_part(name: str, part: object, method: str) -> None:
    """Refuse a part that cannot do its work, or cannot say what it is.

    Raises:
        InputError: it cannot.
    """
    described = callable(getattr(part, "description", None))
    if isinstance(part, type) or not (described and hasattr(part, method)):
        way_out = f"Take one from bostruct, or write `description` and `{method}`."
        if name == "evaluator":
            way_out = (
                "Wrap a function in bostruct.evaluators.Function, an ASE calculator "
                "class in bostruct.evaluators.Calculator."
            )
        kind = part if isinstance(part, type) else type(part)
        article = "an" if name[0] in "ae" else "a"
        raise InputError(must(name, f"be {article} {name}", kind.__name__, way_out))
    try:
        canonical(part.description())  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        condition = "have a description that JSON can hold"
        raise InputError(must(name, condition, str(error))) from error


def check_stop(stop: object) -> Stop:
    """Return the stop rule.

    Raises:
        InputError: it is none.
    """
    if not isinstance(stop, Stop):
        way_out = "For example bostruct.stop.Evaluations(100)."
        raise InputError(must("stop", "be a stop rule", type(stop).__name__, way_out))
    return stop


def check_executor(executor: object) -> Executor | None:
    """Return the executor; anything with `submit` will do.

    Raises:
        InputError: it has none.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        way_out = "For example bostruct.executors.Workers(2)."
        found = type(executor).__name__
        condition = "be a concurrent.futures.Executor"
        raise InputError(must("executor", condition, found, way_out))
    return executor  # type: ignore[return-value]

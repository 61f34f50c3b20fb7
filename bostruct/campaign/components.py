"""What a campaign is made of: the shapes of its parts, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from bostruct.acquisition import EntryProbability, LowerConfidenceBound
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.initial_structures import Start
from bostruct.campaign.learned_objectives import Aims
from bostruct.campaign.relaxation.final_relaxation import Check
from bostruct.campaign.stop import Stop, check_suited
from bostruct.candidates import LONGEST, Candidates, Pick, Search, Walk
from bostruct.errors import InputError, must
from bostruct.evaluators import Evaluator
from bostruct.objectives import Constraint, Goals, Objective
from bostruct.runtime.canonical_json import canonical
from bostruct.spaces import Discrete, Space
from bostruct.structures import SYMBOLS
from bostruct.surrogates import LocalGP, Properties

NEEDS = {
    "space": "decode",
    "evaluator": "__call__",
    "surrogate": "fit",
    "acquisition": "build",
    "search": "__call__",
}
"""The parts of a campaign, and the method that each cannot do without."""


WORDS = {"surrogate": ("fit", "names"), "acquisition": ("build", "case")}
"""The parts that goals take of another kind: their method, and an argument of it."""


TOGETHER = 1024
"""Members that are scored at once for their properties, which take little memory."""

SHOWN = 16
"""Structures that an evaluator is shown before anything runs, if it can refuse."""


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
        goals: What is wanted other than a low energy.
    """

    space: Space
    evaluator: Evaluator
    surrogate: Any  # a Surrogate; with goals, one of properties
    acquisition: Any  # an Acquisition; with goals, a Pareto
    search: Finder
    initial: int
    batch: int
    start: Start | None = None
    check: Check | None = None
    goals: Goals | None = None

    def __post_init__(self) -> None:
        for name, method in NEEDS.items():
            check_part(name, getattr(self, name), method)
        check_search(self.search, self.space)
        for name, word in WORDS.items():
            check_kind(name, getattr(self, name), word, self.goals is not None)
        if self.goals is not None:
            if not isinstance(self.space, Discrete):
                condition = (
                    "be one of separate structures in a campaign with objectives"
                )
                way_out = "Composition, Lattice, Orderings and Pool are."
                kind = type(self.space).__name__
                raise InputError(must("space", condition, kind, way_out))
            check_offered(self.evaluator, self.aims)
            check_accepted(self.evaluator, self.space)
            if self.check is not None:
                condition = "be None in a campaign with objectives"
                way_out = "It relaxes structures of low energy, which is another goal."
                raise InputError(must("check", condition, "a Check", way_out))
        if self.check is not None and isinstance(self.space, Discrete):
            condition = "be None where a space has only certain structures"
            kind = type(self.space).__name__
            way_out = "Relaxed, they are no longer members; relax them afterwards."
            raise InputError(must("check", condition, f"one for {kind}", way_out))

    @cached_property
    def aims(self) -> Aims | None:
        """The goals in the space; None where a low energy is all that is wanted."""
        return None if self.goals is None else Aims(self.goals, self.space)

    def description(self) -> dict[str, Any]:
        """Return what identifies the campaign, ready for JSON."""
        parts = {name: getattr(self, name).description() for name in NEEDS}
        parts |= {"initial": self.initial, "batch": self.batch}
        for name in ("start", "check", "goals"):  # absent where a campaign has none
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.description()
        return parts


def wanted(
    objectives: Sequence[Objective] | None, constraints: Sequence[Constraint]
) -> Goals | None:
    """Return what is wanted, or None where that is a low energy.

    Raises:
        InputError: constraints alone.
    """
    if objectives is None:
        if constraints:
            condition = "come with objectives"
            way_out = "Say what is to be made small or large, beside the bounds."
            found = [part.name for part in constraints]
            raise InputError(must("constraints", condition, found, way_out))
        return None
    return Goals(tuple(objectives), tuple(constraints))


def default_surrogate(goals: Goals | None) -> Any:  # noqa: ANN401 - of two kinds
    """Return what is believed where nothing else is asked for."""
    return LocalGP() if goals is None else Properties()


def default_acquisition(goals: Goals | None) -> Any:  # noqa: ANN401 - of two kinds
    """Return what a look is worth where nothing else is asked for."""
    return LowerConfidenceBound() if goals is None else EntryProbability()


def default_search(space: object, goals: Goals | None = None) -> Finder:
    """Return how candidates are found where nothing else is asked for."""
    if not isinstance(space, Discrete):
        return Search()
    listed = space.size is not None and space.size <= LONGEST
    pick = Pick() if goals is None else Pick(chunk=TOGETHER)
    found: Any = pick if listed else Walk()  # for discrete spaces alone
    return cast("Finder", found)


def check_kind(name: str, part: object, word: tuple[str, str], goals: bool) -> None:
    """Refuse a part that is for goals in a campaign without, and the other way round.

    Raises:
        InputError: it is of the other kind.
    """
    method, argument = word
    able = argument in inspect.signature(getattr(part, method)).parameters
    if able == goals:
        return
    kind = type(part).__name__
    if goals:
        condition = "be one for objectives"
        way_out = (
            "For example bostruct."
            + {
                "surrogate": "surrogates.Properties().",
                "acquisition": "acquisition.EntryProbability().",
            }[name]
        )
    else:
        condition = "be one for the energy in a campaign without objectives"
        way_out = "Give `objectives`, or leave it out."
    raise InputError(must(name, condition, kind, way_out))


def check_offered(evaluator: object, aims: Aims | None) -> None:
    """Refuse goals that an evaluator which says what it offers has no word of.

    Raises:
        InputError: an outcome is neither offered nor known to the space.
    """
    offered = getattr(evaluator, "offers", None)
    if aims is None or offered is None:
        return
    for name in aims.learnt:
        if name != ENERGY and name not in offered:
            condition = "name what the evaluator returns or the space knows"
            way_out = f"The evaluator returns {', '.join(sorted(offered))}."
            raise InputError(must("objectives", condition, repr(name), way_out))


def check_accepted(evaluator: object, space: Space) -> None:
    """Refuse a space whose structures the evaluator cannot compute.

    An evaluator that knows its `elements` is compared with those of the space, one that
    can `refuse` structures is shown a few.

    Raises:
        InputError: an element is missing, or a structure is refused.
    """
    has = getattr(evaluator, "elements", None)
    may = [SYMBOLS[number] for number in space.numbers.tolist()]
    if has is not None and (lacking := [symbol for symbol in may if symbol not in has]):
        condition = "hold elements that the evaluator has"
        way_out = f"It has {', '.join(sorted(has))}."
        raise InputError(must("space", condition, ", ".join(lacking), way_out))
    refuse = getattr(evaluator, "refuse", None)
    if callable(refuse):
        X = space.sample(SHOWN, torch.Generator().manual_seed(0))
        refuse(space.decode(X))


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


def check_stop(stop: object, goals: Goals | None = None) -> Stop:
    """Return the stop rule.

    Raises:
        InputError: it is none, or about what the campaign does not look for.
    """
    if not isinstance(stop, Stop):
        way_out = "For example bostruct.stop.Evaluations(100)."
        raise InputError(must("stop", "be a stop rule", type(stop).__name__, way_out))
    check_suited(stop, goals)
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

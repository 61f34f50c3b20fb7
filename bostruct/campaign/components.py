"""What a campaign is made of: the shapes of its parts, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from bostruct.acquisition import LowerConfidenceBound, ParetoProbabilityOfImprovement
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.initial_structures import InitialData
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.relaxation.final_relaxation import FinalRelaxation
from bostruct.campaign.stop import StoppingCriterion, check_criterion_suits_goals
from bostruct.candidates import (
    MAX_EXHAUSTIVE_MEMBERS,
    BasinHopping,
    Candidates,
    EvolutionarySearch,
    ExhaustiveSearch,
)
from bostruct.errors import InputError, error_message
from bostruct.evaluators import Evaluator
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.runtime.canonical_json import to_canonical_json
from bostruct.spaces import DiscreteSpace, Space
from bostruct.structures import SYMBOLS
from bostruct.surrogates import IndependentProperties, LocalGP

REQUIRED_METHODS = {
    "space": "decode",
    "evaluator": "__call__",
    "surrogate": "fit",
    "acquisition": "build",
    "search": "__call__",
}
"""The parts of a campaign, and the method that each cannot do without."""


OBJECTIVE_FLAGS = {
    "surrogate": "supports_multiple_outcomes",
    "acquisition": "supports_multi_objective",
}
"""The attributes by which components declare that they are for several objectives."""

MULTI_OBJECTIVE_EXAMPLES = {
    "surrogate": "surrogates.IndependentProperties()",
    "acquisition": "acquisition.ParetoProbabilityOfImprovement()",
}
"""Components for several objectives, as error messages suggest them."""


PROPERTY_CHUNK_SIZE = 1024
"""Members that are scored at once for their properties, which take little memory."""

N_VALIDATION_STRUCTURES = 16
"""Structures that an evaluator is shown before anything runs, if it can refuse."""


class CandidateSearch(Protocol):
    """How candidates are found."""

    def __call__(
        self,
        acq_function: Callable[[Tensor], Tensor],
        space: Space,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return structures of large value, given X `[t, d]` known and energies."""
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, ready for JSON."""
        ...


@dataclass(frozen=True)
class CampaignComponents:
    """What a step is made with.

    Args:
        space: What may be proposed.
        evaluator: What it costs to know.
        surrogate: What is believed.
        acquisition: What a look is worth.
        search: How candidates are found.
        n_initial: Random structures before there is a surrogate.
        batch_size: Structures chosen together in a step.
        initial_data: What the user brought along.
        final_relaxation: How the best structures are relaxed at the end.
        optimization_config: What is wanted other than a low energy.
    """

    space: Space
    evaluator: Evaluator
    surrogate: Any  # a Surrogate; with goals, one of properties
    acquisition: Any  # an Acquisition; with goals, a Pareto
    search: CandidateSearch
    n_initial: int
    batch_size: int
    initial_data: InitialData | None = None
    final_relaxation: FinalRelaxation | None = None
    optimization_config: OptimizationConfig | None = None

    def __post_init__(self) -> None:
        for name, method in REQUIRED_METHODS.items():
            check_component(name, getattr(self, name), method)
        check_search(self.search, self.space)
        for name, flag in OBJECTIVE_FLAGS.items():
            check_objective_support(
                name, getattr(self, name), flag, self.optimization_config is not None
            )
        if self.optimization_config is not None:
            if not isinstance(self.space, DiscreteSpace):
                condition = "be one of separate structures in a campaign with objectives"
                way_out = "Composition, Lattice, Orderings and Pool are."
                kind = type(self.space).__name__
                raise InputError(error_message("space", condition, kind, way_out))
            check_properties_available(self.evaluator, self.learned_objectives)
            check_structures_supported(self.evaluator, self.space)
            if self.final_relaxation is not None:
                condition = "be None in a campaign with objectives"
                way_out = "It relaxes structures of low energy, which is another goal."
                raise InputError(error_message("final_relaxation", condition, "a Check", way_out))
        if self.final_relaxation is not None and isinstance(self.space, DiscreteSpace):
            condition = "be None where a space has only certain structures"
            kind = type(self.space).__name__
            way_out = "Relaxed, they are no longer members; relax them afterwards."
            raise InputError(
                error_message("final_relaxation", condition, f"one for {kind}", way_out)
            )

    @cached_property
    def learned_objectives(self) -> LearnedObjectives | None:
        """The goals in the space; None where a low energy is all that is wanted."""
        return (
            None
            if self.optimization_config is None
            else LearnedObjectives(self.optimization_config, self.space)
        )

    def description(self) -> dict[str, Any]:
        """Return what identifies the campaign, ready for JSON."""
        parts = {name: getattr(self, name).description() for name in REQUIRED_METHODS}
        parts |= {"n_initial": self.n_initial, "batch_size": self.batch_size}
        for name in (
            "initial_data",
            "final_relaxation",
            "optimization_config",
        ):  # absent where a campaign has none
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.description()
        return parts


def make_optimization_config(
    objectives: Sequence[Objective] | None, constraints: Sequence[Constraint]
) -> OptimizationConfig | None:
    """Return what is wanted, or None where that is a low energy.

    Raises:
        InputError: constraints alone.
    """
    if objectives is None:
        if constraints:
            condition = "come with objectives"
            way_out = "Say what is to be made small or large, beside the bounds."
            found = [part.name for part in constraints]
            raise InputError(error_message("constraints", condition, found, way_out))
        return None
    return OptimizationConfig(tuple(objectives), tuple(constraints))


def default_surrogate(optimization_config: OptimizationConfig | None) -> Any:  # noqa: ANN401 - of two kinds
    """Return what is believed where nothing else is asked for."""
    return LocalGP() if optimization_config is None else IndependentProperties()


def default_acquisition(optimization_config: OptimizationConfig | None) -> Any:  # noqa: ANN401 - of two kinds
    """Return what a look is worth where nothing else is asked for."""
    return (
        LowerConfidenceBound() if optimization_config is None else ParetoProbabilityOfImprovement()
    )


def default_search(
    space: object, optimization_config: OptimizationConfig | None = None
) -> CandidateSearch:
    """Return how candidates are found where nothing else is asked for."""
    if not isinstance(space, DiscreteSpace):
        return BasinHopping()
    listed = space.size is not None and space.size <= MAX_EXHAUSTIVE_MEMBERS
    pick = (
        ExhaustiveSearch()
        if optimization_config is None
        else ExhaustiveSearch(chunk_size=PROPERTY_CHUNK_SIZE)
    )
    found: Any = pick if listed else EvolutionarySearch()  # for discrete spaces alone
    return cast("CandidateSearch", found)


def check_objective_support(name: str, component: object, flag: str, multi_objective: bool) -> None:
    """Refuse a component for objectives in a campaign without, and the reverse.

    Args:
        name: "surrogate" or "acquisition".
        component: The component.
        flag: The attribute by which it declares whether it is for several objectives.
        multi_objective: Whether the campaign has objectives.

    Raises:
        InputError: It declares the other kind, or none.
    """
    kind = type(component).__name__
    supported = getattr(component, flag, None)
    if not isinstance(supported, bool):
        way_out = "Add the class attribute: True for several objectives, False for one energy."
        raise InputError(error_message(name, f"declare `{flag}`", kind, way_out))
    if supported == multi_objective:
        return
    if multi_objective:
        way_out = f"Pass {MULTI_OBJECTIVE_EXAMPLES[name]}."
        raise InputError(error_message(name, "support several objectives", kind, way_out))
    way_out = f"Pass `objectives`, or leave `{name}` out."
    raise InputError(error_message(name, "support a campaign without objectives", kind, way_out))


def check_properties_available(
    evaluator: object, learned_objectives: LearnedObjectives | None
) -> None:
    """Refuse goals that an evaluator which says what it offers has no word of.

    Raises:
        InputError: an outcome is neither offered nor known to the space.
    """
    offered = getattr(evaluator, "property_names", None)
    if learned_objectives is None or offered is None:
        return
    for name in learned_objectives.learned_names:
        if name != ENERGY and name not in offered:
            condition = "name what the evaluator returns or the space knows"
            way_out = f"The evaluator returns {', '.join(sorted(offered))}."
            raise InputError(error_message("objectives", condition, repr(name), way_out))


def check_structures_supported(evaluator: object, space: Space) -> None:
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
        raise InputError(error_message("space", condition, ", ".join(lacking), way_out))
    refuse = getattr(evaluator, "validate", None)
    if callable(refuse):
        X = space.sample(N_VALIDATION_STRUCTURES, torch.Generator().manual_seed(0))
        refuse(space.decode(X))


def check_search(search: object, space: Space) -> None:
    """Refuse a search that cannot search in a space.

    Raises:
        InputError: it cannot.
    """
    kind = type(space).__name__
    if isinstance(space, DiscreteSpace):
        if isinstance(search, BasinHopping):
            condition = "have coordinates that `Search` can relax"
            way_out = "Take `Pick()`, `Walk()`, or leave `search` out."
            raise InputError(error_message("space", condition, kind, way_out))
        if isinstance(search, ExhaustiveSearch) and space.size is None:
            condition = "have members that `Pick` can list"
            found = f"{kind}, whose members are too many"
            raise InputError(error_message("space", condition, found, "Take `Walk()`."))
    elif isinstance(search, ExhaustiveSearch | EvolutionarySearch):
        condition = f"be discrete for `{type(search).__name__}`"
        raise InputError(error_message("space", condition, kind, "Take `Search()`."))


def check_component(name: str, component: object, method: str) -> None:
    """Refuse a part that cannot do its work, or cannot say what it is.

    Raises:
        InputError: it cannot.
    """
    described = callable(getattr(component, "description", None))
    if isinstance(component, type) or not (described and hasattr(component, method)):
        way_out = f"Take one from bostruct, or write `description` and `{method}`."
        if name == "evaluator":
            way_out = (
                "Wrap a function in bostruct.evaluators.Function, an ASE calculator "
                "class in bostruct.evaluators.Calculator."
            )
        kind = component if isinstance(component, type) else type(component)
        article = "an" if name[0] in "ae" else "a"
        raise InputError(error_message(name, f"be {article} {name}", kind.__name__, way_out))
    try:
        to_canonical_json(component.description())  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        condition = "have a description that JSON can hold"
        raise InputError(error_message(name, condition, str(error))) from error


def check_stop(
    stop: object, optimization_config: OptimizationConfig | None = None
) -> StoppingCriterion:
    """Return the stop rule.

    Raises:
        InputError: it is none, or about what the campaign does not look for.
    """
    if not isinstance(stop, StoppingCriterion):
        way_out = "For example bostruct.stop.Evaluations(100)."
        raise InputError(error_message("stop", "be a stop rule", type(stop).__name__, way_out))
    check_criterion_suits_goals(stop, optimization_config)
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
        raise InputError(error_message("executor", condition, found, way_out))
    return executor  # type: ignore[return-value]

"""Components of a campaign and their protocols, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from bostruct.acquisition import Acquisition, LowerConfidenceBound, ParetoProbabilityOfImprovement
from bostruct.campaign.analysis.outcome_table import ENERGY
from bostruct.campaign.energy_above_hull import SystemHull
from bostruct.campaign.enthalpy import check_pressure_supported
from bostruct.campaign.initial_structures import InitialData
from bostruct.campaign.learned_objectives import LearnedObjectives
from bostruct.campaign.reference_entries import ReferenceEntries
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
from bostruct.spaces import DiscreteSpace, Space, SupportsRegion
from bostruct.spaces.coordinates.coordinate_domain import SupportsDomain
from bostruct.spaces.space import SupportsCompositions
from bostruct.structures import SYMBOLS
from bostruct.surrogates import (
    GP,
    CoordinateGP,
    IndependentProperties,
    IntensiveProperty,
    LocalGP,
    Surrogate,
)

REQUIRED_METHODS = {
    "space": "decode",
    "evaluator": "__call__",
    "surrogate": "fit",
    "acquisition": "build",
    "search": "__call__",
}
"""The components of a campaign, and the method that each must have."""


MULTI_OBJECTIVE = {
    "surrogate": ("supports_multiple_outcomes", "surrogates.IndependentProperties()"),
    "acquisition": ("supports_multi_objective", "acquisition.ParetoProbabilityOfImprovement()"),
}
"""The attribute by which a component declares that it is for several objectives, and an example."""


PROPERTY_CHUNK_SIZE = 1024
"""Members whose acquisition is computed together, as models of properties take little memory."""

N_VALIDATION_STRUCTURES = 16
"""Random structures that an evaluator with `validate` checks before anything runs."""


class CandidateSearch(Protocol):
    """A search of a space for structures of large acquisition value."""

    def __call__(
        self,
        acq_function: Callable[[Tensor], Tensor],
        space: Space,
        X_evaluated: Tensor,
        energies: Tensor,
        generator: torch.Generator,
    ) -> Candidates:
        """Return candidates with their acquisition values.

        Args:
            acq_function: The acquisition function, X `[b, d]` to `[b]`, larger is better.
            space: The space of the campaign.
            X_evaluated: `[t, d]` the evaluated structures.
            energies: `[t]` their energies, or with several objectives their dominance ranks; lower
                is better.
            generator: The source of all randomness, on the CPU.
        """
        ...

    def description(self) -> dict[str, Any]:
        """Return what identifies the search, ready for JSON."""
        ...


@dataclass(frozen=True)
class CampaignComponents:
    """The components that define a campaign beside its seed.

    Args:
        space: The structures that may be proposed.
        evaluator: Computes energies or properties.
        surrogate: The model of energies or outcomes.
        acquisition: The acquisition that candidates maximize.
        search: The search for candidates.
        n_initial: Random structures before there is a surrogate.
        batch_size: Structures chosen together in a step.
        initial_data: The structures that the user gave.
        final_relaxation: The relaxation of the best structures at the end.
        optimization_config: Objectives and constraints; None for a low energy.
        references: Phases of known enthalpy that belong to the convex hull.
        asynchronous: Plan as soon as fewer than `batch_size` structures have no result yet.
    """

    space: Space
    evaluator: Evaluator
    surrogate: Surrogate
    acquisition: Acquisition
    search: CandidateSearch
    n_initial: int
    batch_size: int
    initial_data: InitialData | None = None
    final_relaxation: FinalRelaxation | None = None
    optimization_config: OptimizationConfig | None = None
    references: ReferenceEntries | None = None
    asynchronous: bool = False

    def __post_init__(self) -> None:
        for name, method in REQUIRED_METHODS.items():
            check_component(name, getattr(self, name), method)
        check_search(self.search, self.space)
        check_pressure_supported(self.space, self.evaluator)
        declared_flag("acquisition", self.acquisition, "supports_q_batch")
        for name in MULTI_OBJECTIVE:
            multi_objective = self.optimization_config is not None
            check_objective_support(name, getattr(self, name), multi_objective)
        discrete, kind = isinstance(self.space, DiscreteSpace), type(self.space).__name__
        if self.optimization_config is not None:
            if not discrete:
                condition = "be one of separate structures in a campaign with objectives"
                way_out = "Composition, Lattice, Orderings and Pool are."
                raise InputError(error_message("space", condition, kind, way_out))
            check_properties_available(self.evaluator, self.learned_objectives)
            check_structures_supported(self.evaluator, self.space)
            if self.final_relaxation is not None:
                condition = "be None in a campaign with objectives"
                way_out = "It relaxes structures of low energy, which is another goal."
                got = "a FinalRelaxation"
                raise InputError(error_message("final_relaxation", condition, got, way_out))
        if self.asynchronous and self.final_relaxation is not None:
            check_relaxes_at_the_end(self.final_relaxation)
        if self.final_relaxation is not None and discrete:
            condition = "be None where a space has only certain structures"
            way_out = "Relaxed, they are no longer members; relax them afterwards."
            got = f"one for {kind}"
            raise InputError(error_message("final_relaxation", condition, got, way_out))

    @cached_property
    def learned_objectives(self) -> LearnedObjectives | None:
        """The objectives in the space; None where a low energy is the only one."""
        config = self.optimization_config
        return None if config is None else LearnedObjectives(config, self.space)

    @cached_property
    def initial_hull(self) -> SystemHull | None:
        """The convex hull before any trial; None where the energy itself is minimized."""
        return SystemHull.from_references(self.space, self.references)

    def with_region_of(self, description: Mapping[str, Any]) -> CampaignComponents:
        """Return the components as a campaign was started with them by an earlier version.

        Args:
            description: The description of the campaign, whose space may have a region that was
                the default of that version.
        """
        stored = description.get("space")
        if not isinstance(self.space, SupportsRegion) or not isinstance(stored, Mapping):
            return self
        space = self.space.with_region_of(stored)
        return self if space is self.space else replace(self, space=space)

    def description(self) -> dict[str, Any]:
        """Return what identifies the campaign, ready for JSON; without components it has not."""
        components = {name: getattr(self, name).description() for name in REQUIRED_METHODS}
        components |= {"n_initial": self.n_initial, "batch_size": self.batch_size}
        for name in ("initial_data", "final_relaxation", "optimization_config", "references"):
            component = getattr(self, name)
            if component is not None:
                components[name] = component.description()
        if self.asynchronous:
            components["asynchronous"] = True
        return components


def check_relaxes_at_the_end(final_relaxation: FinalRelaxation) -> None:
    """Refuse relaxations in the middle of an asynchronous campaign.

    Raises:
        InputError: There is an interval.
    """
    if final_relaxation.interval is not None:
        condition = "be None in an asynchronous campaign"
        way_out = "A relaxation goes one structure at a time: all other workers would wait for it."
        raise InputError(error_message("interval", condition, final_relaxation.interval, way_out))


def _check_list(name: str, values: object, kind: type, example: str) -> None:
    """Refuse anything but a list of objectives or constraints.

    Raises:
        InputError: it is none, or an item is of another type.
    """
    items = list(values) if isinstance(values, list | tuple) else [values]
    wrong = [item for item in items if not isinstance(item, kind)]
    if wrong or not isinstance(values, list | tuple):
        condition, value = f"be a list of {kind.__name__}", repr((wrong or items)[0])
        raise InputError(error_message(name, condition, value, f"Such as [{example}]."))


def make_optimization_config(
    objectives: Sequence[Objective] | None, constraints: Sequence[Constraint] | None
) -> OptimizationConfig | None:
    """Return objectives and constraints together, or None where a low energy is the only one.

    Raises:
        InputError: There are constraints alone, or a list holds something else.
    """
    constraints = () if constraints is None else constraints
    if objectives is not None:
        _check_list("objectives", objectives, Objective, "Objective('price', 'minimize')")
    _check_list("constraints", constraints, Constraint, "Constraint('price', upper=10.0)")
    if objectives is not None:
        return OptimizationConfig(tuple(objectives), tuple(constraints))
    if constraints:
        way_out = "Say what is to be made small or large, beside the bounds."
        names = [constraint.name for constraint in constraints]
        raise InputError(error_message("constraints", "come with objectives", names, way_out))
    return None


def default_surrogate(space: object, optimization_config: OptimizationConfig | None) -> Surrogate:
    """Return the surrogate of a campaign where none is given."""
    if optimization_config is not None:
        return IndependentProperties()
    return CoordinateGP() if isinstance(space, SupportsDomain) else LocalGP()


def default_acquisition(optimization_config: OptimizationConfig | None) -> Acquisition:
    """Return the acquisition of a campaign where none is given."""
    is_energy = optimization_config is None
    return LowerConfidenceBound() if is_energy else ParetoProbabilityOfImprovement()


def default_search(
    space: object, optimization_config: OptimizationConfig | None = None
) -> CandidateSearch:
    """Return the search of a campaign where none is given."""
    if not isinstance(space, DiscreteSpace):
        return BasinHopping()
    search: Any = EvolutionarySearch()  # for discrete spaces alone
    if space.size is not None and space.size <= MAX_EXHAUSTIVE_MEMBERS:
        multi_objective = optimization_config is not None
        search = ExhaustiveSearch(PROPERTY_CHUNK_SIZE) if multi_objective else ExhaustiveSearch()
    return cast("CandidateSearch", search)


def declared_flag(name: str, component: object, flag: str) -> bool:
    """Return a capability that a component declares by an attribute.

    Raises:
        InputError: It does not declare it.
    """
    supported = getattr(component, flag, None)
    if isinstance(component, GP | IntensiveProperty):
        condition = "be a model of structures"
        way_out = (
            "It models one property of compositions: with objectives pass "
            "IndependentProperties(default=...) with it, else leave `surrogate` out."
        )
        raise InputError(error_message(name, condition, type(component).__name__, way_out))
    if not isinstance(supported, bool):
        kind, way_out = type(component).__name__, "Add the class attribute, True or False."
        raise InputError(error_message(name, f"declare `{flag}`", kind, way_out))
    return supported


def check_objective_support(name: str, component: object, multi_objective: bool) -> None:
    """Refuse a component for objectives in a campaign without, and the reverse.

    Args:
        name: "surrogate" or "acquisition".
        component: The component.
        multi_objective: True if the campaign has objectives.

    Raises:
        InputError: It declares the other kind, or none.
    """
    kind, (flag, example) = type(component).__name__, MULTI_OBJECTIVE[name]
    if declared_flag(name, component, flag) == multi_objective:
        return
    if multi_objective:
        way_out = f"Pass {example}."
        raise InputError(error_message(name, "support several objectives", kind, way_out))
    way_out = f"Pass `objectives`, or leave `{name}` out."
    raise InputError(error_message(name, "support a campaign without objectives", kind, way_out))


def check_properties_available(
    evaluator: object, learned_objectives: LearnedObjectives | None
) -> None:
    """Refuse outcomes that are not among the `property_names` of an evaluator that has these.

    Raises:
        InputError: An outcome is neither evaluated nor known to the space.
    """
    available = getattr(evaluator, "property_names", None)
    if learned_objectives is None or available is None:
        return
    for name in learned_objectives.learned_names:
        if name != ENERGY and name not in available:
            condition = "name what the evaluator returns or the space knows"
            way_out = f"The evaluator returns {', '.join(sorted(available))}."
            raise InputError(error_message("objectives", condition, repr(name), way_out))


def check_structures_supported(evaluator: object, space: Space) -> None:
    """Refuse a space whose structures the evaluator cannot compute.

    The `elements` of an evaluator that has these are compared with those of the space, and
    one with `validate` is shown a few structures.

    Raises:
        InputError: An element is missing, or a structure is refused.
    """
    elements = getattr(evaluator, "elements", None)
    symbols = [SYMBOLS[number] for number in space.numbers.tolist()]
    if elements is not None and (missing := [s for s in symbols if s not in elements]):
        condition = "hold elements that the evaluator has"
        way_out = f"It has {', '.join(sorted(elements))}."
        raise InputError(error_message("space", condition, ", ".join(missing), way_out))
    validate = getattr(evaluator, "validate", None)
    if callable(validate):
        X = space.sample(N_VALIDATION_STRUCTURES, torch.Generator().manual_seed(0))
        validate(space.decode(X))


def check_search(search: object, space: Space) -> None:
    """Refuse a search that cannot search in a space.

    Raises:
        InputError: It cannot.
    """
    kind = type(space).__name__
    if not isinstance(space, DiscreteSpace):
        if isinstance(search, ExhaustiveSearch | EvolutionarySearch):
            condition = f"be discrete for `{type(search).__name__}`"
            raise InputError(error_message("space", condition, kind, "Pass `BasinHopping()`."))
    elif isinstance(search, BasinHopping):
        condition = "have coordinates that `BasinHopping` can relax"
        way_out = "Pass `ExhaustiveSearch()`, `EvolutionarySearch()`, or leave `search` out."
        raise InputError(error_message("space", condition, kind, way_out))
    elif isinstance(search, ExhaustiveSearch) and space.size is None:
        condition = "have members that `ExhaustiveSearch` can list"
        got, way_out = f"{kind}, whose members are too many", "Pass `EvolutionarySearch()`."
        raise InputError(error_message("space", condition, got, way_out))


def check_component(name: str, component: object, method: str) -> None:
    """Refuse a component without its method or a JSON description.

    Raises:
        InputError: It lacks one.
    """
    described = callable(getattr(component, "description", None))
    if isinstance(component, type) or not (described and hasattr(component, method)):
        way_out = f"Pass one of bostruct, or write `description` and `{method}`."
        if name == "evaluator":
            way_out = (
                "Wrap a function in bostruct.evaluators.Function, an ASE calculator "
                "class in bostruct.evaluators.Calculator."
            )
        kind = component if isinstance(component, type) else type(component)
        if isinstance(component, type) and hasattr(component, method) and name != "evaluator":
            way_out = f"It is the class: pass {component.__name__}(...), made with its arguments."
        article = "an" if name[0] in "ae" else "a"
        raise InputError(error_message(name, f"be {article} {name}", kind.__name__, way_out))
    try:
        to_canonical_json(component.description())  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        condition = "have a description that JSON can hold"
        raise InputError(error_message(name, condition, str(error))) from error


def check_stop(
    stop: object,
    optimization_config: OptimizationConfig | None = None,
    space: Space | None = None,
) -> StoppingCriterion:
    """Return the stopping criterion, checked.

    Raises:
        InputError: It is none, or about something else than the campaign looks for.
    """
    if not isinstance(stop, StoppingCriterion):
        way_out = "For example bostruct.stop.Evaluations(100)."
        kind = type(stop).__name__
        raise InputError(error_message("stop", "be a stopping criterion", kind, way_out))
    has_compositions = isinstance(space, SupportsCompositions)
    check_criterion_suits_goals(stop, optimization_config, has_compositions)
    return stop


def check_executor(executor: object) -> Executor | None:
    """Return the executor, which must have `submit`, or None.

    Raises:
        InputError: It has no `submit`.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        condition, way_out = "be a concurrent.futures.Executor", "Such as executors.Workers(2)."
        kind = type(executor).__name__
        raise InputError(error_message("executor", condition, kind, way_out))
    return executor  # type: ignore[return-value]

"""Multi-objective tasks: a discrete space, an evaluator, objectives and constraints.

Where a space can be listed, every member is evaluated once and the front is known; see
`enumerated_front`. EMT is a model potential, not data on real alloys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.emt_lattice import RigidLatticeEMT
from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.single_objective.task import check_folder_name
from bostruct.candidates import EvolutionarySearch
from bostruct.evaluators import AlloyProperties, Evaluator, element_prices, trusted_properties
from bostruct.evaluators.alloys.convex_hull import MIXING_ENTHALPY
from bostruct.evaluators.alloys.property_checks import BULK_MODULUS, DENSITY
from bostruct.evaluators.base import Evaluation
from bostruct.objectives import Constraint, Objective, OptimizationConfig
from bostruct.spaces import Composition, DiscreteSpace, Lattice, Orderings, atomic_volumes

PRICE_OUTCOME = "price"


@final
@dataclass(frozen=True, eq=False)
class MultiObjectiveTask:
    """Discrete space and evaluator, with objectives and constraints.

    Args:
        name: Name of the task in the results and of its folder.
        make_space: Function that makes the space; called once.
        evaluator: Evaluator of the true outcomes.
        objectives: Objectives; their valid ranges quarantine absurd values of a faulty evaluator.
        constraints: Constraints that make a structure feasible.
        summary: Description in one line.
        campaign_arguments: Further arguments of `Campaign`, where the default search takes too
            long for a benchmark.

    Raises:
        InputError: the name is no name of a folder, or objectives and constraints are invalid.
    """

    name: str
    make_space: Callable[[], DiscreteSpace]
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    summary: str = ""
    campaign_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_folder_name(self.name)
        OptimizationConfig(self.objectives, self.constraints)

    @cached_property
    def optimization_config(self) -> OptimizationConfig:
        """Objectives and constraints together, as `Campaign` has them."""
        return OptimizationConfig(self.objectives, self.constraints)

    @cached_property
    def search_space(self) -> DiscreteSpace:
        """Search space, made when it is first needed."""
        return self.make_space()

    def outcomes(self, X: Tensor, evaluation: Evaluation | None) -> list[float]:
        """Return the outcomes of the member at X `[d]`, `[k]` in outcome space.

        Exact properties of the space come first; outcomes that are not known are NaN.
        """
        exact = self.search_space.exact_properties(X.unsqueeze(0))
        raw = {name: float(value[0]) for name, value in exact.items()}
        if evaluation is None:
            names = self.optimization_config.outcome_names
            raw = {name: raw.get(name, math.nan) for name in names}
            return self.optimization_config.outcome_vector(raw)
        energy = math.nan if evaluation.energy is None else evaluation.energy
        return self.optimization_config.outcome_vector(
            {"energy": energy, **trusted_properties(evaluation), **raw}
        )

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return up to n different random members, `[m, d]`."""
        size = self.search_space.size
        if size is not None:
            order = torch.randperm(size, generator=generator)[:n].tolist()
            return torch.cat([self.search_space.members(i, i + 1) for i in order])
        kept: dict[tuple[float, ...], Tensor] = {}
        while len(kept) < n:
            for x in self.search_space.canonical(self.search_space.sample(n, generator)):
                kept.setdefault(tuple(x.tolist()), x)
        return torch.stack(list(kept.values())[:n])

    def description(self) -> dict[str, Any]:
        """Return the space and the evaluator, which determine the true front, as JSON values."""
        return {"space": self.search_space.description(), "evaluator": self.evaluator.description()}


def orderings() -> Orderings:
    """Return the orderings of Cu, Pd and Au on fcc sites, up to 6 atoms."""
    from ase.build import bulk

    elements = ["Cu", "Pd", "Au"]
    volumes, price = atomic_volumes(elements), _prices(elements)
    return Orderings(bulk("Cu"), elements, 6, volumes=volumes, price=price)


def compositions() -> Composition:
    """Return the compositions of six metals in steps of one eighth."""
    elements = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au"]
    return Composition(elements, step=1 / 8, price=_prices(elements))


def lattice() -> Lattice:
    """Return the decorations of 32 fcc sites with five metals."""
    from ase.build import bulk

    elements = ["Ni", "Cu", "Pd", "Ag", "Au"]
    sites = bulk("Cu", cubic=True, a=3.9).repeat(2)
    return Lattice(sites, {"Cu": elements}, price=_prices(elements))


def _prices(elements: Sequence[str]) -> dict[str, float]:
    table = element_prices()
    return {element: table[element] for element in elements}


_minimize_enthalpy = Objective(MIXING_ENTHALPY, "minimize", unit="eV/atom", valid_range=(-2.0, 2.0))
_maximize_bulk_modulus = Objective(BULK_MODULUS, "maximize", unit="GPa", valid_range=(1.0, 600.0))
_minimize_density = Objective(DENSITY, "minimize", unit="g/cm3", valid_range=(0.3, 25.0))
_minimize_price = Objective(PRICE_OUTCOME, "minimize", unit="$/kg", log=True)
_negative_enthalpy = Constraint(MIXING_ENTHALPY, upper=0.0, unit="eV/atom", valid_range=(-2.0, 2.0))

MULTI_OBJECTIVE_TASKS: Mapping[str, MultiObjectiveTask] = {
    task.name: task
    for task in (
        MultiObjectiveTask(
            "orderings",
            orderings,
            AlloyProperties(emt, relaxation="cell"),
            (_minimize_enthalpy, _maximize_bulk_modulus, _minimize_price),
            summary="1,081 orderings of Cu-Pd-Au: stable, stiff, cheap",
        ),
        MultiObjectiveTask(
            "compositions",
            compositions,
            AlloyProperties(emt),
            (_maximize_bulk_modulus, _minimize_density, _minimize_price),
            (_negative_enthalpy,),
            summary="1,287 compositions of six metals: stiff, light, cheap, not unmixing",
        ),
        MultiObjectiveTask(
            "lattice",
            lattice,
            RigidLatticeEMT(),
            (_minimize_enthalpy, _minimize_price),
            summary="32 sites, 5 metals, cannot be listed: stable, cheap",
            campaign_arguments={"search": EvolutionarySearch(n_rounds=4, n_local_searches=0)},
        ),
    )
}
"""Multi-objective tasks by name."""

"""Problems of several objectives: what is wanted in a space, and what it costs to know.

Where a space can be listed, every member is evaluated once and the front is known; see
`truth`. EMT is a model landscape, not data on real alloys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from bostruct.bench.multi_objective.emt_lattice import Rigid
from bostruct.bench.single_objective.named_tasks import emt
from bostruct.bench.single_objective.task import check_name
from bostruct.candidates import Walk
from bostruct.evaluators import AlloyProperties, Evaluator, prices, valid
from bostruct.evaluators.alloys.convex_hull import ENTHALPY
from bostruct.evaluators.alloys.property_checks import BULK, DENSITY
from bostruct.evaluators.base import Evaluation
from bostruct.objectives import Constraint, Goals, Objective
from bostruct.spaces import Composition, Lattice, Orderings, Space, atomic_volumes
from bostruct.spaces.space import Discrete

PRICE = "price"


@final
@dataclass(frozen=True, eq=False)
class Screen:
    """A discrete space, an evaluator, and goals.

    Args:
        name: Of its folder and in the results.
        space: Makes the space; called once.
        evaluator: What is true.
        objectives: What is wanted. Windows say what is believed of a spoilt evaluator.
        constraints: What makes a structure good enough.
        about: One line for a person.
        settings: Further arguments of `Campaign`, where its own would take too long
            for a benchmark.

    Raises:
        InputError: a name that is no name of a folder, or goals that are none.
    """

    name: str
    space: Callable[[], Space]
    evaluator: Evaluator
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    about: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        Goals(self.objectives, self.constraints)

    @cached_property
    def goals(self) -> Goals:
        """Objectives and constraints together."""
        return Goals(self.objectives, self.constraints)

    @cached_property
    def domain(self) -> Space:
        """The space, made when it is first needed."""
        return self.space()

    @property
    def discrete(self) -> Discrete:
        """The same, as a list of members."""
        domain = self.domain
        assert isinstance(domain, Discrete)
        return domain

    @property
    def size(self) -> int | None:
        """How many members there are; None where they cannot be listed."""
        return self.discrete.size

    def outcomes(self, X: Tensor, found: Evaluation | None) -> list[float]:
        """Return the outcomes of the member at X `[d]`, `[k]` in outcome space.

        What the space knows is taken from it; what else was not found is NaN.
        """
        exact = self.discrete.known(X.unsqueeze(0))
        raw = {name: float(value[0]) for name, value in exact.items()}
        if found is None:
            told = {name: raw.get(name, math.nan) for name in self.goals.names}
            return self.goals.outcomes(told)
        return self.goals.outcomes({"energy": found.energy, **valid(found), **raw})

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return up to n different members drawn at random, `[m, d]`."""
        size = self.size
        if size is not None:
            order = torch.randperm(size, generator=generator)[:n].tolist()
            rows = [self.discrete.rows(i, i + 1) for i in order]
            return torch.cat(rows)
        kept: dict[tuple[float, ...], Tensor] = {}
        while len(kept) < n:
            for x in self.discrete.canonical(self.domain.sample(n, generator)):
                kept.setdefault(tuple(x.tolist()), x)
        return torch.stack(list(kept.values())[:n])

    def description(self) -> dict[str, Any]:
        """Return what identifies the truth, ready for JSON."""
        return {
            "space": self.domain.description(),
            "evaluator": self.evaluator.description(),
        }


def orderings() -> Space:
    """Return the orderings of Cu, Pd and Au on fcc sites, up to 6 atoms."""
    from ase.build import bulk

    elements = ["Cu", "Pd", "Au"]
    volumes, table = atomic_volumes(elements), prices()
    price = {element: table[element] for element in elements}
    return Orderings(bulk("Cu"), elements, 6, volumes=volumes, price=price)


def compositions() -> Space:
    """Return the compositions of six metals in steps of one eighth."""
    elements, table = ["Ni", "Cu", "Pd", "Ag", "Pt", "Au"], prices()
    price = {element: table[element] for element in elements}
    return Composition(elements, step=1 / 8, price=price)


def lattice() -> Space:
    """Return the decorations of 32 fcc sites with five metals."""
    from ase.build import bulk

    elements, table = ["Ni", "Cu", "Pd", "Ag", "Au"], prices()
    price = {element: table[element] for element in elements}
    sites = bulk("Cu", cubic=True, a=3.9).repeat(2)
    return Lattice(sites, {"Cu": elements}, price=price)


_stable = Objective(ENTHALPY, "minimize", unit="eV/atom", window=(-2.0, 2.0))
_stiff = Objective(BULK, "maximize", unit="GPa", window=(1.0, 600.0))
_light = Objective(DENSITY, "minimize", unit="g/cm3", window=(0.3, 25.0))
_cheap = Objective(PRICE, "minimize", unit="$/kg", log=True)
_alloyed = Constraint(ENTHALPY, below=0.0, unit="eV/atom", window=(-2.0, 2.0))

SCREENS: Mapping[str, Screen] = {
    screen.name: screen
    for screen in (
        Screen(
            "orderings",
            orderings,
            AlloyProperties(emt, relaxation="cell"),
            (_stable, _stiff, _cheap),
            about="1,081 orderings of Cu-Pd-Au: stable, stiff, cheap",
        ),
        Screen(
            "compositions",
            compositions,
            AlloyProperties(emt),
            (_stiff, _light, _cheap),
            (_alloyed,),
            about="1,287 compositions of six metals: stiff, light, cheap, not unmixing",
        ),
        Screen(
            "lattice",
            lattice,
            Rigid(),
            (_stable, _cheap),
            about="32 sites, 5 metals, cannot be listed: stable, cheap",
            settings={"search": Walk(rounds=4, climbs=0)},
        ),
    )
}
"""The named ones."""
